"""Is a model more, or less, accurate than every one of others on the same images, by more than chance?"""

import numpy as np
from numpy.typing import NDArray

from cae_core.statistics.intervals import binomial_tail

__all__ = ["unlike_all"]

_SIDE = 0.025  # of a two-sided test at 5 %


def unlike_all(right: NDArray[np.bool_], others: NDArray[np.bool_]) -> bool:
    """Return whether a model is right less often than *every* other one, or more often than every one.

    By the exact sign test (5 %, two-sided) over the images on which exactly one of the two is right. With no others, or
    without an image, nothing can be said.

    Args:
        right: bool (q,), whether the model is right about each image.
        others: bool (r, q), likewise the others.
    """
    if not others.size:
        return False
    worse, better = (others & ~right).sum(axis=1), (right & ~others).sum(axis=1)
    return _all_significant(worse, better) or _all_significant(better, worse)


def _all_significant(more: NDArray[np.int64], less: NDArray[np.int64]) -> bool:
    """Return whether of each pair of counts the first is significantly the larger one."""
    return all(
        binomial_tail(first, first + second, 0.5) <= _SIDE
        for first, second in sorted(set(zip(more.tolist(), less.tolist(), strict=True)))
    )
