"""What people are told of a verdict beside its sentence."""

import pytest

from cae_cli.verdict_facts import verdict_facts
from cae_core.verification.options import VerificationOptions
from cae_report.dossier import Dossier
from cae_report.evidence import evidence_rows
from tests.core.suspects import ask, matching
from tests.core.toys import toy_calibration, toy_fingerprint


@pytest.mark.parametrize(("examples", "told"), [(2, ["2, so that one answer changes CAEAcc by 0.50,"]), (20, [])])
def test_a_verdict_by_few_examples_says_so(examples: int, told: list[str]) -> None:
    fingerprint = toy_fingerprint(n=examples)
    calibration = toy_calibration(fingerprint, [0] * 19, [examples] * 9)
    verdict = ask(matching(fingerprint, examples), fingerprint, calibration=calibration)
    assert verdict.decision.verdict == "surrogate"
    found = [fact for fact in verdict_facts(verdict) if fact.name == "few examples"]
    assert [fact.value.partition(" and ")[0] for fact in found] == told
    assert all(fact.doubt for fact in found)
    rows = evidence_rows(Dossier(verdict, ("verdict.json", ""), ("fingerprint", "")))
    assert [row.value.partition(" and ")[0] for row in rows if row.name == "Few examples"] == told


def test_a_sequential_verdict_asks_few_where_few_decide() -> None:
    fingerprint = toy_fingerprint(n=100)
    calibration = toy_calibration(fingerprint, [0] * 99, [100] * 99)
    options = VerificationOptions(sequential=True)
    verdict = ask(matching(fingerprint, 100), fingerprint, calibration=calibration, options=options)
    assert (verdict.decision.verdict, verdict.caeacc.asked < 20) == ("surrogate", True)
    assert "few examples" not in {fact.name for fact in verdict_facts(verdict)}
