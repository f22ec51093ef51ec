"""The page of a judgement: derived again from the judge's record, refused where that does not give it."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cae_core.disputes.judging import DatedEvidence
from cae_core.disputes.regeneration import seed_of
from cae_report.judgement import open_case
from cae_report.judgement_content import JudgementContent, gather_judgement
from cae_report.page import render_judgement
from tests.cli.test_bad_input import assert_one_sentence
from tests.core.judge_toys import NONCE
from tests.report.html_pages import Page, read_page
from tests.report.judgement_cases import Kept, judge_toy, judge_unasked_toy, regenerated
from tests.report.report_cases import HOSTILE
from tests.report.test_report import Run

CASES: dict[str, dict[str, Any]] = {
    "upheld": {},
    "rejected": {"suspect": "stranger"},
    "undated": {"dated": DatedEvidence()},
    "controls": {"controls": 19},
}


def page_of(kept: Kept) -> tuple[JudgementContent, Page]:
    case = open_case(kept.record, kept.fingerprint)
    content = gather_judgement(case, examples=2)
    return content, read_page(render_judgement(case, content))


@pytest.mark.parametrize("name", CASES)
def test_the_page_says_the_judgement_and_all_behind_it(tmp_path: Path, name: str) -> None:
    kept = judge_toy(tmp_path, **CASES[name])
    record = json.loads(kept.record.read_text())
    content, page = page_of(kept)
    assert content.outcome == record["outcome"]
    assert content.verification is not None
    for words in (content.sentence, content.error_rate, *content.null, content.replay, record["reason"]):
        assert words in page.text
    for row in (*content.custody, *content.facts, *content.limits, *content.repeat):
        for words in vars(row).values():
            assert " ".join(words.split()) in page.text
    facts = {row.name: row.value for row in content.facts}
    assert float(facts["p-value, all seals counted"]) == pytest.approx(record["p_adjusted"], abs=5e-4)
    assert len([tag for tag in page.named("svg") if "standing" in str(tag.attributes["aria-labelledby"])]) == 1
    assert len(page.named("h1")) == 1
    assert not page.named("script")


def test_the_words_depend_on_the_outcome(tmp_path: Path) -> None:
    told = {name: page_of(judge_toy(tmp_path, **CASES[name]))[0] for name in ("upheld", "rejected", "undated")}
    assert told["upheld"].sentence.startswith("The judge upholds the claim: the suspect gave the source's own wrong")
    assert "the seal is older than the suspect" in told["upheld"].sentence
    assert "does not prove that the suspect is independent" in told["rejected"].sentence
    assert "How many copies it misses is not bounded" in told["rejected"].error_rate
    assert told["undated"].sentence.startswith("The judge cannot decide this claim: direction not proven")
    assert told["undated"].remedy.startswith("Give the seal's timestamp")
    titles = {name: {limit.title for limit in content.limits} for name, content in told.items()}
    assert "Independence" not in titles["upheld"]
    assert {"Independence", "Bad faith"} <= titles["rejected"]
    commands = {name: " ".join(step.command for step in content.repeat) for name, content in told.items()}
    assert "openssl ts -verify" in commands["upheld"]
    assert "openssl" not in commands["undated"]


def test_seals_are_counted(tmp_path: Path) -> None:
    content = page_of(judge_toy(tmp_path, suspect="stranger", seals=1))[0]
    assert "multiplied" not in content.error_rate
    unasked = page_of(judge_toy(tmp_path, seals=2))[0]
    assert unasked.verification is None, "19 references do not do for two seals"
    assert "when p is multiplied by 2 seals" in unasked.sentence


def test_control_sources_are_in_the_hypothesis(tmp_path: Path) -> None:
    content = page_of(judge_toy(tmp_path, controls=19))[0]
    assert "either it was trained without the source" in content.null[0]
    assert "of which there are 20" in content.null[0]
    assert "independent models of whatever kind" in content.error_rate


def test_a_suspect_that_was_not_asked_needs_no_fingerprint(tmp_path: Path, run_cae: Run) -> None:
    kept = judge_unasked_toy(tmp_path)
    assert not kept.fingerprint.exists()
    output = tmp_path / "page.html"
    outcome = run_cae(*kept.options, "--output", output)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{output}: cannot judge. The suspect was not asked.")
    page = read_page(output.read_text())
    assert "5 references are fewer than the 19 that every judgement needs" in page.text
    assert "Nothing was tested" in page.text
    assert not page.named("svg", "img")


def test_the_fingerprint_beside_it_is_taken(tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    kept = judge_toy(folder)
    monkeypatch.chdir(tmp_path)
    outcome = run_cae(*kept.options)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("report.html: upheld. The judgement was derived again from the ")
    page = read_page((tmp_path / "report.html").read_text())
    for path in (kept.record, kept.fingerprint):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in page.text
    assert len(page.named("img")) == 3 * 12


def test_only_a_verdict_has_the_report_as_json(tmp_path: Path, run_cae: Run) -> None:
    kept = judge_unasked_toy(tmp_path)
    assert_one_sentence(run_cae(*kept.options, "--json"), "A judgement is JSON as it is", code=2)
    assert_one_sentence(run_cae(*kept.options, "--correct", "holm"), "--correct", code=2)


def _other_seals(record: dict[str, Any]) -> None:
    record["seals"] = 2


def _earlier_seal(record: dict[str, Any]) -> None:
    record["evidence"]["sealed_at"] = "2027-01-01T00:00:00+00:00"


def _other_rate(record: dict[str, Any]) -> None:
    record["fpr"] = 0.5


def _other_answer(record: dict[str, Any]) -> None:
    answer = next(each for each in record["verification"]["answers"] if each["kind"] == "fingerprint")
    answer["label"] = (answer["label"] + 1) % 4


def _other_nonce(record: dict[str, Any]) -> None:
    record["nonce"] = "00" * 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_other_seals, "differs in needed, outcome, p_adjusted"),
        (_earlier_seal, "differs in evidence, outcome, reason, remedy"),
        (_other_rate, "differs in fpr"),
        (_other_answer, "the recorded answers do not give what the record says"),
        (_other_nonce, "is not the one that the judge's nonce gives"),
        (lambda record: record.update(outcome="rejected"), "differs in outcome"),
        (lambda record: record.update(p_value=0.01), "differs in p_value"),
        (lambda record: record.update(verification=None), "nothing kept the judge from asking"),
        (lambda record: record.update(verification=[]), "no verdict can have been recorded so"),
        (lambda record: record.update(nonce=3), "this is no judgement"),
        (lambda record: record.update(seals=True), "seals must be"),
        (lambda record: record.update(evidence={"sealed_at": "today"}), "this is no judgement"),
        (lambda record: record.update(evidence={"sealed_at": "2026-01-01"}), "no time zone"),
        (lambda record: record["files"].pop("seal"), "seal must be"),
        (lambda record: record["claim"].update(claimant=["x"]), "claimant must be"),
        (lambda record: record["consistency"].update(examples="x"), "examples must be"),
        (lambda record: record.update(containment={"suspect": 3, "claimant": None}), "no judgement"),
        (lambda record: record.update(control_sources=3), "control_sources must be"),
    ],
)
def test_an_edited_record_is_refused(
    tmp_path: Path, run_cae: Run, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    kept = judge_toy(tmp_path)
    record = json.loads(kept.record.read_text())
    change(record)
    kept.record.write_text(json.dumps(record))
    output = tmp_path / "page.html"
    assert_one_sentence(run_cae(*kept.options, "--output", output), words)
    assert not output.exists()


def test_another_fingerprint_is_refused(tmp_path: Path, run_cae: Run) -> None:
    kept = judge_toy(tmp_path)
    other = judge_toy(tmp_path, controls=19)
    assert other.fingerprint == kept.fingerprint, "the second has replaced the first"
    kept.record.write_text(json.dumps(json.loads(kept.record.read_text()) | {"verification": _of_the_first(tmp_path)}))
    assert_one_sentence(
        run_cae(*kept.options, "--output", tmp_path / "page.html"), "Give the fingerprint that it names"
    )
    assert_one_sentence(run_cae(*kept.options, "--fingerprint", tmp_path / "none"), "no such fingerprint file")


def _of_the_first(folder: Path) -> dict[str, Any]:
    (folder / "first").mkdir()
    record: dict[str, Any] = json.loads(judge_toy(folder / "first").record.read_text())["verification"]
    return record


def test_hostile_names_are_shown_and_stand_in_no_command(tmp_path: Path) -> None:
    kept = judge_toy(tmp_path, name=" ".join(HOSTILE), claimant=HOSTILE[0])
    record = json.loads(kept.record.read_text())
    record["files"]["claim"]["name"] = "$(reboot)"
    record["tool"] = HOSTILE[4]
    kept.record.write_text(json.dumps(record))
    content, page = page_of(kept)
    assert not page.named("script")
    assert HOSTILE[0] in page.text
    assert "bell \\x07" in page.text
    commands = [step.command for step in content.repeat]
    assert "--claim CLAIM" in commands[-1]
    assert "--suspect SUSPECT" in commands[-1]
    assert not [command for command in commands if "reboot" in command]


def test_the_seed_is_the_nonces_and_not_what_the_file_says(tmp_path: Path) -> None:
    """The oracle is the judge's own: his regeneration was searched from this seed."""
    regeneration = regenerated()[1]
    assert regeneration.fingerprint.generation["settings"]["seed"] == seed_of(NONCE)
    case = open_case((kept := judge_toy(tmp_path)).record, kept.fingerprint)
    assert case.nonce == NONCE.hex()
    assert dataclasses.replace(case).judgement.outcome == "upheld"
