"""p-values of many suspects at once, adjusted: an adjusted value <= level is a finding at that level."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = ["ROUNDED", "benjamini_hochberg", "copies_found", "holm", "references_for"]

ROUNDED = 1 + 1e-12
"""An adjusted p stands that exceeds the rate by no more than this: 20 / 400 need not be 0.05 to the last bit, 1 / 3 is
written 0.3333333333333333, and two ranks differ by more."""


def benjamini_hochberg(p_values: Sequence[float] | NDArray[np.float64]) -> Floats64:
    """Return values that bound the expected *share of false findings* among the findings (Benjamini & Hochberg 1995).

    The i-th smallest becomes the least n p_(j) / j over j >= i, at most 1. It holds for p-values that are independent
    or positively dependent (Benjamini & Yekutieli 2001); rank p-values of independent suspects against one
    calibration are positively dependent (Bates et al. 2023) where all suspects are scored over the same examples. With
    a budget each is asked others, and nothing is proven.

    Args:
        p_values: (n,), each in [0, 1], in any order; n may be 0.

    Returns:
        (n,), in the same order.

    Raises:
        OptionError: another shape, a NaN, or a value outside [0, 1].

    Example:
        >>> benjamini_hochberg([0.04, 0.01, 0.03]).tolist()
        [0.04, 0.03, 0.04]
    """
    values = _checked(p_values)
    n = len(values)
    order = np.argsort(values)[::-1]  # the largest first
    scaled = values[order] * (n / np.arange(n, 0, -1))
    return _in_place(order, np.minimum.accumulate(scaled))


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> Floats64:
    """Return values that bound the probability of *any* false finding, whatever the dependence (Holm 1979).

    The i-th smallest becomes the largest (n - j + 1) p_(j) over j <= i, at most 1.

    Args:
        p_values: (n,), each in [0, 1], in any order; n may be 0.

    Returns:
        (n,), in the same order.

    Raises:
        OptionError: another shape, a NaN, or a value outside [0, 1].

    Example:
        >>> holm([0.04, 0.01, 0.03]).tolist()
        [0.06, 0.03, 0.06]
    """
    values = _checked(p_values)
    order = np.argsort(values)
    scaled = values[order] * np.arange(len(values), 0, -1)
    return _in_place(order, np.maximum.accumulate(scaled))


def references_for(rate: float, *, suspects: int, copies: int = 1) -> int:
    """Return the least r references by which so many copies among so many suspects can be found at ``rate``.

    A copy that scores above all references has p = 1 / (r + 1), and no suspect has less. Where all copies do,
    Benjamini-Hochberg finds them if suspects / (copies (r + 1)) is at most the rate. Holm's first step takes as many as
    a single copy does, however many there are: ``copies=1``.

    Args:
        rate: in (0, 1), of false findings.
        suspects: at least 1, of which some are copies.
        copies: 1 to ``suspects``.

    Example:
        >>> references_for(0.05, suspects=20), references_for(0.05, suspects=20, copies=10)
        (399, 39)

    Raises:
        OptionError: a number is out of its range.
    """
    if not 0 < rate < 1:
        raise OptionError(f"An error rate must lie between 0 and 1; found {rate}.")
    if not 1 <= copies <= suspects:
        raise OptionError(f"There are 1 to {suspects} copies among {suspects} suspects; found {copies}.")
    return max(1, math.ceil(Fraction(suspects, copies) / _allowed(rate)) - 1)


def copies_found(rate: float, *, suspects: int, references: int) -> int | None:
    """Return the least number of copies among ``suspects`` that Benjamini-Hochberg can find; None: not even all.

    Args:
        rate: see `references_for`.
        suspects: likewise.
        references: r, among which each suspect is ranked.

    Example:
        >>> copies_found(0.05, suspects=20, references=19), copies_found(0.05, suspects=20, references=39)
        (20, 10)

    Raises:
        OptionError: as of `references_for`.
    """
    if references_for(rate, suspects=suspects, copies=suspects) > references:
        return None
    return math.ceil(Fraction(suspects, references + 1) / _allowed(rate))


def _allowed(rate: float) -> Fraction:
    """Return what an adjusted p must not exceed."""
    return Fraction(str(rate)) * Fraction(ROUNDED)


def _checked(p_values: Sequence[float] | NDArray[np.float64]) -> Floats64:
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1:
        raise OptionError(f"p-values must have shape (n,); found {values.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise OptionError("p-values must lie in [0, 1]; found a NaN or a value outside. Leave out what has no p-value.")
    return values


def _in_place(order: NDArray[np.intp], values: Floats64) -> Floats64:
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(values, 1)
    return adjusted
