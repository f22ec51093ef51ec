"""A folder of images by class: ``root/class/image.png``, or ``root/train/class/…`` and ``root/test/class/…``."""

import os
import struct
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.reader import Reader
from cae_backends.datasets.resizing import resize_images
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

__all__ = ["READER", "holds_image_folder", "read_image_folder"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_LARGEST = 1 << 26
"""Pixels of an image."""

_FREE, _RATIO = 1 << 29, 64
"""Bytes that any folder may be unpacked to, and of a larger one's pixels to its files."""

_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    size: tuple[int, int]
    grey: bool


def holds_image_folder(path: Path) -> bool:
    """Whether a class folder of ``path``, or of its ``train`` or ``test``, holds an image."""
    roots = [path, *_splits(path).values()]
    return any(x.suffix.lower() in _SUFFIXES for root in roots for c in _folders(root) for x in c.iterdir())


def read_image_folder(path: Path, split: str, *, size: tuple[int, int] | None = None) -> ImageSet:
    """Return the images, uint8 (n, h, w, k), by class and file name, both in the order of their characters.

    Without folders ``train`` and ``test`` the set is one split and is given whole, whichever is asked. The images are
    grey, k = 1, when all are; else k = 3. An alpha channel is dropped. Names that begin with a dot are passed over.

    Args:
        path: the root.
        split: ``"train"``, ``"test"`` or ``"all"``.
        size: (height, width) that each image is resized to; None: all must have one size.

    Raises:
        DataError: a split is missing, a class folder is empty or holds anything but PNG and JPEG files, an image
            is broken or has more than 8 bits, the sizes differ, or Pillow is not installed.
    """
    roots, names = _roots(path, split)
    files = [_header(x, label) for root in roots for label, name in enumerate(names) for x in _class_files(root / name)]
    if size is None:
        _refuse_sizes(files)
    height, width = size or files[0].size
    grey = all(file.grey for file in files)
    _check_room(path, files, len(files) * height * width * (1 if grey else 3))
    images = np.empty((len(files), height, width, 1 if grey else 3), np.uint8)
    for i, file in enumerate(files):
        images[i] = resize_images(_pixels(file.path, grey=grey)[np.newaxis], (height, width))[0]
    return ImageSet(images, np.array([file.label for file in files], np.int64), tuple(names), str(path))


def _folders(path: Path) -> list[Path]:
    return [x for x in path.iterdir() if x.is_dir() and not x.name.startswith(".")] if path.is_dir() else []


def _splits(path: Path) -> dict[str, Path]:
    """The folders ``train`` and ``test`` with classes in them; one that holds images itself is a class."""
    return {name: path / name for name in ("train", "test") if _folders(path / name)}


def _roots(path: Path, split: str) -> tuple[list[Path], list[str]]:
    """The folders to read, and the names of the classes, the same in each."""
    splits = _splits(path)
    wanted = ("train", "test") if split == "all" else (split,)
    missing = [name for name in wanted if name not in splits] if splits else []
    if missing:
        raise DataError(
            f"{path}: the folder {missing[0]} with its class folders is missing; found {', '.join(splits)}."
        )
    names = {root: sorted(x.name for x in _folders(root)) for root in splits.values() or (path,)}
    (first, expected), *others = names.items()
    for root, found in others:
        if found != expected:
            odd = sorted({*found} ^ {*expected})[0]
            raise DataError(
                f"{path}: the classes of {first.name} and {root.name} must be the same; {odd} is in one only."
            )
    return [splits[name] for name in wanted] if splits else [path], expected


def _class_files(folder: Path) -> list[Path]:
    files = sorted(x for x in folder.iterdir() if not x.name.startswith("."))
    if not files:
        raise DataError(f"{folder}: the class folder is empty. Add its images, or remove it.")
    other = [x for x in files if x.suffix.lower() not in _SUFFIXES or not x.is_file()]
    if other:
        raise DataError(f"{other[0]}: a class folder holds PNG and JPEG files only. Move it elsewhere.")
    return files


def _check_room(path: Path, files: Sequence[_File], size: int) -> None:
    """Refuse files that say they hold far more than files of their size do."""
    held = sum(file.path.stat().st_size for file in files)
    if size > max(_FREE, _RATIO * held):
        raise DataError(
            f"{path}: {len(files)} files of {held} bytes would be {size} bytes of pixels. Name a size that all images "
            "are resized to, such as size=32."
        )


def _refuse_sizes(files: Sequence[_File]) -> None:
    first = files[0]
    for file in files:
        if file.size != first.size:
            (h, w), (other_h, other_w) = first.size, file.size
            raise DataError(
                f"{file.path}: the image is {other_h}x{other_w} (height x width) and {first.path} is {h}x{w}. "
                "Name the size that all are resized to, such as size=32."
            )


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    try:
        from PIL import Image
    except ImportError as exc:
        raise DataError(
            "A folder of images is read by Pillow. Install it: pip install 'cae-fingerprint[images]'."
        ) from exc
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            yield image
    except DataError:
        raise
    # Pillow reports a broken PNG as a SyntaxError
    except (OSError, EOFError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise DataError(f"{path}: not a readable PNG or JPEG image ({exc}). Remove or replace it.") from exc


def _header(path: Path, label: int) -> _File:
    with _opened(path) as image:
        if image.format == "PNG" and _bits(path) > 8:  # of coloured ones Pillow hands out the upper halves
            raise DataError(f"{path}: images have 8 bits a channel; found {_bits(path)}. Convert it first.")
        if image.mode not in (*_GREY, *_COLOUR):
            raise DataError(f"{path}: images have 8 bits a channel; found mode {image.mode}. Convert it first.")
        if image.height * image.width > _LARGEST:
            raise DataError(
                f"{path}: the image is {image.height}x{image.width}; at most {_LARGEST} pixels are read. "
                "Resize it first."
            )
        return _File(path, label, (image.height, image.width), image.mode in _GREY)


def _bits(path: Path) -> int:
    """Return the most bits a channel that a header of a PNG file says; https://www.w3.org/TR/png-3/#11IHDR."""
    bits = 0
    with path.open("rb") as file:
        file.seek(8)
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"IDAT":
                break
            if kind == b"IHDR":
                bits = max(bits, file.read(9)[8:9].ljust(1, b"\0")[0])
                length -= 9
            file.seek(length + 4, os.SEEK_CUR)
    return bits


def _pixels(path: Path, *, grey: bool) -> NDArray[np.uint8]:
    with _opened(path) as image:
        # by way of RGBA: Pillow warns when a palette with transparency goes straight to RGB
        flat = image.convert("L") if grey else image.convert("RGBA").convert("RGB")
        return np.asarray(flat, np.uint8).reshape(image.height, image.width, 1 if grey else 3)


READER = Reader(
    form="a folder with a folder of PNG or JPEG images for each class",
    recognises=holds_image_folder,
    read=lambda path, asked, split: read_image_folder(path, split, size=asked.size),
)
