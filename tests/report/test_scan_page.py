"""The page of a scan: its table made again from the lines, each recorded verdict derived again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_report import scan as scans
from cae_report.page import render_scan
from cae_report.scan import open_scan
from cae_report.scan_content import ScanContent, gather_scan
from cae_report.scan_scores import scan_scores
from tests.cli.test_bad_input import assert_one_sentence
from tests.report.html_pages import Page, read_page
from tests.report.report_cases import HOSTILE, calibration_of, colour_fingerprint
from tests.report.scan_cases import Scanned, scan_toys
from tests.report.test_report import Run

RATES = {f"models/copy-{i}.onnx": 0.95 - 0.03 * i for i in range(3)} | {
    f"models/other-{i}.onnx": 0.05 + 0.03 * i for i in range(5)
}
BROKEN = {"models/broken.onnx": "models/broken.onnx: this is no ONNX file. Correct the list."}
SAME = {"models/same.onnx": "models/copy-0.onnx"}


def page_of(scanned: Scanned, **options: Any) -> tuple[ScanContent, Page]:  # noqa: ANN401
    scan = open_scan(scanned.lines, scanned.fingerprint, **options)
    content = gather_scan(scan)
    return content, read_page(render_scan(scan, content))


@pytest.mark.parametrize("full", [False, True])
def test_the_page_says_every_model_and_all_behind_it(tmp_path: Path, full: bool) -> None:  # noqa: FBT001
    scanned = scan_toys(tmp_path, RATES, failed=BROKEN, copies=SAME, full=full)
    content, page = page_of(scanned)
    assert [row.name for row in content.rows if row.adjusted_verdict == "surrogate"] == [*RATES][:3]
    assert content.found == "3 of 9 models accused"
    for words in (content.found, content.sentence, content.error_rate, *content.null, content.replay):
        assert words in page.text
    for row in (*content.custody, *content.facts, *content.limits, *content.repeat):
        for words in vars(row).values():
            assert " ".join(words.split()) in page.text
    for row in content.rows:
        assert row.name in page.text
        assert " ".join(row.reason.split()) in page.text
    assert "and 1 more of the same content" in page.text
    assert ("8 of the 8 verdicts below were derived again" in content.replay) == full
    assert ("the verdicts could not be derived again" in content.replay) != full
    assert not page.named("script", "img")
    assert len(page.named("h1")) == 1


def test_custody_names_the_very_files(tmp_path: Path) -> None:
    scanned = scan_toys(tmp_path, RATES)
    rows = {row.what: row.sha256 for row in page_of(scanned)[0].custody}
    assert rows["Lines of the scan"] == hashlib.sha256(scanned.lines.read_bytes()).hexdigest()
    assert rows["Fingerprint"] == hashlib.sha256(scanned.fingerprint.read_bytes()).hexdigest()
    digests = sorted(hashlib.sha256(name.encode()).hexdigest() for name in RATES)
    family = b"cae-family-v1\0" + "".join(f"{digest}\n" for digest in digests).encode()
    assert rows["Family of models"] == hashlib.sha256(family).hexdigest()


def test_the_correction_is_said_and_may_be_chosen(tmp_path: Path) -> None:
    scanned = scan_toys(tmp_path, RATES)
    told = {name: page_of(scanned, correct=name)[0] for name in (None, "holm", "none")}
    assert "Benjamini-Hochberg" in told[None].error_rate
    assert "at most 5 % (Holm)" in told["holm"].error_rate
    assert "up to 0.4 of them would be accused by chance" in told["none"].error_rate
    smallest = min(row.p_value for row in told["holm"].rows if row.p_value is not None)
    assert told["holm"].rows[0].p_adjusted == pytest.approx(8 * smallest)
    assert "No accusation stands" in told["holm"].sentence, "8 times 0.01 is more than 5 %"


def test_without_a_calibration_there_is_no_rate(tmp_path: Path) -> None:
    content, page = page_of(scan_toys(tmp_path, RATES, calibrated=False))
    assert content.null == ()
    assert "The error rate is unknown" in content.error_rate
    assert "None is tested" in page.text
    assert "By a rule of thumb" in content.sentence


def test_the_figure_shows_the_scores_of_the_lines(tmp_path: Path) -> None:
    fingerprint = colour_fingerprint()
    calibration = calibration_of(fingerprint)
    scan = open_scan((kept := scan_toys(tmp_path, RATES, fingerprint=fingerprint)).lines, kept.fingerprint)
    found = scan_scores(scan)
    lines = [json.loads(line) for line in kept.lines.read_text().splitlines()[1:]]
    assert sorted(found.suspects) == pytest.approx(sorted(line["matches"] / line["asked"] for line in lines))
    assert found.threshold == lines[0]["threshold"]["value"]
    matches = calibration.references.answers == fingerprint.labels
    assert sorted(found.references) == pytest.approx(sorted(np.mean(matches[:, calibration.chosen], axis=1)))


def test_a_simulated_defence_is_told_before_all_else(tmp_path: Path) -> None:
    scanned = scan_toys(tmp_path, RATES)
    head, *lines = (json.loads(line) for line in scanned.lines.read_text().splitlines())
    head["options"] = {"defence": "bits:4"}
    scanned.lines.write_text("".join(f"{json.dumps(line)}\n" for line in (head, *lines)))
    content, page = page_of(scanned)
    assert content.sentence.startswith("With the defence bits:4 simulated before every suspect: Each judged alone")
    assert content.limits[0].title == "Anything about the suspects as they answer"
    assert content.repeat[2].command.endswith("--defence bits:4")
    assert content.limits[0].text in page.text


def test_many_models_are_cut_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "SHOWN", 3)
    monkeypatch.setattr("cae_report.scan_content.SHOWN", 3)
    content, page = page_of(scan_toys(tmp_path, RATES, full=True))
    assert len(content.rows) == 3
    assert content.left_out == 5
    assert "5 more are in the file" in page.text
    assert "3 of the 3 verdicts below were derived again" in content.replay


def test_the_command_writes_the_page(tmp_path: Path, run_cae: Run) -> None:
    scanned = scan_toys(tmp_path, RATES)
    output = tmp_path / "page.html"
    outcome = run_cae(*scanned.options, "--output", output)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{output}: Each judged alone, 3 of 8 models would be accused.")
    assert output.stat().st_mode & 0o777 == 0o600
    assert_one_sentence(run_cae(*scanned.options, "--json"), "A scan is JSON as it is", code=2)
    assert_one_sentence(run_cae(*scanned.options, "--correct", "luck", "--output", output), "luck", code=2)


def _line(change: Callable[[dict[str, Any]], Any], number: int = 1) -> Callable[[list[dict[str, Any]]], None]:
    def edit(lines: list[dict[str, Any]]) -> None:
        change(lines[number])

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda lines: lines.pop(), "goes on"),
        (_line(lambda line: line["suspect"].update(sha256="0" * 64)), "not the family that was fixed"),
        (_line(lambda line: line["suspect"].update(sha256="a\n<b>")), "64 digits"),
        (_line(lambda line: line.update(verdict="independent")), "do not give the line (verdict)"),
        (_line(lambda line: line.update(p_value=0.0001)), "do not give the line (p_value)"),
        (_line(lambda line: line.update(matches="3")), "matches must be"),
        (_line(lambda line: line.update(threshold=3)), "threshold must be"),
        (_line(lambda line: line.update(record=3)), "this is no verdict"),
        (_line(lambda line: line["record"].update(p_value=0.5)), "differs in p_value"),
        (_line(lambda line: line.update(scan=2)), "no line that `cae scan` writes"),
        (_line(lambda head: head.update(date=3), 0), "date must be"),
        (_line(lambda head: head.update(nonce="x"), 0), "no output of a scan"),
        (_line(lambda head: head.update(nonce="00" * 16), 0), "do not give the line (suspect)"),
        (_line(lambda head: head.update(models=7), 0), "goes on"),
        (_line(lambda head: head["fingerprint"].update(sha256="0" * 64), 0), "another fingerprint or calibration"),
    ],
)
def test_edited_lines_are_refused(
    tmp_path: Path, run_cae: Run, edit: Callable[[list[dict[str, Any]]], object], words: str
) -> None:
    scanned = scan_toys(tmp_path, {"a.onnx": 0.9, "b.onnx": 0.1}, full=True)
    lines = [json.loads(line) for line in scanned.lines.read_text().splitlines()]
    edit(lines)
    scanned.lines.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    output = tmp_path / "page.html"
    assert_one_sentence(run_cae(*scanned.options, "--output", output), words)
    assert not output.exists()


def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    names = [name.replace("\ud800", "") for name in HOSTILE]
    content, page = page_of(scan_toys(tmp_path, dict.fromkeys(names, 0.9), failed={"<b>": "<i>broken</i>: {{ 1 }}"}))
    assert not page.named("script", "b", "i")
    for words in ("<script>alert(1)</script>", "evil\\u202egpj.exe", "bell \\x07", "<i>broken</i>: {{ 1 }}"):
        assert words in page.text
    assert len(content.rows) == len(names) + 1
