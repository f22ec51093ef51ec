"""The facts of a verdict are derived at one place, once."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cae_core.files.records import as_json
from cae_core.verification import examination
from cae_core.verification.examination import examine
from cae_core.verification.options import VerificationOptions
from tests.core.suspects import ask, matching
from tests.core.toys import toy_calibration, toy_fingerprint

ROOT = Path(__file__).parents[3]
ONCE = ("first_answers", "circumstances_of", "examine", "evidence_of", "findings_of", "Examination", "Transcript")


def calls() -> Counter[str]:
    """Count the calls in production code of each function and class, by its name."""
    counts: Counter[str] = Counter()
    for folder in ("cae_core", "backends", "converters", "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    counts[getattr(node.func, "id", getattr(node.func, "attr", ""))] += 1
    return counts


def test_the_facts_are_derived_at_one_site() -> None:
    counts = calls()
    assert {name: counts[name] for name in ONCE} == dict.fromkeys(ONCE, 1)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_verification_derives_them_once(monkeypatch: pytest.MonkeyPatch, sequential: bool) -> None:  # noqa: FBT001
    made: Counter[str] = Counter()
    for name in ("first_answers", "circumstances_of"):
        original = getattr(examination, name)

        def counted(*arguments: object, name: str = name, original: object = original) -> object:
            made[name] += 1
            assert callable(original)
            return original(*arguments)

        monkeypatch.setattr(examination, name, counted)
    fingerprint = toy_fingerprint(n=60)
    calibration = toy_calibration(fingerprint, [i % 10 for i in range(39)], [50] * 39)
    verdict = ask(
        matching(fingerprint, 55),
        fingerprint,
        calibration=calibration,
        options=VerificationOptions(sequential=sequential),
    )
    as_json(verdict)
    assert made == {"first_answers": 1, "circumstances_of": 1}


def test_it_says_what_was_asked_and_matched() -> None:
    fingerprint = toy_fingerprint()
    verdict = ask(matching(fingerprint, 13, wrong_probes=4), fingerprint)
    found = verdict.examination
    assert (int(found.matches.sum()), len(found.matches)) == (13, 20)
    assert (int((~found.right).sum()), len(found.right)) == (4, 60)
    again = examine(found.subject, found.transcript, found.options)
    np.testing.assert_array_equal(again.matches, found.matches)
    assert (again.caeacc, again.circumstances, again.sides) == (found.caeacc, found.circumstances, None)
