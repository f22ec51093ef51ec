"""CIFAR-10 in its published python files, from their folder or from the tar archive itself.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files are pickles, and a pickle is a
program; so only arrays of numbers, and lists, dictionaries and strings, are ever made of them.
"""

import io
import lzma
import pickle
import struct
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["holds_cifar10", "read_cifar10"]

_META = "batches.meta"
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_FILES = {"train": _TRAIN, "test": ("test_batch",), "all": (*_TRAIN, "test_batch")}
_LARGEST = 1 << 28
"""Bytes of one file that are read at most; the published ones have 31 million."""

_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


def holds_cifar10(path: Path) -> bool:
    """Whether ``path`` is a tar archive, or a folder with CIFAR-10's files or with ``cifar-10-batches-py``."""
    return path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz")) or _folder(path) is not None


def read_cifar10(path: Path, split: str) -> ImageSet:
    """Return the images, uint8 (n, 32, 32, 3), of ``"train"``, ``"test"`` or both.

    Raises:
        DataError: a file is missing, truncated, malformed, or a pickle that asks for more than arrays.
    """
    wanted = (_META, *_FILES[split])
    folder = _folder(path)
    contents = _from_archive(path, wanted) if folder is None else _from_folder(folder, wanted)
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise DataError(f"{path}: the CIFAR-10 file {missing[0]} is missing. Download and unpack the set again.")
    batches = [_batch(path, name, contents[name]) for name in _FILES[split]]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return ImageSet(images, labels, _class_names(path, contents[_META]), str(path))


def _folder(path: Path) -> Path | None:
    return next((x for x in (path, path / "cifar-10-batches-py") if (x / _META).is_file()), None)


def _from_folder(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    except OSError as exc:
        raise DataError(f"{folder}: the CIFAR-10 files cannot be read ({exc.strerror}).") from exc


def _from_archive(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Read files by their last name in one pass; nothing is unpacked to the disk."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in names and member.isfile() and member.size <= _LARGEST:
                    file = archive.extractfile(member)
                    contents[name] = b"" if file is None else file.read()
                if len(contents) == len(names):
                    break
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as exc:
        raise DataError(f"{path}: the archive cannot be read ({exc}). Download it again.") from exc
    return contents


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, lists, dictionaries, strings and numbers, and refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class has it
        if (module, name) not in _ALLOWED:
            raise DataError(f"the pickle asks for {module}.{name}, which no CIFAR-10 file needs. Do not trust it.")
        return _ALLOWED[module, name]


def _unpickle(path: Path, name: str, content: bytes) -> dict[bytes, Any]:
    try:
        table = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except DataError as exc:
        raise DataError(f"{path}: {name}: {exc}") from exc
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, struct.error,
        MemoryError, OverflowError, RecursionError,
    ) as exc:  # fmt: skip
        raise DataError(f"{path}: {name} is truncated or no CIFAR-10 python file. Download it again.") from exc
    if not isinstance(table, dict):
        raise DataError(f"{path}: {name} must hold a dictionary; found {type(table).__name__}.")
    return table


def _batch(path: Path, name: str, content: bytes) -> tuple[NDArray[np.uint8], Labels]:
    table = _unpickle(path, name, content)
    data, labels = table.get(b"data"), table.get(b"labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{path}: {name} must hold data, uint8 (n, 3072); found {found}.")
    if not isinstance(labels, list) or not all(isinstance(x, int) and 0 <= x < 256 for x in labels):
        raise DataError(f"{path}: {name} must hold labels, a list of small numbers; found {type(labels).__name__}.")
    # A row is the red plane, then the green, then the blue.
    images = np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, np.array(labels, np.int64)


def _class_names(path: Path, content: bytes) -> tuple[str, ...]:
    names = _unpickle(path, _META, content).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{path}: {_META} must hold label_names, a list of strings; found {type(names).__name__}.")
    return tuple(name.decode("utf-8", "replace") for name in names)
