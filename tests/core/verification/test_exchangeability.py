"""Is the suspect of the kind that the references stand for?"""

import dataclasses
import math

import numpy as np
import pytest

from cae_core.calibration.record import Calibration
from cae_core.fingerprint.file import Fingerprint
from cae_core.verification.exchangeability import benign_range, outside_range, unlike_references, unrepresented_ancestor
from tests.core.suspects import ask, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint, toy_group

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
        assert reason.startswith(
            f"the suspect's accuracy on the benign images, {right / 50:.0%}, is outside the references' range of 88% "
            "to 96%"
        )


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


class TestAccuracyBeyondChance:
    @pytest.mark.parametrize(("wrong", "outside"), [(0, False), (1, False), (5, False), (6, True), (30, True)])
    @pytest.mark.parametrize("probes", [50, 200])
    def test_one_image_decides_nothing(self, probes: int, wrong: int, *, outside: bool) -> None:
        """References are right everywhere; six errors are 1 in 32 by the sign test, five 1 in 16."""
        references = np.ones((19, probes), bool)
        assert (unlike_references(np.arange(probes) >= wrong, references) is not None) == outside

    @pytest.mark.parametrize("right", range(150, 201, 5))
    def test_near_an_end_of_the_range_one_image_more_or_less_changes_nothing(self, right: int) -> None:
        """Suspects as accurate as the least and the most accurate reference, by other errors than theirs."""
        random = np.random.default_rng(right)
        references = np.array([random.permutation(200) < count for count in (right, right, right)])
        for moved in (-1, 0, 1):
            suspect = random.permutation(200) < min(200, right + moved)
            assert unlike_references(suspect, references) is None

    def test_the_more_accurate_are_outside_as_the_less_accurate_are(self) -> None:
        references = np.tile(np.arange(60) >= 20, (5, 1))
        assert unlike_references(np.arange(60) >= 0, references) is not None
        assert unlike_references(np.arange(60) >= 40, references) is not None
        assert unlike_references(np.arange(60) >= 22, references) is None

    def test_it_has_to_differ_from_every_reference(self) -> None:
        references = np.stack([np.arange(60) >= wrong for wrong in (0, 20, 40)])
        for wrong in range(61):
            outside = unlike_references(np.arange(60) >= wrong, references) is not None
            assert outside == (wrong >= 46)

    def test_errors_on_both_sides_cancel(self) -> None:
        """Eight more errors of forty on which the two differ are chance; eight of eight are not."""
        reference = np.arange(200) >= 16
        suspect = np.arange(200) < 176
        assert (reference & ~suspect).sum() == 24
        assert unlike_references(suspect, reference[np.newaxis]) is None
        assert unlike_references(np.arange(200) >= 24, reference[np.newaxis]) is not None

    def test_without_references_or_probes_nothing_is_said(self) -> None:
        assert unlike_references(np.zeros(0, bool), np.zeros((3, 0), bool)) is None
        assert unlike_references(np.zeros(9, bool), np.zeros((0, 9), bool)) is None

    def test_a_model_of_the_references_kind_is_hardly_ever_outside(self) -> None:
        random, outside, rounds = np.random.default_rng(22), 0, 1000
        for _ in range(rounds):
            difficulty = random.random(200)
            skill = random.uniform(0.85, 0.99, 20)
            right = random.random((20, 200)) < np.where(difficulty < 0.7, 0.999, skill[:, np.newaxis] - 0.3)
            outside += unlike_references(right[0], right[1:]) is not None
        assert outside / rounds < 0.01

    def test_a_verdict_says_so_and_stands_one_image_away(self) -> None:
        """Of twenty references all are right; the suspect errs once, and then eight times."""
        calibration = toy_calibration(FINGERPRINT, [0] * 19, [18] * 3)
        near = ask(matching(FINGERPRINT, 20, wrong_probes=1), FINGERPRINT, calibration=calibration)
        assert (near.decision.verdict, near.decision.extrapolated, near.benign_range) == ("surrogate", False, (1, 1))
        far = ask(matching(FINGERPRINT, 20, wrong_probes=8), FINGERPRINT, calibration=calibration)
        assert (far.decision.verdict, far.decision.extrapolated) == ("inconclusive", True)
        assert far.decision.reason.startswith(
            "the suspect's accuracy on the benign images, 87%, is outside the references' range of 100% to 100% by "
            "more than chance, so the references cannot be compared with it (CAEAcc 1.00"
        )


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
    assert unrepresented_ancestor(paired(*with_ancestors(source, references))) == named


def test_the_verdict_names_the_ancestor() -> None:
    fingerprint, calibration = with_ancestors("imagenet", ("", ""))
    verdict = ask(matching(fingerprint, 20), fingerprint, calibration=calibration)
    assert verdict.decision.verdict == "surrogate"
    assert "the source's pretrained ancestor (imagenet)" in verdict.decision.reason
    uncalibrated = ask(matching(fingerprint, 20), fingerprint)
    assert "the source's pretrained ancestor (imagenet)" in uncalibrated.decision.reason
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
