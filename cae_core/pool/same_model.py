"""Is one model the other, converted or copied? Equality of files misses conversions; equality of answers does not."""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.dataset import ImageSet

__all__ = ["SAME_MODEL", "first_equal", "label_scores", "probe_images", "same_outputs", "same_scores"]

SAME_MODEL = 1e-4
"""Two models whose probabilities differ by at most this on every probe are the same one, converted or not."""

_PROBES = 256

_TELLING, _LEAST_TELLING = 1e-3, 3
"""A score that is nearly 0 or 1 tells no model from another; so many others are the least by which one is known."""


def probe_images(data: ImageSet) -> NDArray[np.uint8]:
    """Return the images by which one model is told from another: benign ones, blends of two, and noise.

    On benign images alone two good models may answer nearly the same.
    """
    rng = np.random.default_rng(0)
    some = data.images[rng.permutation(len(data))[:_PROBES]]
    blends = (some.astype(np.uint16) + some[::-1]) // 2
    noise = rng.integers(0, 256, some.shape, np.uint8)
    return np.concatenate([some, blends.astype(np.uint8), noise])


def first_equal(output: Floats32, others: Floats32) -> int | None:
    """Return the first of ``others``, probabilities (m, n, c), that is the model with ``output``, (n, c); else None."""
    differences = np.abs(others - output).max(axis=(1, 2), initial=0)
    same = np.flatnonzero(differences <= SAME_MODEL)
    return int(same[0]) if len(same) else None


def same_outputs(first: Floats32 | None, second: Floats32 | None) -> bool:
    """Return whether two models with these probabilities (n, c) are one; where one tells labels only, False."""
    if first is None or second is None or first.shape != second.shape:
        return False
    return first_equal(first, second[None]) == 0


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
