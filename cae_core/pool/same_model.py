"""Is one model the other, converted or copied? Equality of files misses conversions; equality of answers does not."""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.dataset import ImageSet
from cae_core.fingerprint.scores import SAME_MODEL

__all__ = ["first_equal", "probe_images", "same_outputs"]

_PROBES = 256


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
