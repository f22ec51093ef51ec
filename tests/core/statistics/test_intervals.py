"""Clopper-Pearson and the binomial tail against SciPy."""

import numpy as np
import pytest
import scipy.stats

from cae_core.errors import OptionError
from cae_core.statistics.intervals import binomial_tail, clopper_pearson

CASES = [
    (k, n)
    for n in (1, 2, 3, 10, 50, 100, 999, 10_000)
    for k in sorted({0, 1, 2, n // 4, n // 2, n - 1, n})
    if 0 <= k <= n
]


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, 0.999])
def test_the_interval_is_scipys(confidence: float) -> None:
    for k, n in CASES:
        expected = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9), (k, n)


@pytest.mark.parametrize("confidence", [0.95, 1 - 1e-6, 1 - 1e-9])
def test_each_limit_leaves_its_share_outside(confidence: float) -> None:
    """Relative to the share, however small; the upper limit only as near to 1 as numbers go."""
    side = (1 - confidence) / 2
    for k, n in CASES:
        low, high = clopper_pearson(k, n, confidence)
        if k:
            assert float(scipy.stats.binom.sf(k - 1, n, low)) == pytest.approx(side, rel=1e-8), (k, n)
        if k < n:
            rounding = n * np.finfo(float).eps / (1 - high)
            assert float(scipy.stats.binom.cdf(k, n, high)) == pytest.approx(side, rel=1e-8 + rounding), (k, n)


def test_random_intervals_are_scipys() -> None:
    random = np.random.default_rng(0)
    for trials in random.integers(1, 400, 60).tolist():
        successes = int(random.integers(0, trials + 1))
        expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
        assert clopper_pearson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-10)


@pytest.mark.parametrize("p", [1e-9, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_the_tail_is_scipys(p: float) -> None:
    for k, n in CASES:
        expected = float(scipy.stats.binom.sf(k - 1, n, p))
        assert binomial_tail(k, n, p) == pytest.approx(expected, rel=1e-8, abs=1e-300), (k, n)


@pytest.mark.parametrize(
    ("successes", "trials", "p", "tail"),
    [(0, 5, 0.3, 1), (-1, 5, 0.3, 1), (6, 5, 0.3, 0), (3, 5, 0.0, 0), (3, 5, 1.0, 1), (0, 0, 0.5, 1), (0, 5, 0.0, 1)],
)
def test_the_tails_ends(successes: int, trials: int, p: float, tail: float) -> None:
    assert binomial_tail(successes, trials, p) == tail


def test_no_trials_say_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 10), (11, 10), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(OptionError, match="successes must lie in"):
        clopper_pearson(successes, trials)


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    narrow, wide = clopper_pearson(30, 100, 0.9), clopper_pearson(30, 100, 0.99)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]
