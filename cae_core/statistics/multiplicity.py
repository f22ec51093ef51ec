"""p-values of many suspects at once, adjusted: an adjusted value <= level is a finding at that level."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = ["benjamini_hochberg", "holm"]


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
