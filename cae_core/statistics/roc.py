"""The area under the ROC curve, as the probability that a surrogate scores higher than a reference."""

from collections.abc import Sequence

import numpy as np

from cae_core.errors import DataError

__all__ = ["roc_auc"]


def roc_auc(surrogates: Sequence[float], references: Sequence[float]) -> float:
    """Return P(surrogate > reference) + P(equal) / 2 over all pairs, in [0, 1].

    Example:
        >>> roc_auc([0.9, 0.5], [0.5, 0.1])
        0.875

    Raises:
        DataError: one side is empty.
    """
    if not surrogates or not references:
        raise DataError("The AUC takes at least one score of each side.")
    difference = np.subtract.outer(np.asarray(surrogates, float), np.asarray(references, float))
    return float((difference > 0).mean() + (difference == 0).mean() / 2)
