"""The adjusted score: against a fit of its own for each model, exact over exchangeable models, cautious beyond them."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.calibration.adjusting import adjusted_in_vain, rates_by_kind
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Ranking, Seen, Standing
from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions
from tests.core.suspects import ask, matching
from tests.core.toys import counted, paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=40, probes=50)
PROBES = np.arange(50)


def accurate(counts: Sequence[int]) -> NDArray[np.bool_]:
    """Return bool (r, 50): model i is right about the first ``counts[i]`` probes."""
    return np.array([count > PROBES for count in counts])


def calibrated(
    matches: list[int],
    right: list[int],
    surrogates: Sequence[int] = (),
    surrogates_right: Sequence[int] = (),
    degree: int = 1,
) -> Calibration:
    """Return a calibration by the adjusted score, of models with these matches and right probes."""
    calibration = toy_calibration(FINGERPRINT, matches, surrogates, score=Score.ADJUSTED)
    references = dataclasses.replace(calibration.references, right=accurate(right))
    theirs = dataclasses.replace(
        calibration.surrogates, right=accurate(surrogates_right) if surrogates else np.zeros((0, 50), bool)
    )
    return dataclasses.replace(calibration, references=references, surrogates=theirs, degree=degree)


def stand(
    calibration: Calibration, matches: int, right: int, fingerprint: Fingerprint = FINGERPRINT, *, plainly: bool = True
) -> Standing:
    seen = Seen(
        asked=np.arange(40), matches=counted(FINGERPRINT, [matches], seed=3)[0], probed=PROBES, right=right > PROBES
    )
    return paired(fingerprint, calibration).standing(seen, plainly=plainly)


def adjusted(rankings: Sequence[Ranking]) -> Ranking:
    return next(ranking for ranking in rankings if ranking.score == Score.ADJUSTED)


def deleted(y: Floats64, x: Floats64, degree: int, i: int) -> float:
    """The studentised deleted residual of model i by what its name says: fit the others, predict it."""
    design = np.vander(x - x.mean(), degree + 1)
    others = np.delete(design, i, axis=0)
    weights, *_ = np.linalg.lstsq(others, np.delete(y, i), rcond=None)
    residual = np.delete(y, i) - others @ weights
    variance = residual @ residual / (len(residual) - degree - 1)
    return float(
        (y[i] - design[i] @ weights)
        / np.sqrt(variance * (1 + design[i] @ np.linalg.inv(others.T @ others) @ design[i]))
    )


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_scores_are_those_of_a_fit_without_each_model(degree: int) -> None:
    random = np.random.default_rng(degree)
    matches, right = random.integers(1, 40, 13).tolist(), random.integers(25, 50, 13).tolist()
    copies, copies_right = random.integers(20, 40, 5).tolist(), random.integers(25, 50, 5).tolist()
    standing = stand(calibrated(matches, right, copies, copies_right, degree), 30, right[0])
    x = np.array([*right, right[0]]) / 50
    y = np.arcsin(np.sqrt(np.array([*matches, 30]) / 40))
    expected = [deleted(y, x, degree, i) for i in range(14)]
    high, low = adjusted(standing.references), adjusted(standing.surrogates)
    np.testing.assert_allclose([*high.scores, high.value], expected, atol=1e-6)
    for copy, (found, copy_right) in enumerate(zip(copies, copies_right, strict=True)):
        alone = np.append(y[:-1], np.arcsin(np.sqrt(found / 40))), np.append(x[:-1], copy_right / 50)
        assert low.scores[copy] == pytest.approx(deleted(*alone, degree, 13), abs=1e-6)


def test_the_rank_is_exact_whoever_of_the_models_is_the_suspect() -> None:
    """Each of 20 models is the suspect once: at most k of them have p <= k / 20, whatever their accuracies are.

    The larger of two such p-values, which decides, can only be rarer.
    """
    for seed in range(20):
        random = np.random.default_rng(seed)
        right = random.integers(20, 50, 20)
        matches = np.clip(right - 15 + random.integers(-5, 6, 20), 0, 40)
        alone, larger = list[Fraction](), list[Fraction]()
        for i in range(20):
            others = np.delete(matches, i).tolist(), np.delete(right, i).tolist()
            standing = stand(calibrated(*others), int(matches[i]), int(right[i]))
            alone.append(adjusted(standing.references).exact_p_value)
            larger.append(standing.high.exact_p_value)
        for p_values in (alone, larger):
            assert all(sum(p <= Fraction(k, 20) for p in p_values) <= k for k in range(1, 20))
        assert min(alone) <= Fraction(2, 20)  # and it is no idle rule


def test_kinds_of_examples_have_residuals_of_their_own() -> None:
    """One kind that everybody matches and one that only the suspect does: the sum is of both fits."""
    matches = np.array([[True, True, False, False], [True, False, True, False]])
    rates = rates_by_kind(matches, np.array([3, 3, 0, 0]))
    assert rates.tolist() == [[0.0, 0.5], [1.0, 0.5]]


def test_what_accuracy_explains_is_no_evidence() -> None:
    """Matches fall with accuracy here: a careless model matches more than any reference, as one of its kind does."""
    right = [*range(30, 49), 49]
    calibration = calibrated([60 - count + (count % 3) for count in right], right)
    plain = dataclasses.replace(calibration, score=Score.CAEACC)
    assert (stand(plain, 31, 30).p_value, stand(plain, 27, 48).p_value) == (1 / 21, 7 / 21)
    careless, copy = (stand(calibration, *shown, plainly=False) for shown in ((31, 30), (27, 48)))
    assert (careless.p_value > 0.1, copy.p_value) == (True, 1 / 21)
    careless, copy = (stand(calibration, *shown) for shown in ((31, 30), (27, 48)))
    assert (careless.p_value > 0.1, copy.p_value) == (True, 7 / 21)


def test_an_accuracy_that_only_other_models_have_is_no_evidence() -> None:
    """Robust references err often and match seldom; an honest model that compresses its images errs often as well."""
    right = [*range(40, 50), *range(40, 50), *range(20, 30)]
    calibration = calibrated([12 + count % 5 for count in right[:20]] + [count % 3 for count in right[20:]], right)
    by_the_fit, by_both = (stand(calibration, 15, 30, plainly=plainly) for plainly in (False, True))
    assert by_the_fit.p_value == 1 / 31, "as many matches as ordinary references have, but not of its accuracy"
    assert by_both.p_value > 0.2
    assert by_both.score == Score.CAEACC


@pytest.mark.parametrize("plainly", [True, False])
def test_the_larger_p_counts_by_the_present_rule_and_beyond_the_accuracies(*, plainly: bool) -> None:
    right = [*range(30, 49), 49]
    calibration = calibrated([10 + (count % 4) for count in right], right)
    inside = stand(calibration, 25, 40, plainly=plainly)
    assert not inside.outside
    assert [ranking.score for ranking in inside.references] == [Score.ADJUSTED, Score.CAEACC][: 1 + plainly]
    beyond = stand(calibration, 12, 10, plainly=plainly)
    assert beyond.outside
    assert [ranking.score for ranking in beyond.references] == [Score.ADJUSTED, Score.CAEACC]
    for standing in (inside, beyond):
        assert standing.p_value == max(ranking.p_value for ranking in standing.references)
        assert standing.p_value_surrogate == max(ranking.p_value for ranking in standing.surrogates)


def test_the_threshold_is_what_the_references_have_beside_the_suspect() -> None:
    right = [*range(30, 49)]
    standing = stand(calibrated([10 + (count % 4) for count in right], right), 25, 40)
    threshold = standing.threshold(40, rate=0.05, parametric=False)
    assert threshold is not None
    assert max(standing.high.scores) < threshold <= standing.value
    assert standing.threshold(40, rate=0.04, parametric=False) is None  # 19 references cannot support it


def test_a_model_has_no_adjusted_score_by_itself() -> None:
    calibration = calibrated([1, 2, 3], [40, 41, 42])
    with pytest.raises(OptionError, match="beside all references"):
        calibration.scored(np.ones((1, 40), bool), np.arange(40), Score.ADJUSTED)


def test_a_verdict_by_the_adjusted_score_shows_both_and_which_counts() -> None:
    right = [*range(30, 49), 49]
    calibration = calibrated([10 + (count % 4) for count in right], right, [36, 38, 39], [40, 44, 45])
    verdict = ask(matching(FINGERPRINT, 40, wrong_probes=10), FINGERPRINT, calibration=calibration)
    assert verdict.decision.verdict == "surrogate"
    assert verdict.decision.score == Score.ADJUSTED
    found = verdict.finding("adjusted")
    assert (found["decides"], found["outside"]) == (True, False)
    assert verdict.finding("other_scores")["caeacc"]["value"] == 1.0
    careless = ask(matching(FINGERPRINT, 40, wrong_probes=30), FINGERPRINT, calibration=calibration)
    assert careless.finding("adjusted")["outside"]
    assert careless.decision.p_value == max(
        ranking["p_value"] for ranking in careless.finding("adjusted")["references"]
    )
    assert careless.decision.extrapolated
    assert "the larger p of CAEAcc and the adjusted score counts" in careless.decision.reason


def test_one_by_one_matches_are_counted() -> None:
    """What is asked until it suits cannot be adjusted: CAEAcc decides, as the verdict says."""
    calibration = toy_calibration(FINGERPRINT, [1] * 39, [39] * 39, score=Score.ADJUSTED)
    options = VerificationOptions(sequential=True)
    verdict = ask(matching(FINGERPRINT, 40), FINGERPRINT, calibration=calibration, options=options)
    plain = dataclasses.replace(calibration, score=Score.CAEACC)
    other = ask(matching(FINGERPRINT, 40), FINGERPRINT, calibration=plain, options=options)
    assert verdict.decision == other.decision
    assert verdict.decision.verdict == "surrogate"
    assert verdict.warnings == ("in sequential mode CAEAcc decides, and not the adjusted score of the calibration",)
    assert verdict.finding("adjusted") is None


@pytest.mark.parametrize(
    ("numbers", "lacking"),
    [
        ((20, 4, 2), ""),
        ((19, 99, 1), "at least 20 benign images, and the fingerprint has 19"),
        ((200, 3, 2), "at least 4 references at degree 2, and there are 3"),
        ((200, 3, 1), ""),
    ],
)
def test_too_few_to_adjust_by(numbers: tuple[int, int, int], lacking: str) -> None:
    said = f"The adjusted score takes {lacking}: CAEAcc decides instead." if lacking else ""
    assert adjusted_in_vain(*numbers) == said
