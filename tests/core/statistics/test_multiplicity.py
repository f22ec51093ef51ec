"""Adjusted p-values against SciPy, and against their definitions over all subsets."""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.statistics.multiplicity import benjamini_hochberg, copies_found, holm, references_for

Adjustment: TypeAlias = Callable[[Sequence[float] | NDArray[np.float64]], NDArray[np.float64]]
PROBABILITIES = st.one_of(st.floats(0, 1), st.integers(1, 20).map(lambda rank: rank / 20))  # rank p-values have ties


def closed_testing(p_values: list[float]) -> list[float]:
    """Return for each hypothesis the largest Bonferroni p-value over all intersections that it is part of."""
    n = len(p_values)
    subsets = [s for size in range(1, n + 1) for s in itertools.combinations(range(n), size)]
    local = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets}
    return [max(p for s, p in local.items() if i in s) for i in range(n)]


@given(st.lists(PROBABILITIES, min_size=1, max_size=50))
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    expected = scipy.stats.false_discovery_control(p_values)
    assert benjamini_hochberg(p_values) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(st.lists(PROBABILITIES, min_size=1, max_size=7))
def test_holm_is_bonferroni_over_all_intersections(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(closed_testing(p_values), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
@given(p_values=st.lists(PROBABILITIES, max_size=50), seed=st.integers(0, 1000))
def test_adjusted_values_keep_the_order_and_follow_their_suspects(
    adjust: Adjustment, p_values: list[float], seed: int
) -> None:
    raw = np.asarray(p_values, np.float64)
    adjusted = adjust(raw)
    assert adjusted.dtype == np.float64
    assert adjusted.shape == raw.shape
    assert ((adjusted >= raw) & (adjusted <= 1)).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()
    shuffled = np.random.default_rng(seed).permutation(len(raw))
    assert (adjust(raw[shuffled]) == adjusted[shuffled]).all()


@given(st.lists(PROBABILITIES, min_size=1, max_size=20), st.integers(1, 50))
def test_innocent_suspects_beside_a_guilty_one_cost_holm_no_more_than_bonferroni(
    p_values: list[float], more: int
) -> None:
    padded = [*p_values, *[1.0] * more]
    n = len(padded)
    assert (holm(padded) <= np.minimum(np.asarray(padded) * n, 1) * (1 + 1e-12)).all()
    assert (benjamini_hochberg(padded) <= holm(padded) * (1 + 1e-12)).all()


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_the_input_stays_as_it_is(adjust: Adjustment) -> None:
    p_values = np.array([0.5, 0.01])
    p_values.flags.writeable = False
    assert adjust(p_values)[1] == 0.02
    assert p_values.tolist() == [0.5, 0.01]


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_of_no_suspects_and_of_one(adjust: Adjustment) -> None:
    assert adjust([]).shape == (0,)
    assert adjust([0.03]).tolist() == [0.03]
    assert adjust([0.0, 1.0]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
@pytest.mark.parametrize("wrong", [float("nan"), -0.01, 1.01, float("inf")])
def test_what_is_no_probability_is_refused(adjust: Adjustment, wrong: float) -> None:
    with pytest.raises(OptionError, match="NaN or a value outside"):
        adjust([0.5, wrong])


@pytest.mark.parametrize("adjust", [benjamini_hochberg, holm])
def test_another_shape_is_refused(adjust: Adjustment) -> None:
    with pytest.raises(OptionError, match=r"shape \(n,\)"):
        adjust(np.ones((2, 2)))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_none_plans_nothing(rate: float) -> None:
    with pytest.raises(OptionError, match="must lie between 0 and 1"):
        references_for(rate, suspects=20)


@pytest.mark.parametrize(("suspects", "copies"), [(20, 0), (20, 21), (0, 1), (0, 0)])
def test_copies_are_some_of_the_suspects(suspects: int, copies: int) -> None:
    with pytest.raises(
        OptionError, match=f"There are 1 to {suspects} copies among {suspects} suspects; found {copies}"
    ):
        references_for(0.05, suspects=suspects, copies=copies)


@pytest.mark.parametrize("rate", ["0.01", "0.05", "0.1", "0.5"])
@pytest.mark.parametrize("suspects", [1, 2, 7, 20])
def test_the_plan_is_the_least_that_the_formula_allows(suspects: int, rate: str) -> None:
    """Copies above all r references have p = 1 / (r + 1) each, and suspects / copies times that is to be the rate."""

    def found(copies: int, references: int) -> bool:
        return Fraction(suspects, copies * (references + 1)) <= Fraction(rate)

    for copies in range(1, suspects + 1):
        least = next(references for references in range(1, 3000) if found(copies, references))
        assert references_for(float(rate), suspects=suspects, copies=copies) == least
    for references in range(1, 60):
        some = next((copies for copies in range(1, suspects + 1) if found(copies, references)), None)
        assert copies_found(float(rate), suspects=suspects, references=references) == some


def test_whole_numbers_are_p_values_too() -> None:
    for adjusted in (benjamini_hochberg([1, 0, 1]), holm([1, 0, 1])):
        assert (adjusted.tolist(), adjusted.dtype) == ([1.0, 0.0, 1.0], np.dtype(np.float64))
