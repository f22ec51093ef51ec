"""The answer of a page: its error rate, its hypotheses, who held what, and commands that repeat it."""

import hashlib
import json
from pathlib import Path

import pytest

from cae_core.files.records import as_json
from cae_core.verification.options import VerificationOptions
from cae_report.content import ReportContent, gather_content
from cae_report.dossier import open_dossier
from cae_report.null_hypothesis import likely_as
from cae_report.repeating import argument
from tests.cli.conftest import Outcome, Pool
from tests.report.report_cases import HOSTILE, Files, colour_fingerprint
from tests.report.test_report import Run, make


def content_of(files: Files) -> ReportContent:
    return gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)


def ran(run_cae: Run, command: str) -> Outcome:
    name, *arguments = command.split()
    assert name == "cae"
    return run_cae(*arguments)


@pytest.mark.parametrize(
    ("name", "rate", "hypotheses"),
    [
        ("surrogate", "accuses at most 5 % of independent models like the references", 1),
        ("independent", "misses at most 5 % of copies", 2),
        ("inconclusive", "accuses nobody and clears nobody", 2),
        ("few references", "accuses nobody and clears nobody", 1),
        ("parametric", "if a fitted statistical model holds", 1),
        ("uncalibrated", "The error rate is unknown", 0),
    ],
)
def test_the_error_rate_and_the_hypotheses(tmp_path: Path, name: str, rate: str, hypotheses: int) -> None:
    content = content_of(make(tmp_path, name))
    assert rate in content.error_rate
    assert len(content.null) == hypotheses
    if hypotheses:
        references = content.verdict["calibration"]["references"]
        assert f"one more model like the {references} reference" in content.null[0]
        assert f"{content.verdict['p_value']:.3g}" in content.null[0]
    if hypotheses == 2:
        assert "one more copy like the" in content.null[1]
        assert f"{content.verdict['p_value_surrogate']:.3g}" in content.null[1]


def test_what_a_p_value_says() -> None:
    assert "at most 2 % of cases (p = 0.02)" in likely_as(0.02)
    assert "p is 1" in likely_as(1.0)
    assert "not guaranteed" in likely_as(0.02, modelled=True)


def test_custody_names_the_very_files(tmp_path: Path) -> None:
    files = make(tmp_path)
    record = json.loads(files.verdict.read_text())
    rows = {row.what: row for row in content_of(files).custody}
    for what, path in (("Record of the verdict", files.verdict), ("Fingerprint", files.fingerprint)):
        assert rows[what].value == path.name
        assert rows[what].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (rows["Suspect"].value, rows["Suspect"].sha256) == (record["suspect"]["name"], record["suspect"]["sha256"])
    assert rows["Asked on"].value == record["date"]
    assert rows["Nonce"].value == record["nonce"]
    assert rows["Calibration"].sha256 == record["calibration"]["sha256"]
    assert rows["Source"].sha256 == "e" * 64
    assert "record says so" in rows["Asked on"].known
    assert "hashed when this page was written" in rows["Fingerprint"].known


def test_the_commands_repeat_the_verdict(pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    files = Files(tmp_path / "verdict.json", fingerprint)
    said = run_cae("verify", "--suspect", pool.copy, "--fingerprint", fingerprint, "--max-queries", 90, "--json")
    files.verdict.write_text(said.out)
    record = json.loads(said.out)
    compare, derive, ask, page = (
        step.command.replace("verdict.json", str(files.verdict)).replace(fingerprint.name, str(fingerprint))
        for step in content_of(files).repeat
    )
    assert compare == f"sha256sum {files.verdict} {fingerprint}"
    assert ran(run_cae, derive).code == 0
    again = ran(run_cae, f"{ask} --json").json()
    for one in (again, record):  # what the ledger has counted by then
        for count in ("verifications", "recognised"):
            one["options"].pop(count, None)
    for name in ("answers", "verdict", "p_value", "options"):
        assert again[name] == record[name]
    output = tmp_path / "again.html"
    assert ran(run_cae, page.replace("report.html", str(output))).code == 0
    assert "How to repeat it" in output.read_text()


def test_the_command_that_asks_again_has_the_options(tmp_path: Path) -> None:
    options = VerificationOptions(
        sequential=True, beacon="0af1" * 16, beacon_time="2026-05-01T12:00Z", claimed_accuracy=0.9
    )
    command = content_of(make(tmp_path, options=options)).repeat[2].command
    for words in ("--sequential", f"--beacon {'0af1' * 16}", "--claimed-accuracy 0.9"):
        assert words in command
    assert "--nonce" not in command, "the order follows from the beacon"


@pytest.mark.parametrize("name", [*HOSTILE, "-rf", "cmd:reboot", "a b", "", "x" * 200, "$(reboot)", "a\n"])
def test_no_command_holds_a_name_that_a_shell_would_read_otherwise(name: str) -> None:
    assert argument(name, "SUSPECT") == "SUSPECT"
    assert argument("models/theirs-2.onnx", "SUSPECT") == "models/theirs-2.onnx"


def test_one_file_is_named(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path, "uncalibrated")
    for arguments in (["report"], ["report", files.verdict, *files.options[1:]]):
        refused = run_cae(*arguments)
        assert refused.code == 2
        assert "name one file" in refused.err
    output = ("--fingerprint", files.fingerprint, "--json")
    assert run_cae("report", files.verdict, *output).json() == run_cae(*files.options, "--json").json()


def test_hostile_names_stand_in_no_command(tmp_path: Path) -> None:
    files = make(tmp_path, fingerprint=colour_fingerprint(names=HOSTILE), suspect="a; reboot")
    steps = as_json(content_of(files).repeat)
    assert "SUSPECT" in steps[2]["command"]
    assert not [step for step in steps if "reboot" in step["command"]]
