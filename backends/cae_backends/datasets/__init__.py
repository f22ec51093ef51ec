"""Data sets by one string: a name, or a path in one of the formats that data sets are published in.

digits                      scikit-learn's 8x8 digits
cifar-10-batches-py         the folder of CIFAR-10's python files, or a .tar, .tar.gz or .tar.xz that holds it
folder                      the four IDX files of MNIST, compressed by gzip or not
file.npz                    arrays `images`, `labels` and, optionally, `class_names`
"""

from pathlib import Path

from cae_backends.datasets.cifar10 import holds_cifar10, read_cifar10
from cae_backends.datasets.digits import read_digits
from cae_backends.datasets.idx import holds_idx, read_idx
from cae_backends.datasets.npz import read_npz
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["SPLITS", "open_data"]

SPLITS = ("train", "test", "all")
"""What a data set can be asked for; ``"all"`` is ``"train"`` followed by ``"test"``."""


def open_data(spec: str, *, split: str = "test") -> ImageSet:
    """Open a data set.

    Args:
        spec: ``"digits"``, or a path (see the module). A name goes before a path: write ``./digits`` for a folder.
        split: one of `SPLITS`. An ``.npz`` file is one split and is given whole, whichever is asked.

    Raises:
        DataError: an unknown name, split or format, a missing or broken file, or a data set without images.
    """
    if split not in SPLITS:
        raise DataError(f"A data set is split into {', '.join(SPLITS)}; found {split!r}.")
    data = read_digits(split) if spec == "digits" else _read_path(Path(spec), split)
    if not len(data):
        raise DataError(f"{spec}: the data set holds no images.")
    return data


def _read_path(path: Path, split: str) -> ImageSet:
    if not path.exists():
        raise DataError(f"{path}: no such data set. Give the path of an existing one, or the name digits.")
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    if holds_cifar10(path):
        return read_cifar10(path, split)
    if holds_idx(path):
        return read_idx(path, split)
    raise DataError(
        f"{path}: no known data set. Known are an .npz file with images and labels, the folder or tar archive of "
        "CIFAR-10's python files (cifar-10-batches-py), and a folder with the IDX files of MNIST."
    )
