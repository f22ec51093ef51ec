"""By what a model is known again, whatever its file: two numbers for each image that follow from its probabilities.

Labels tell nothing of the kind: honest models share them.
"""

import numpy as np

from cae_core.arrays import Floats32, Floats64

__all__ = ["SAME_MODEL", "same_scores", "scores_of"]

SAME_MODEL = 1e-4
"""Two models whose probabilities differ by at most this on every image are the same one, converted or not."""

_CERTAIN, _LEAST_UNCERTAIN = 1 - 1e-3, 3
"""An answer that is nearly certain tells no model from another; so many others are the least by which one is known."""

_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, less their whole parts, lie apart however many there are."""


def scores_of(outputs: Floats32) -> Floats32:
    """Return of probabilities (n, c) the largest one and a weighted sum of all, float32 (n, 2).

    The sum weighs each class otherwise, so that it differs where the second or third class does.
    """
    told: Floats64 = np.where(np.isfinite(outputs), outputs, 0).astype(np.float64)
    weights = np.array([j * _GOLDEN % 1 for j in range(1, told.shape[1] + 1)], np.float64)
    scores = np.empty((len(told), 2), np.float32)
    scores[:, 0], scores[:, 1] = told.max(axis=1, initial=0), told @ weights
    return scores


def same_scores(first: Floats32, second: Floats32) -> bool:
    """Return whether two models with these scores (n, 2) of the same images are one, see `scores_of`.

    At least three answers must have been less than certain, each to another degree: honest models are alike where both
    are certain, and where probabilities are labels in disguise.
    """
    if first.shape != second.shape or not len(first):
        return False
    uncertain = np.maximum(first[:, 0], second[:, 0]) < _CERTAIN
    degrees = len(np.unique(np.round(first[uncertain, 0] / SAME_MODEL / 2)))
    return bool(degrees >= _LEAST_UNCERTAIN and np.abs(first - second).max() <= SAME_MODEL)
