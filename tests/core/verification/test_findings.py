"""What an examination shows beside the decision: a further finding is one function, and everybody tells it."""

import json
from pathlib import Path

import pytest

from cae_cli.verdict_facts import verdict_facts
from cae_core.files.records import as_json
from cae_core.verification.examination import Examination
from cae_core.verification.findings import table
from cae_core.verification.findings.finding import Finding, Line
from cae_core.verification.replay import replay_verdict
from cae_report.dossier import Dossier
from cae_report.evidence import evidence_rows
from tests.core.suspects import ask, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint()
CALIBRATION = toy_calibration(FINGERPRINT, range(10), [15] * 10)


def answered(examination: Examination) -> Finding:
    count = len(examination.transcript)
    line = Line(label="answered", text=f"{count} times", title="Answers", shown=str(count), note="of any kind")
    return Finding(key="answered", value=count, lines=(line,))


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "FINDINGS", (*table.FINDINGS, answered))


@pytest.mark.usefixtures("one_more")
def test_json_table_and_report_tell_a_further_finding() -> None:
    verdict = ask(matching(FINGERPRINT, 12), FINGERPRINT, calibration=CALIBRATION)
    asked = len(verdict.answers)
    assert as_json(verdict)["findings"]["answered"] == asked
    assert ("answered", f"{asked} times") in {(fact.name, fact.value) for fact in verdict_facts(verdict)}
    rows = evidence_rows(Dossier(verdict, ("verdict.json", ""), ("fingerprint", "")))
    assert ("Answers", str(asked), "of any kind") in {(row.name, row.value, row.note) for row in rows}
    assert verdict.finding("answered") == asked


def test_a_record_of_a_release_that_knew_fewer_findings_is_derived_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(json.dumps(as_json(ask(matching(FINGERPRINT, 12), FINGERPRINT))))
    assert "findings" not in told
    monkeypatch.setattr(table, "FINDINGS", (*table.FINDINGS, answered))
    assert replay_verdict(told, paired(FINGERPRINT)).differences == ()


@pytest.mark.usefixtures("one_more")
def test_a_finding_that_was_edited_is_noticed() -> None:
    told = json.loads(json.dumps(as_json(ask(matching(FINGERPRINT, 12), FINGERPRINT))))
    told["findings"]["answered"] += 1
    assert replay_verdict(told, paired(FINGERPRINT)).differences == ("findings",)


def test_each_finding_stands_in_a_file_of_its_own() -> None:
    files = {Path(find.__code__.co_filename).stem for find in table.FINDINGS}
    assert len(files) == len(table.FINDINGS)
