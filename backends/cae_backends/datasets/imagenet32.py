"""ImageNet-32 in its published ``.npz`` batches, with all 1000 classes or a seeded choice of them.

P. Chrabaszcz, I. Loshchilov, F. Hutter, A Downsampled Variant of ImageNet as an Alternative to the CIFAR datasets,
2017. A batch holds ``data`` uint8 (n, 3072), channel by channel, and ``labels`` 1 .. 1000 (and ``mean``, which the
training files add and nothing here needs).
"""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.classes import chosen_classes
from cae_backends.datasets.reader import Reader
from cae_backends.datasets.zip_sizes import check_unpacked_sizes
from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.reading import reading

__all__ = ["READER", "holds_imagenet32", "read_imagenet32"]

_TRAIN = tuple(f"train_data_batch_{i}.npz" for i in range(1, 11))
_FILES = {"train": _TRAIN, "test": ("val_data.npz",), "all": (*_TRAIN, "val_data.npz")}
_CLASSES = 1000
_CHUNK = 4096


def holds_imagenet32(folder: Path) -> bool:
    """Whether ``folder`` holds any of the batches."""
    return any((folder / name).is_file() for name in _FILES["all"])


def read_imagenet32(folder: Path, split: str, *, classes: int | None = None, seed: int = 0) -> ImageSet:
    """Return the images, uint8 (n, 32, 32, 3), of ``"train"``, ``"test"`` (the validation batch) or both.

    The 1.28 million training images take 3.9 GB; of ``classes`` chosen ones no more is held than their images and one
    chunk of a batch. A class is called by its published number, 1 .. 1000.

    Raises:
        DataError: a batch is missing, truncated or malformed, or there are not as many classes.
    """
    missing = [name for name in _FILES[split] if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder}: the ImageNet-32 file {missing[0]} is missing. Download and unpack the set again.")
    chosen = chosen_classes(_CLASSES, _CLASSES if classes is None else classes, seed)
    renumbered = np.full(_CLASSES + 1, -1, np.int64)
    renumbered[chosen + 1] = np.arange(len(chosen))
    paths = [folder / name for name in _FILES[split]]
    labels = [renumbered[_labels(path)] for path in paths]
    kept = np.concatenate([x[x >= 0] for x in labels])
    images, filled = np.empty((len(kept), 32, 32, 3), np.uint8), 0
    for path, of_batch in zip(paths, labels, strict=True):
        for rows in _chosen_rows(path, of_batch >= 0):
            # A row is the red plane, then the green, then the blue.
            images[filled : filled + len(rows)] = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            filled += len(rows)
    return ImageSet(images, kept, tuple(str(c + 1) for c in chosen), str(folder))


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, DataError, fault="not a readable ImageNet-32 batch", remedy="Download it again.")


def _labels(path: Path) -> Labels:
    with _reading(path), path.open("rb") as stream:
        check_unpacked_sizes(stream, str(path))
        with np.load(stream, allow_pickle=False) as file:
            labels = np.asarray(file["labels"])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{path}: labels must be integers of shape (n,); found {labels.dtype} {labels.shape}.")
    if len(labels) and not 1 <= labels.min() <= labels.max() <= _CLASSES:
        raise DataError(f"{path}: labels must lie in 1 .. {_CLASSES}; found {labels.min()} .. {labels.max()}.")
    return labels.astype(np.int64)


def _chosen_rows(path: Path, chosen: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
    """Read ``data`` a chunk at a time; `numpy.load` would take all of it, most of it for nothing."""
    with _reading(path), zipfile.ZipFile(path) as archive, archive.open("data.npy") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read_header(file)
        if shape != (len(chosen), 3072) or dtype != np.uint8 or by_columns:
            raise DataError(
                f"{path}: data must be uint8 ({len(chosen)}, 3072), a row for each label; found {dtype} {shape}."
            )
        for start in range(0, len(chosen), _CHUNK):
            wanted = chosen[start : start + _CHUNK]
            content = file.read(len(wanted) * 3072)
            if len(content) != len(wanted) * 3072:
                raise DataError(f"{path}: data is truncated. Download it again.")
            yield np.frombuffer(content, np.uint8).reshape(-1, 3072)[wanted]


READER = Reader(
    form="a folder with the .npz batches of ImageNet-32",
    recognises=holds_imagenet32,
    read=lambda path, asked, split: read_imagenet32(path, split, classes=asked.classes, seed=asked.seed),
)
