"""The area under the ROC curve, as the probability that a surrogate scores higher than a reference."""

import math
from collections.abc import Sequence

import numpy as np

from cae_core.errors import DataError

__all__ = ["auc_interval", "roc_auc"]

_NORMAL_95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


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


def auc_interval(surrogates: Sequence[float], references: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the AUC over models, which stays wide where few models are all on the right side.

    The limits are the θ that lie 1.96 standard errors from the estimate, each with the standard error that θ itself
    has (Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2",
    method 5): of s surrogates and r references, with n = (s + r) / 2 - 1,
    Var θ = θ (1 - θ) [1 + n (1 - θ) / (2 - θ) + n θ / (1 + θ)] / (s r).
    Resampling the models would say (1, 1) of any number of models that are told apart.

    Example:
        >>> [round(limit, 3) for limit in auc_interval([0.9, 0.8, 0.7], [0.3, 0.2])]
        [0.407, 1.0]

    Raises:
        DataError: one side is empty.
    """
    found = roc_auc(surrogates, references)
    pairs, n = len(surrogates) * len(references), (len(surrogates) + len(references)) / 2 - 1

    def lower(estimate: float) -> float:
        low, high = 0.0, estimate
        while low < (middle := (low + high) / 2) < high:
            near = estimate - middle < _NORMAL_95 * _deviation(middle, pairs, n)
            low, high = (low, middle) if near else (middle, high)
        return low

    return lower(found), 1 - lower(1 - found)  # the variance is the same for θ and 1 - θ


def _deviation(theta: float, pairs: int, n: float) -> float:
    inner = 1 + n * (1 - theta) / (2 - theta) + n * theta / (1 + theta)
    return math.sqrt(theta * (1 - theta) * inner / pairs)
