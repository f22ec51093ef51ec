"""The beta-binomial p-value against SciPy's quadrature, closed forms, and the law itself where models are plenty."""

import time

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.statistics.parametric import beta_binomial_p_value, beta_binomial_tails


def by_quadrature(matches: list[int], trials: int, observed: int) -> float:
    """Return the same by adaptive quadrature over the mean and the correlation, on which both priors are uniform."""
    counts = np.arange(trials + 1)

    def law(mean: float, correlation: float) -> NDArray[np.float64]:
        kappa = 1 / correlation - 1
        a, b = mean * kappa, (1 - mean) * kappa
        logs = scipy.special.betaln(counts + a, trials - counts + b) - scipy.special.betaln(a, b)
        return np.asarray(scipy.special.binom(trials, counts) * np.exp(logs), np.float64)

    def likelihood(mean: float, correlation: float) -> float:
        return float(law(mean, correlation)[matches].prod())

    def weighted(mean: float, correlation: float) -> float:
        return likelihood(mean, correlation) * float(law(mean, correlation)[observed:].sum())

    above, below = (
        scipy.integrate.dblquad(integrand, 1e-6, 1 - 1e-6, 0, 1, epsabs=0, epsrel=1e-4)[0]
        for integrand in (weighted, likelihood)
    )
    return above / below


@pytest.mark.parametrize(
    ("matches", "trials", "observed"), [([1, 2], 4, 4), ([0, 0, 0], 5, 2), ([3, 0], 3, 3), ([6, 7, 4], 10, 9)]
)
def test_it_is_the_integral_over_both_priors(matches: list[int], trials: int, observed: int) -> None:
    expected = by_quadrature(matches, trials, observed)
    assert beta_binomial_p_value(matches, trials, observed) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 1), min_size=2, max_size=40))
def test_a_single_example_gives_laplaces_rule(matches: list[int]) -> None:
    """With n = 1 the concentration is immaterial: (1 + matches) / (r + 2)."""
    expected = (1 + sum(matches)) / (len(matches) + 2)
    assert beta_binomial_p_value(matches, 1, 1) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("a", "b"), [(5.0, 5.0), (40.0, 20.0), (0.5, 3.0)])
def test_with_many_models_it_is_the_law_they_came_from(a: float, b: float) -> None:
    random = np.random.default_rng(0)
    matches = random.binomial(100, random.beta(a, b, 20_000))
    tails = beta_binomial_tails(matches, 100)
    expected = scipy.stats.betabinom.sf(np.arange(-1, 100), 100, a, b)
    assert np.abs(tails - expected).max() < 0.01
    likely = expected > 1e-3
    assert tails[likely] == pytest.approx(expected[likely], rel=0.1)


@settings(max_examples=25)
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=2, max_size=9))))
def test_tails_fall_from_one_and_the_order_of_the_models_is_immaterial(case: tuple[int, list[int]]) -> None:
    trials, matches = case
    tails = beta_binomial_tails(matches, trials)
    assert tails.shape == (trials + 1,)
    assert tails[0] == 1
    assert (np.diff(tails) < 0).all()
    assert tails[-1] > 0
    assert (tails == beta_binomial_tails(sorted(matches), trials)).all()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=20), st.integers(1, 50))
def test_the_lower_tail_is_the_upper_one_of_the_other_answers(matches: list[int], observed: int) -> None:
    """P(X <= observed - 1) and P(X >= observed) make 1."""
    lower = beta_binomial_p_value(50 - np.asarray(matches), 50, 50 - (observed - 1))
    assert lower == pytest.approx(1 - beta_binomial_p_value(matches, 50, observed), abs=1e-5)


def test_fewer_models_leave_more_open() -> None:
    values = [beta_binomial_p_value([40, 50, 45, 55] * copies, 100, 75) for copies in (1, 2, 5, 25)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[-1]


def test_it_is_the_same_each_time_and_takes_less_than_a_tenth_of_a_second() -> None:
    random = np.random.default_rng(0)
    matches = random.binomial(100, random.beta(5, 5, 300))
    values, seconds = set(), []
    for _ in range(3):
        begun = time.process_time()
        values.add(beta_binomial_p_value(matches, 100, 80))
        seconds.append(time.process_time() - begun)
    assert len(values) == 1
    assert min(seconds) < 0.1


@pytest.mark.parametrize("matches", [[], [5], [[1, 2]]])
def test_fewer_than_two_models_are_refused(matches: list[int]) -> None:
    with pytest.raises(OptionError, match="at least 2 models"):
        beta_binomial_p_value(matches, 10, 5)


@pytest.mark.parametrize(("matches", "trials"), [([-1, 5], 10), ([5, 11], 10), ([0, 0], 0)])
def test_impossible_counts_are_refused(matches: list[int], trials: int) -> None:
    with pytest.raises(OptionError, match=r"must lie in 0 \.\. trials"):
        beta_binomial_tails(matches, trials)


@pytest.mark.parametrize("observed", [-1, 11])
def test_an_impossible_observation_is_refused(observed: int) -> None:
    with pytest.raises(OptionError, match=r"observed must lie in 0 \.\. 10"):
        beta_binomial_p_value([5, 6], 10, observed)
