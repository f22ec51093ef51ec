"""Which true class became which label: what a fingerprint's examples are made from, and into what (report, Fig. 2)."""

import numpy as np

from cae_core.arrays import Labels
from cae_core.errors import DataError

__all__ = ["confusion_matrix"]


def confusion_matrix(truth: Labels, labels: Labels, *, classes: int) -> Labels:
    """Return int64 (c, c): entry (t, y) counts the examples of the true class t that have the label y.

    Its row sums count the true classes, its column sums the labels.

    Args:
        truth: int64 (n,), in 0 .. c-1.
        labels: int64 (n,), likewise.
        classes: c.

    Raises:
        DataError: a label outside 0 .. c-1, such as the -1 of a refusal, which would be counted in another cell.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 0]), classes=2).tolist()
        [[0, 2], [1, 0]]
    """
    for name, values in (("true classes", truth), ("labels", labels)):
        outside = values[(values < 0) | (values >= classes)]
        if outside.size:
            raise DataError(
                f"The {name} must lie in 0 .. {classes - 1}; found {outside[0]}. Leave out what has no such label."
            )
    return np.bincount(truth * classes + labels, minlength=classes * classes).reshape(classes, classes)
