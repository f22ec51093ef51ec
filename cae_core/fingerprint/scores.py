"""By what a model is known again, whatever its file: the probability that it gives to each image's own label.

Labels tell nothing of the kind: honest models share them.
"""

import numpy as np

from cae_core.arrays import Floats32, Labels

__all__ = ["SAME_MODEL", "label_scores", "same_scores"]

SAME_MODEL = 1e-4
"""Two models whose probabilities differ by at most this on every image are the same one, converted or not."""

_TELLING, _LEAST_TELLING = 1e-3, 3
"""A score that is nearly 0 or 1 tells no model from another; so many others are the least by which one is known."""


def label_scores(outputs: Floats32, labels: Labels) -> Floats32:
    """Return the probability of each image's own label, float32 (n,): one number an image, to know a model again by.

    Args:
        outputs: float32 (n, c); what is no number counts as 0.
        labels: int64 (n,), in ``0 .. c-1``, or a class that the model does not know: 0.
    """
    known = labels < outputs.shape[1]
    scores = np.where(known, outputs[np.arange(len(labels)), np.where(known, labels, 0)], np.float32(0))
    return np.asarray(np.nan_to_num(scores, nan=0, posinf=0, neginf=0), np.float32)


def same_scores(first: Floats32, second: Floats32) -> bool:
    """Return whether two models with these scores (n,) of the same images are one, see `label_scores`.

    At least three images must have been near a decision: honest models are alike where both are certain.
    """
    if first.shape != second.shape or not len(first):
        return False
    telling = (np.minimum(first, second) > _TELLING) & (np.maximum(first, second) < 1 - _TELLING)
    return bool(telling.sum() >= _LEAST_TELLING and np.abs(first - second).max() <= SAME_MODEL)
