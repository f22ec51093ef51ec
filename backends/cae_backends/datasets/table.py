"""The table of the forms that a data set may have, and opening one: what every form is asked alike stands here."""

import dataclasses
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets import cifar, digits, idx, image_folder, imagenet32, npz
from cae_backends.datasets.classes import choose_classes
from cae_backends.datasets.download import PUBLISHED, fetch
from cae_backends.datasets.reader import Reader
from cae_backends.datasets.resizing import resize_images
from cae_backends.datasets.spec import DataSpec
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.reading import reading

__all__ = ["READERS", "SPLITS", "open_data"]

SPLITS = ("train", "test", "all")
"""What a data set can be asked for; ``"all"``, or ``"both"``, is ``"train"`` followed by ``"test"``."""

_LONGEST = 300
"""Letters of a path in a sentence."""

READERS: tuple[Reader, ...] = (
    digits.READER,
    npz.READER,
    imagenet32.READER,
    cifar.READER,
    idx.READER,
    image_folder.READER,
)
"""What can be read, in the order in which a path is tried; another data set is one more file and one more line."""


def open_data(spec: str | DataSpec, *, split: str = "test") -> ImageSet:
    """Open a data set.

    Args:
        spec: a name or path, and options, see `cae_backends.datasets`. A name goes before a path: write ``./digits``
            for a folder.
        split: one of `SPLITS`. An ``.npz`` file, and a folder of images without ``train`` and ``test``, are one split
            and are given whole, whichever is asked.

    Raises:
        DataError: an unknown name, option, split or format, a missing or broken file, or a data set without images.
    """
    split = "all" if split == "both" else split
    if split not in SPLITS:
        raise DataError(f"A data set is split into {', '.join(SPLITS)}; found {split!r}.")
    asked = DataSpec.parse(spec) if isinstance(spec, str) else spec
    with reading(_short(asked.source), DataError, fault="this data set cannot be read", remedy="Give another one."):
        return _opened(asked, split)


def _opened(asked: DataSpec, split: str) -> ImageSet:
    data = dataclasses.replace(_prepared(asked, split), name=asked.source)
    if split != "all":
        return dataclasses.replace(data, split=split)
    held_out = _held_out(data, _prepared(asked, "test"))
    return data if held_out is None else dataclasses.replace(data, split=split, held_out=held_out)


def _held_out(whole: ImageSet, test: ImageSet) -> NDArray[np.bool_] | None:
    """Return which images are the test split, that is the last ones; None where the form knows no splits."""
    first = len(whole) - len(test)
    if first <= 0 or not np.array_equal(whole.images[first:], test.images):
        return None
    return np.arange(len(whole)) >= first


def _prepared(asked: DataSpec, split: str) -> ImageSet:
    data = _read(asked, split)
    if asked.classes is not None:
        data = choose_classes(data, asked.classes, asked.seed)
    if not len(data):
        raise DataError(f"{asked.source}: the data set holds no images.")
    if asked.size is not None:
        data = dataclasses.replace(data, images=resize_images(data.images, asked.size))
    return data


def _short(source: str) -> str:
    return source if len(source) <= _LONGEST else source[: _LONGEST - 1] + "…"


def _read(asked: DataSpec, split: str) -> ImageSet:
    path = fetch(asked.source) if asked.source in PUBLISHED else Path(asked.source)
    reader = next((x for x in READERS if asked.source == x.name), None) or _recognised(path)
    if asked.labels == "coarse" and not (reader and reader.coarse_labels):
        raise DataError(f"{asked.source}: only CIFAR-100 has coarse labels. Leave labels=coarse out.")
    return (reader or _unknown(path)).read(path, asked, split)


def _recognised(path: Path) -> Reader | None:
    return next((reader for reader in READERS if reader.recognises(path)), None) if path.exists() else None


def _unknown(path: Path) -> NoReturn:
    if not path.exists():
        names = ", ".join((*(x.name for x in READERS if x.name is not None), *PUBLISHED))
        raise DataError(f"{path}: no such data set. Give the path of an existing one, or one of the names {names}.")
    *forms, last = (reader.form for reader in READERS if reader.form is not None)
    raise DataError(f"{path}: no known data set. Known are {'; '.join(forms)}; and {last}.")
