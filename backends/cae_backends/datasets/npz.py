"""Labelled images in an ``.npz`` file, read without pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.reader import Reader
from cae_backends.datasets.zip_sizes import check_unpacked_sizes
from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.reading import file_size, reading

__all__ = ["READER", "read_npz"]

_CLASSES = 100_000
_KEYS = ("images", "labels", "class_names")


def read_npz(path: Path) -> ImageSet:
    """Read ``images`` uint8 (n, h, w, k) or (n, h, w), integer ``labels`` (n,), and ``class_names`` where given.

    Without names, a class is called by its number.

    Raises:
        DataError: no such arrays, or of another type or shape; the file is broken, or needs pickle.
    """
    with reading(path, DataError, fault="not a readable .npz file of plain arrays"):
        file_size(path)  # it is a file, and no pipe
        with path.open("rb") as stream:
            check_unpacked_sizes(stream, str(path))
            with np.load(stream, allow_pickle=False) as file:
                arrays = {key: np.asarray(file[key]) for key in _KEYS if key in file}
    missing = [key for key in ("images", "labels") if key not in arrays]
    if missing:
        raise DataError(f"{path}: the file has no array {missing[0]!r}. Write images, labels and class_names.")
    images = arrays["images"]
    images = images[..., None] if images.ndim == 3 else images
    if images.dtype != np.uint8:
        raise DataError(f"{path}: images must be uint8, 0 to 255; found {images.dtype}. Convert them first.")
    labels = _labels(path, arrays["labels"])
    return ImageSet(images, labels, _class_names(path, arrays, labels), str(path))


def _labels(path: Path, labels: NDArray[Any]) -> Labels:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{path}: labels must be integers of shape (n,); found {labels.dtype} {labels.shape}.")
    return labels.astype(np.int64)


def _class_names(path: Path, arrays: Mapping[str, NDArray[Any]], labels: Labels) -> tuple[str, ...]:
    names = arrays.get("class_names")
    if names is None:
        count = int(labels.max(initial=-1)) + 1
        if count > _CLASSES:
            raise DataError(
                f"{path}: classes are numbered from 0, and at most {_CLASSES} get names; found the label {count - 1}."
            )
        return tuple(str(c) for c in range(count))
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"{path}: class_names must be strings of shape (c,); found {names.dtype} {names.shape}.")
    return tuple(str(name) for name in names)


READER = Reader(
    form="an .npz file with images and labels",
    recognises=lambda path: path.suffix.lower() == ".npz",
    read=lambda path, _asked, _split: read_npz(path),
)
