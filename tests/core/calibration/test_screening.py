"""Choosing examples by the screen role, and weighing them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cae_core.calibration.screening import MatchRates, choose_examples, match_rates, match_weights
from cae_core.errors import OptionError
from cae_core.statistics.ranks import rank_p_value


def rates(surrogates: list[float], references: list[float]) -> MatchRates:
    return MatchRates(np.array(surrogates), np.array(references))


def test_the_rates_by_hand() -> None:
    """Two models and three examples: the mean is (4 + 1) / (6 + 2), and counts for two models more."""
    surrogates = np.array([[True, True, False], [True, True, False]])
    found = match_rates(surrogates, np.zeros((1, 3), bool))
    np.testing.assert_allclose(found.surrogates, [(2 + 2 * 0.625) / 4, (2 + 2 * 0.625) / 4, 2 * 0.625 / 4])
    np.testing.assert_allclose(found.references, 2 * 0.2 / 3)
    np.testing.assert_allclose(found.gap, found.surrogates - found.references)


@given(models=st.integers(1, 6), n=st.integers(1, 8), share=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 99))
def test_no_rate_is_certain_and_no_weight_infinite(models: int, n: int, share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = match_rates(random.random((models, n)) < share, random.random((models + 1, n)) < 0.5)
    assert ((found.surrogates > 0) & (found.surrogates < 1)).all()
    weights = match_weights(found)
    assert weights.shape == (2, n)
    assert np.isfinite(weights).all()


def test_the_weights_by_hand() -> None:
    weights = match_weights(rates([0.8, 0.5], [0.2, 0.5]))
    np.testing.assert_allclose(weights, [[math.log(4), 0], [math.log(0.25), 0]], atol=1e-12)


def test_a_match_speaks_for_a_surrogate_where_surrogates_match_more() -> None:
    found = rates([0.9, 0.6, 0.2], [0.1, 0.6, 0.4])
    match, other = match_weights(found)
    assert (np.sign(match) == np.sign(found.gap)).all()
    assert (np.sign(other) == -np.sign(found.gap)).all()


def test_the_largest_gaps_are_kept() -> None:
    found = rates([0.9, 0.5, 0.8, 0.4], [0.1, 0.5, 0.3, 0.9])
    assert choose_examples(found, 1).tolist() == [True, False, False, False]
    assert choose_examples(found, 2).tolist() == [True, False, True, False]
    assert choose_examples(found, 4).all()


def test_of_equal_gaps_the_first_are_kept() -> None:
    found = rates([0.5] * 6, [0.25] * 6)
    assert choose_examples(found, 2).tolist() == [True, True, False, False, False, False]


def test_by_default_all_with_a_gap_are_kept() -> None:
    assert choose_examples(rates([0.9, 0.5, 0.4], [0.1, 0.5, 0.9])).tolist() == [True, False, False]


def test_where_none_has_a_gap_all_are_kept() -> None:
    """Something must be asked; the calibration then says what it is worth."""
    assert choose_examples(rates([0.1, 0.2], [0.1, 0.9])).all()


@pytest.mark.parametrize("keep", [0, -1, 3])
def test_a_choice_that_is_none(keep: int) -> None:
    with pytest.raises(OptionError, match=rf"keep must lie in 1 \.\. 2.*found {keep}"):
        choose_examples(rates([0.5, 0.5], [0.1, 0.2]), keep)


def test_why_the_calibration_models_may_not_choose() -> None:
    """Examples chosen for the calibration models' sake accuse independent models too often; a screen role does not.

    All models match each of 300 examples at random, so no score means anything. 8 references support 1/9.
    """
    random, rate = np.random.default_rng(20), 1 / 9
    accused = {"calibrate": 0, "screen": 0}
    rounds = 300
    for _ in range(rounds):
        surrogates, screen, references = (random.random((m, 300)) < 0.5 for m in (8, 8, 8))
        suspect = random.random(300) < 0.5
        for role, strangers in (("calibrate", references), ("screen", screen)):
            chosen = choose_examples(match_rates(surrogates, strangers), 100)
            scores = references[:, chosen].mean(axis=1)
            accused[role] += rank_p_value(scores, float(suspect[chosen].mean())) <= rate
    assert accused["calibrate"] / rounds > 0.5
    assert accused["screen"] / rounds < rate + 3 * math.sqrt(rate * (1 - rate) / rounds)
