"""Data sets by one string: a name or a path, and options after commas, such as ``mnist,size=32``.

digits                                scikit-learn's 8x8 digits
cifar-10, cifar-100                   downloaded where there is a network, and kept
mnist, fashion-mnist                  likewise
cifar-10-batches-py, cifar-100-python the folder of CIFAR's python files, or a .tar, .tar.gz or .tar.xz that holds it
cifar-10-batches-bin, cifar-100-binary    likewise the binary files
folder                                the four IDX files of MNIST or Fashion-MNIST, compressed by gzip or not
folder                                the .npz batches of ImageNet-32
folder                                PNG and JPEG images in a folder for each class, in train and test or not
file.npz                              arrays `images`, `labels` and, optionally, `class_names`

The options are those of `DataSpec`.
"""

import dataclasses
from pathlib import Path

from cae_backends.datasets.cifar import holds_cifar, read_cifar
from cae_backends.datasets.classes import choose_classes
from cae_backends.datasets.digits import read_digits
from cae_backends.datasets.download import PUBLISHED, fetch
from cae_backends.datasets.idx import holds_idx, read_idx
from cae_backends.datasets.image_folder import holds_image_folder, read_image_folder
from cae_backends.datasets.imagenet32 import holds_imagenet32, read_imagenet32
from cae_backends.datasets.npz import read_npz
from cae_backends.datasets.resizing import resize_images
from cae_backends.datasets.spec import DataSpec
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["SPLITS", "DataSpec", "open_data"]

SPLITS = ("train", "test", "all")
"""What a data set can be asked for; ``"all"`` is ``"train"`` followed by ``"test"``."""


def open_data(spec: str | DataSpec, *, split: str = "test") -> ImageSet:
    """Open a data set.

    Args:
        spec: a name or path, and options (see the module). A name goes before a path: write ``./digits`` for a folder.
        split: one of `SPLITS`. An ``.npz`` file, and a folder of images without ``train`` and ``test``, are one split
            and are given whole, whichever is asked.

    Raises:
        DataError: an unknown name, option, split or format, a missing or broken file, or a data set without images.
    """
    if split not in SPLITS:
        raise DataError(f"A data set is split into {', '.join(SPLITS)}; found {split!r}.")
    asked = DataSpec.parse(spec) if isinstance(spec, str) else spec
    data = _read(asked, split)
    if asked.classes is not None:
        data = choose_classes(data, asked.classes, asked.seed)
    if not len(data):
        raise DataError(f"{asked.source}: the data set holds no images.")
    if asked.size is not None:
        data = dataclasses.replace(data, images=resize_images(data.images, asked.size))
    return dataclasses.replace(data, name=asked.source)


def _read(asked: DataSpec, split: str) -> ImageSet:
    path = fetch(asked.source) if asked.source in PUBLISHED else Path(asked.source)
    if asked.labels == "coarse" and not holds_cifar(path):
        raise DataError(f"{asked.source}: only CIFAR-100 has coarse labels. Leave labels=coarse out.")
    return read_digits(split) if asked.source == "digits" else _read_path(path, asked, split)


def _read_path(path: Path, asked: DataSpec, split: str) -> ImageSet:
    if not path.exists():
        names = ", ".join(("digits", *PUBLISHED))
        raise DataError(f"{path}: no such data set. Give the path of an existing one, or one of the names {names}.")
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    if holds_imagenet32(path):
        return read_imagenet32(path, split, classes=asked.classes, seed=asked.seed)
    if holds_cifar(path):
        return read_cifar(path, split, labels=asked.labels)
    if holds_idx(path):
        return read_idx(path, split)
    if holds_image_folder(path):
        return read_image_folder(path, split, size=asked.size)
    raise DataError(
        f"{path}: no known data set. Known are an .npz file with images and labels; the folder or tar archive of "
        "CIFAR-10's or CIFAR-100's python or binary files; and a folder with the IDX files of MNIST, with the .npz "
        "batches of ImageNet-32, or with a folder of PNG or JPEG images for each class."
    )
