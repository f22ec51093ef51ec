"""Is the suspect of the kind that the references stand for?"""

import dataclasses
import math

import numpy as np
import pytest

from cae_core.calibration import Calibration
from cae_core.exchangeability import benign_range, outside_range, unrepresented_ancestor
from cae_core.fingerprint import Fingerprint
from tests.core.suspects import ask, matching
from tests.core.toys import toy_calibration, toy_fingerprint, toy_group

FINGERPRINT = toy_fingerprint()
PROBES = np.arange(60)


def accurate(*wrong: int) -> Calibration:
    """Return a calibration on references that err on so many of the last probes."""
    references = toy_group(FINGERPRINT, np.zeros((len(wrong), 20), bool), "r", wrong_probes=wrong)
    return dataclasses.replace(toy_calibration(FINGERPRINT, [0]), references=references)


def test_the_range_is_over_the_very_probes_that_the_suspect_was_asked() -> None:
    calibration = accurate(6, 3, 0)
    assert benign_range(calibration, PROBES) == (54 / 60, 1.0)
    assert benign_range(calibration, np.array([59, 0, 56, 58])) == (1 / 4, 1.0)
    assert benign_range(calibration, PROBES[:50]) == (1.0, 1.0)


def test_without_probes_or_references_there_is_no_range() -> None:
    assert benign_range(accurate(1), PROBES[:0]) is None
    assert benign_range(accurate(), PROBES) is None
    assert outside_range(np.ones(5, bool), None) is None


@pytest.mark.parametrize(("right", "inside"), [(43, False), (44, True), (47, True), (48, True), (49, False)])
def test_both_ends_belong_to_the_range(right: int, inside: bool) -> None:  # noqa: FBT001
    reason = outside_range(np.arange(50) < right, (44 / 50, 48 / 50))
    assert (reason is None) == inside
    if reason is not None:
        assert reason.startswith(f"its accuracy on the benign images, {right / 50:.0%}, is outside the 88% to 96% of")


def test_a_suspect_as_accurate_as_a_reference_is_inside_to_the_last_bit() -> None:
    for asked in range(1, 60):
        for right in range(asked + 1):
            calibration = accurate(60 - right)
            limits = benign_range(calibration, PROBES[:asked])
            assert outside_range(PROBES[:asked] < right, limits) is None


def test_one_more_independent_model_is_seldom_outside() -> None:
    """At most 2 / (r + 1), by exchangeability, however noisy 50 probes are."""
    random, rounds, r = np.random.default_rng(21), 2000, 19
    outside = 0
    for _ in range(rounds):
        right = random.random((r + 1, 50)) < random.uniform(0.8, 0.9, (r + 1, 1))
        accuracy = right.mean(axis=1)
        outside += outside_range(right[0], (accuracy[1:].min(), accuracy[1:].max())) is not None
    bound = 2 / (r + 1)
    assert 0 < outside / rounds < bound + 3 * math.sqrt(bound / rounds)


def with_ancestors(source: str, references: tuple[str, ...]) -> tuple[Fingerprint, Calibration]:
    described = {"name": "source", "accuracy": 0.9, **({"ancestor": source} if source else {})}
    fingerprint = dataclasses.replace(FINGERPRINT, generation={**FINGERPRINT.generation, "source": described})
    group = toy_calibration(fingerprint, [0] * len(references)).references
    models = tuple(dataclasses.replace(m, ancestor=a) for m, a in zip(group.models, references, strict=True))
    made = toy_calibration(fingerprint, [0], fpr=0.5)
    return fingerprint, dataclasses.replace(made, references=dataclasses.replace(group, models=models))


@pytest.mark.parametrize(
    ("source", "references", "named"),
    [
        ("", ("", ""), ""),
        ("", ("imagenet", ""), ""),
        ("", ("imagenet", "imagenet"), ""),
        ("imagenet", ("", ""), "imagenet"),
        ("imagenet", ("imagenet", "imagenet"), ""),
        ("imagenet", ("imagenet", ""), "imagenet"),
        ("imagenet", ("jft", "jft"), "imagenet"),
    ],
)
def test_where_the_source_has_an_ancestor_the_references_must_too(
    source: str, references: tuple[str, ...], named: str
) -> None:
    assert unrepresented_ancestor(*with_ancestors(source, references)) == named


def test_the_verdict_names_the_ancestor() -> None:
    fingerprint, calibration = with_ancestors("imagenet", ("", ""))
    verdict = ask(matching(fingerprint, 20), fingerprint, calibration=calibration)
    assert verdict.decision.verdict == "surrogate"
    assert "shares its ancestor (imagenet)" in verdict.decision.reason
    uncalibrated = ask(matching(fingerprint, 20), fingerprint)
    assert "shares its ancestor (imagenet)" in uncalibrated.decision.reason
    fingerprint, calibration = with_ancestors("imagenet", ("imagenet", "imagenet"))
    assert "ancestor" not in ask(matching(fingerprint, 20), fingerprint, calibration=calibration).decision.reason


@pytest.mark.parametrize("wrong", [0, 25])
def test_the_verdict_of_a_suspect_outside_is_extrapolated(wrong: int) -> None:
    """References err on 8 or 9 of 60 probes: better and worse ones are outside alike."""
    calibration = dataclasses.replace(accurate(9, 8, 8, 9), fpr=0.5)
    suspect = matching(FINGERPRINT, 20, wrong_probes=wrong)
    verdict = ask(suspect, FINGERPRINT, calibration=calibration)
    assert (verdict.decision.verdict, verdict.decision.extrapolated) == ("inconclusive", True)
    assert verdict.benign_range is not None
    assert not verdict.benign_range[0] <= verdict.benign_accuracy <= verdict.benign_range[1]
