"""Rank p-values: exact over all orders, and the ranks that a rate supports, by counting."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from cae_core.errors import OptionError
from cae_core.statistics.ranks import exceeded_rank, models_needed, rank_p_value

SCORES = st.integers(0, 12)  # few levels make many ties
RATES = st.one_of(st.sampled_from([0.01, 0.05, 0.07, 0.1, 0.2, 0.025, 1 / 3, 0.5]), st.floats(0.001, 0.999))


@given(st.lists(SCORES, min_size=1, max_size=9))
def test_over_all_draws_of_the_suspect_no_rate_is_exceeded(scores: list[int]) -> None:
    """Exchangeable: each of the r + 1 models is the suspect equally often."""
    total = len(scores)
    p_values = np.array([rank_p_value([*scores[:i], *scores[i + 1 :]], scores[i]) for i in range(total)])
    for level in np.arange(1, total + 1) / total:
        assert (p_values <= level).mean() <= level
    if len(set(scores)) == total:
        assert sorted(p_values) == pytest.approx(np.arange(1, total + 1) / total)


@given(st.lists(SCORES, min_size=1, max_size=40), SCORES)
def test_it_is_scipys_percentile_of_the_other_side(scores: list[int], score: int) -> None:
    below = scipy.stats.percentileofscore(scores, score, kind="strict") / 100
    expected = (1 + len(scores) * (1 - below)) / (len(scores) + 1)
    assert rank_p_value(scores, score) == pytest.approx(expected)


def test_ties_go_against_the_accuser() -> None:
    assert rank_p_value([0.5, 0.5, 0.1], 0.5) == 0.75
    assert rank_p_value([0.5, 0.5, 0.1], 0.51) == 0.25
    assert rank_p_value([-0.5, -0.5, -0.1], -0.5) == 1.0


def test_without_models_nothing_is_unusual() -> None:
    assert rank_p_value([], 1.0) == 1.0


@given(st.lists(SCORES, min_size=1, max_size=60), SCORES, RATES)
def test_the_rank_is_exceeded_exactly_where_the_p_value_is_at_most_the_rate(
    scores: list[int], score: int, rate: float
) -> None:
    k = exceeded_rank(len(scores), rate)
    accused = k > 0 and score > sorted(scores, reverse=True)[k - 1]
    p_value = rank_p_value(scores, score)
    if not math.isclose(p_value, rate, rel_tol=1e-9):  # there, binary fractions decide
        assert accused == (p_value <= rate)


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.07", "0.1", "0.29"])
def test_at_a_rate_with_two_decimals_no_rounding_decides(rate: str) -> None:
    hundredths = int(rate.removeprefix("0.").ljust(2, "0"))
    for models in range(1, 60):
        assert exceeded_rank(models, float(rate)) == hundredths * (models + 1) // 100, models


def test_a_rate_that_is_one_of_the_p_values_is_met_however_it_is_rounded() -> None:
    """1 / 3 is written 0.3333333333333333, which is less: the first of three models has it all the same."""
    for total in range(2, 80):
        assert [exceeded_rank(total - 1, k / total) for k in range(1, total)] == list(range(1, total)), total
        assert models_needed(1 / total) == total - 1


@given(RATES)
def test_the_models_needed_are_the_first_that_support_the_rate(rate: float) -> None:
    needed = models_needed(rate)
    assert exceeded_rank(needed, rate) >= 1
    assert needed == 0 or exceeded_rank(needed - 1, rate) == 0


@pytest.mark.parametrize(("rate", "models"), [(0.05, 19), (0.025, 39), (0.01, 99), (0.005, 199), (0.5, 1), (0.3, 3)])
def test_the_models_of_the_usual_rates(rate: float, models: int) -> None:
    assert models_needed(rate) == models


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        models_needed(rate)
    with pytest.raises(OptionError, match="between 0 and 1"):
        exceeded_rank(10, rate)
