"""CIFAR-10 and CIFAR-100 in their published python and binary files, from the folder or from the tar archive itself.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.archives import is_archive, read_archive, read_folder
from cae_backends.datasets.cifar_binary import parse_lines, parse_records
from cae_backends.datasets.cifar_python import parse_names, parse_pickle
from cae_backends.datasets.reader import Reader
from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["READER", "holds_cifar", "read_cifar"]

_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))


@dataclass(frozen=True)
class _Version:
    """One published version: its files, and how one of them (its content, and what to call it) is read."""

    title: str
    folder: str
    names: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    parse_batch: Callable[[bytes, str], tuple[NDArray[np.uint8], Labels]]
    parse_names: Callable[[bytes, str], tuple[str, ...]]

    def batches(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "test": self.test}.get(split, self.train + self.test)

    def files(self, split: str) -> tuple[str, ...]:
        return self.names, *self.batches(split)

    def find(self, path: Path) -> Path | None:
        """The folder with any of the files: ``path``, or the published folder in it."""
        folders = (path, path / self.folder)
        return next((x for x in folders if any((x / name).is_file() for name in self.files("all"))), None)


def _versions(labels: Literal["fine", "coarse"]) -> tuple[_Version, ...]:
    python_labels, python_names = f"{labels}_labels", f"{labels}_label_names"
    return (
        _Version(
            "CIFAR-10", "cifar-10-batches-py", "batches.meta", _BATCHES, ("test_batch",),
            partial(parse_pickle, labels="labels"), partial(parse_names, key="label_names"),
        ),
        _Version(
            "CIFAR-10", "cifar-10-batches-bin", "batches.meta.txt",
            tuple(f"{name}.bin" for name in _BATCHES), ("test_batch.bin",),
            partial(parse_records, label=0, labels=1), parse_lines,
        ),
        _Version(
            "CIFAR-100", "cifar-100-python", "meta", ("train",), ("test",),
            partial(parse_pickle, labels=python_labels), partial(parse_names, key=python_names),
        ),
        _Version(
            "CIFAR-100", "cifar-100-binary", f"{labels}_label_names.txt", ("train.bin",), ("test.bin",),
            # the coarse label stands first
            partial(parse_records, label=1 if labels == "fine" else 0, labels=2), parse_lines,
        ),
    )  # fmt: skip


def holds_cifar(path: Path) -> bool:
    """Whether ``path`` is a tar archive, or a folder with files of CIFAR or with their published folder."""
    return is_archive(path) or any(version.find(path) for version in _versions("fine"))


def read_cifar(path: Path, split: str, *, labels: Literal["fine", "coarse"] = "fine") -> ImageSet:
    """Return the images, uint8 (n, 32, 32, 3), of ``"train"``, ``"test"`` or both.

    Raises:
        DataError: a file is missing, truncated, malformed, or a pickle that asks for more than arrays; or coarse
            labels of CIFAR-10, which has none.
    """
    version, contents = _contents(path, split, labels)
    if labels == "coarse" and version.title != "CIFAR-100":
        raise DataError(f"{path}: {version.title} has no coarse labels; only CIFAR-100 has. Leave labels=coarse out.")
    missing = [name for name in version.files(split) if name not in contents]
    if missing:
        raise DataError(f"{path}: the {version.title} file {missing[0]} is missing. Download and unpack the set again.")
    batches = [version.parse_batch(contents[name], f"{path}: {name}") for name in version.batches(split)]
    names = version.parse_names(contents[version.names], f"{path}: {version.names}")
    # A row is the red plane, then the green, then the blue.
    planes = np.concatenate([rows for rows, _ in batches]).reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return ImageSet(images, np.concatenate([numbers for _, numbers in batches]), names, str(path))


def _contents(path: Path, split: str, labels: Literal["fine", "coarse"]) -> tuple[_Version, dict[str, bytes]]:
    versions = _versions(labels)
    if not is_archive(path):
        (version, folder), *others = [(v, folder) for v in versions if (folder := v.find(path)) is not None]
        if others:
            raise DataError(f"{path} holds {folder} and {others[0][1]}. Give the path of one of them.")
        return version, read_folder(folder, version.files(split))
    contents = read_archive(path, [version.files(split) for version in versions])
    found = max(versions, key=lambda version: sum(name in contents for name in version.files(split)))
    if not any(name in contents for name in found.files(split)):
        raise DataError(f"{path}: the archive holds no files of CIFAR-10 or CIFAR-100. Unpack it, and give the folder.")
    return found, contents


READER = Reader(
    form="the folder or tar archive of CIFAR-10's or CIFAR-100's python or binary files",
    recognises=holds_cifar,
    read=lambda path, asked, split: read_cifar(path, split, labels=asked.labels),
    coarse_labels=True,
)
