"""Rank p-values where the unit is a group of models: exact for a suspect of one more group.

With groups g = 1 .. G of models and a suspect that is a model of one more group, exchangeable with these, and
exchangeable with the other models of its own group,

    p = (1 + Σ_g share of g's models that score at least as high) / (G + 1)

is at most x with probability at most x (hierarchical conformal prediction; Lee, Barber & Willett 2023, theorem 1; Dunn,
Wasserman & Ramdas 2022): were the suspect's whole group known, its models' share would stand in the place of the 1.
Groups of one model give the plain rank.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["exceeded_score", "group_p_value"]


def group_p_value(scores: Floats64, value: float, units: Labels) -> "Fraction":
    """Return p of a suspect that scores ``value``.

    Args:
        scores: float64 (r,), of the models.
        value: of the suspect; to ask whether it is unusually low, negate both.
        units: int64 (r,), to which group each belongs.

    Example:
        >>> group_p_value(np.array([0.1, 0.9, 0.2]), 0.5, np.array([0, 0, 1]))
        Fraction(1, 2)
    """
    return _p_value(np.asarray(scores) >= value, units)


def exceeded_score(scores: Floats64, units: Labels, rate: float) -> float | None:
    """Return the least of the scores such that whoever exceeds it has p <= rate; None where nobody has."""
    found: list[float] = sorted(set(scores.tolist()))
    # p of whoever exceeds a score falls as the score rises: thousands of models take a dozen looks
    least = bisect_left(found, x=True, key=lambda score: float(_p_value(scores > score, units)) <= rate)
    return found[least] if least < len(found) else None


def _p_value(as_high: NDArray[np.bool_], units: Labels) -> "Fraction":
    from fractions import Fraction

    found: Sequence[int] = sorted(set(units.tolist()))  # np.unique would load numpy.ma, 30 ms of a start
    shares = (Fraction(int(as_high[units == unit].sum()), int((units == unit).sum())) for unit in found)
    return (1 + sum(shares, Fraction(0))) / (len(found) + 1)
