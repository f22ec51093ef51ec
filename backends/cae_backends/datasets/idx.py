"""The IDX files of MNIST, Fashion-MNIST and the sets that copy their format, compressed by gzip or not.

http://yann.lecun.com/exdb/mnist/: a big-endian magic number (0x0801 labels, 0x0803 images), one 32-bit size an
axis, then the bytes.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.reader import Reader
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.reading import file_size

__all__ = ["READER", "holds_idx", "read_idx"]

_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_PREFIXES = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
_KINDS = {"images": "idx3-ubyte", "labels": "idx1-ubyte"}
_FREE, _RATIO = 1 << 28, 20
"""Bytes that any file may unpack to, and of a larger one's bytes to the file's; digits are compressed 10 to 1."""

_ROOTS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
"""Where a folder may have them: torchvision's root holds ``MNIST/raw``."""


def holds_idx(path: Path) -> bool:
    """Whether ``path``, or a folder in it that torchvision makes, holds any of MNIST's four files."""
    return any(_holds(path / root) for root in _ROOTS)


def _holds(folder: Path) -> bool:
    return any(_find(folder, prefix, kind) for prefix in _PREFIXES["all"] for kind in _KINDS)


def _find(folder: Path, prefix: str, kind: str) -> Path | None:
    """The file, plain or packed, by its published name or with a point in it, as many unpackers write it."""
    names = (f"{prefix}-{kind}{mark}{_KINDS[kind]}{packed}" for packed in ("", ".gz") for mark in "-.")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _folder(path: Path) -> Path:
    """Return the one folder that holds the files."""
    found = [path / root for root in _ROOTS if _holds(path / root)]
    if len(found) > 1:
        raise DataError(f"{path} holds {found[0]} and {found[1]}. Give the path of one of them.")
    return found[0] if found else path


def read_idx(path: Path, split: str) -> ImageSet:
    """Return the images, uint8 (n, h, w, 1), of ``"train"``, ``"test"`` (the files ``t10k-…``) or both.

    ``path`` is the folder with the files, or torchvision's root. Their names may have a point, as in
    ``t10k-images.idx3-ubyte``.

    The files do not name their classes. Below a folder called after fashion these are Fashion-MNIST's, such as in
    ``fashion-mnist`` or ``FashionMNIST/raw``; elsewhere a class is called by its number.

    Raises:
        DataError: a file is missing, truncated, too long or no IDX file, or images and labels differ in number.
    """
    folder, prefixes = _folder(path), _PREFIXES[split]
    images = np.concatenate([_read(folder, prefix, "images", axes=3) for prefix in prefixes])
    labels = np.concatenate([_read(folder, prefix, "labels", axes=1) for prefix in prefixes])
    return ImageSet(images[..., None], labels.astype(np.int64), _class_names(folder, labels), str(folder))


def _class_names(folder: Path, labels: NDArray[np.uint8]) -> tuple[str, ...]:
    if any("fashion" in part.lower() for part in folder.resolve().parts[-2:]):
        return _FASHION
    return tuple(str(c) for c in range(max(10, int(labels.max(initial=0)) + 1)))


def _read(folder: Path, prefix: str, kind: str, *, axes: int) -> NDArray[np.uint8]:
    path = _find(folder, prefix, kind)
    if path is None:
        name = f"{prefix}-{kind}-{_KINDS[kind]}"
        raise DataError(f"{folder}: the file {name} (or {name}.gz) is missing.")
    header = 4 + 4 * axes
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(header)
            shape = _shape(path, start, axes)
            size = math.prod(shape)
            if size > max(_FREE, _RATIO * file_size(path)):
                raise DataError(
                    f"{path}: the IDX file says {size} bytes, and is not large enough to hold them. Download it again."
                )
            body = file.read(size + 1)  # one more than there should be, and no more than that
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError) as exc:
        raise DataError(f"{path}: the IDX file cannot be read ({exc}). Download it again.") from exc
    if len(body) != size:
        found = f"{len(body)}" if len(body) < size else "more"
        raise DataError(f"{path}: the IDX file says {size} bytes and has {found}. Download it again.")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, axes: int) -> tuple[int, ...]:
    if len(header) != 4 + 4 * axes or header[:4] != bytes([0, 0, 8, axes]):
        raise DataError(f"{path}: not an IDX file of unsigned bytes with {axes} axes (it begins {header[:4].hex()}).")
    return struct.unpack(f">{axes}I", header[4:])


READER = Reader(
    form="a folder with the IDX files of MNIST",
    recognises=holds_idx,
    read=lambda path, _asked, split: read_idx(path, split),
)
