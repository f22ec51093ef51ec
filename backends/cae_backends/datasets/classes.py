"""A seeded choice of some of a data set's classes, as the report takes 100 of ImageNet-32's 1000."""

import numpy as np
from numpy.typing import NDArray

from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["choose_classes", "chosen_classes"]


def chosen_classes(total: int, count: int, seed: int) -> NDArray[np.int64]:
    """Return ``count`` of the classes 0 .. ``total`` - 1, ascending.

    They depend on ``total``, ``count`` and ``seed`` alone, so that every split of a data set gets the same ones; the
    choice of fewer classes is part of the choice of more.

    Raises:
        DataError: there are not as many classes.
    """
    if count > total:
        raise DataError(f"{count} classes were asked for and the data set has {total}. Ask for fewer.")
    # The raw words of a bit generator are the same in every release of NumPy; those of Generator need not be.
    order = np.argsort(np.random.PCG64(seed).random_raw(total), kind="stable")
    return np.sort(order[:count]).astype(np.int64)


def choose_classes(data: ImageSet, count: int, seed: int) -> ImageSet:
    """Keep the images of ``count`` classes, with labels 0 .. ``count`` - 1; a class keeps its name.

    Raises:
        DataError: there are not as many classes.
    """
    chosen = chosen_classes(len(data.class_names), count, seed)
    kept = np.isin(data.labels, chosen)
    names = tuple(data.class_names[c] for c in chosen)
    return ImageSet(data.images[kept], np.searchsorted(chosen, data.labels[kept]).astype(np.int64), names, data.name)
