"""Exact binomial limits (Clopper & Pearson 1934), by bisection of the exact tail; no SciPy at run time."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = ["binomial_tail", "clopper_pearson", "log_choose"]


def binomial_tail(successes: int, trials: int, p: float) -> float:
    """Return P(X >= successes) for X ~ Binomial(trials, p).

    Example:
        >>> round(binomial_tail(2, 2, 0.5), 12)
        0.25
    """
    if successes <= 0:
        return 1.0
    if successes > trials or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    k = np.arange(successes, trials + 1)
    log_terms = log_choose(trials)[successes:] + k * math.log(p) + (trials - k) * math.log1p(-p)
    return min(1.0, float(np.exp(log_terms).sum()))


@lru_cache(maxsize=16)
def log_choose(trials: int) -> Floats64:
    """Return log C(trials, k) for k = 0 .. trials, (trials + 1,); not to be written to."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    return np.asarray(log_factorial[-1] - log_factorial - log_factorial[::-1], np.float64)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided exact interval of a proportion.

    Args:
        successes: 0 .. trials.
        trials: at least 0; with none the interval is [0, 1].
        confidence: such as 0.95; each side gets half of the rest.

    Example:
        >>> [round(limit, 4) for limit in clopper_pearson(8, 10)]
        [0.4439, 0.9748]

    Raises:
        OptionError: successes outside 0 .. trials.
    """
    if not 0 <= successes <= trials:
        raise OptionError(f"successes must lie in 0 .. {trials}; found {successes}.")
    side = (1 - confidence) / 2
    # the upper limit is the lower one of the failures: as 1 - P(X > successes) the small tail would cancel
    return _lower_limit(successes, trials, side), 1 - _lower_limit(trials - successes, trials, side)


@lru_cache(maxsize=4096)  # a verdict's power asks for the same limits again and again
def _lower_limit(successes: int, trials: int, side: float) -> float:
    """Return the p at which P(X >= successes) is ``side``, to the last bit of p."""
    if successes == 0:
        return 0.0
    return _bisect(lambda p: binomial_tail(successes, trials, p) > side)


def _bisect(above: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if above(middle) else (middle, high)
    return middle
