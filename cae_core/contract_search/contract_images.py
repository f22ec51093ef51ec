"""The labelled images by which a contract is found: none that an example was made of, and no benign probe."""

import numpy as np
from numpy.typing import NDArray

from cae_core.contract_search.elimination import STAGES
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["contract_images"]

_NEAR = 33 / 255
"""An image is taken for an example's seed that differs from it by less than this in every value."""

_PLACES = 16
"""Values that are compared first."""


def contract_images(
    data: ImageSet, taken: NDArray[np.uint8] | None = None, *, count: int = STAGES[-1], seed: int = 0
) -> ImageSet:
    """Draw labelled images, in an order that ``seed`` decides.

    Args:
        data: labelled images of the task.
        taken: uint8 (m, h, w, k), examples and probes; images next to one of them are left out.
        count: at most so many.
        seed: of the draw.

    Raises:
        DataError: fewer than 20 are left.
    """
    free = np.ones(len(data), bool)
    if taken is not None and len(data) and taken.shape[1:] == data.images.shape[1:]:
        free &= ~_near(data.images, taken)
    places = np.flatnonzero(free)
    if len(places) < STAGES[0]:
        raise DataError(
            f"{data.name}: a contract is found by at least {STAGES[0]} labelled images that are neither examples nor "
            f"probes; found {len(places)}. Name a larger set, or another split."
        )
    return data.subset(np.random.default_rng(seed).permutation(places)[:count])


def _near(images: NDArray[np.uint8], taken: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return bool (n,), which images are next to one of ``taken`` in the maximum norm."""
    rows, marks = images.reshape(len(images), -1), taken.reshape(len(taken), -1).astype(np.int16)
    some = np.linspace(0, rows.shape[1] - 1, _PLACES).astype(np.int64)
    sample, limit = rows[:, some].astype(np.int16), round(_NEAR * 255)
    found = np.zeros(len(images), bool)
    for mark in marks:
        like = np.flatnonzero((np.abs(sample - mark[some]) < limit).all(axis=1))
        found[like] |= (np.abs(rows[like].astype(np.int16) - mark) < limit).all(axis=1)
    return found
