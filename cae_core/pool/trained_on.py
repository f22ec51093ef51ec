"""On which images a model was trained, as a manifest says it: a data set, and which part of its images.

```toml
[[model]]
path = "theirs.onnx"
trained_on = { data = "cifar10", share = 0.5, seed = 1, count = 50000 }
```

The data set is named as `open_data` does, or by the SHA-256 of its images and labels. Its part is a random share, as
`cae pool train` draws it (``numpy.random.default_rng(seed).permutation(count)``, the first ``share`` of it, at least
two images), a file of ``indices``, or all of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.errors import OptionError, quoted
from cae_core.files.fields import check_known, read_field, read_fields
from cae_core.reading import read_limited, reading

__all__ = ["Part", "TrainedOn", "parse_trained_on", "trained_share"]

_LARGEST = 1 << 28
"""Bytes of a file of indices at most: 30 million images."""

_MOST = 1 << 25
"""Images of a data set at most."""

_SPLITS = {"train": "train", "test": "test", "all": "all", "both": "all"}

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A fixed part of a data set, so that an owner and a thief can share no image.

    Attributes:
        share: in (0, 1), drawn as `trained_share` does.
        seed: by which it is drawn.
        rest: whether it is what that share leaves.
    """

    share: float
    seed: int = 0
    rest: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.seed < 0:
            raise OptionError(f"A part's share lies in (0, 1), and its seed is not negative; found {self}.")

    def places(self, count: int) -> Labels:
        """Return its places among ``count`` images, int64 (k,), ascending."""
        drawn = np.zeros(count, bool)
        drawn[trained_share(count, self.share, self.seed)] = True
        return np.flatnonzero(drawn != self.rest).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The images that a model was trained on.

    Attributes:
        data: name of the data set, or the SHA-256 of its images and labels, see `ImageSet.sha256`.
        split: of a data set that is named, the part: ``"train"``, ``"test"`` or ``"all"``.
        count: how many images the data set has; 0 where unknown.
        share: of them, which share was drawn, in (0, 1].
        seed: by which it was drawn.
        part: of the data set, of which the share was drawn; None: of all of it.
        indices: a file of their places instead, an integer array (k,) as ``.npy``; None: the share.
        apart_from: SHA-256 of data sets of which the model saw no image, such as the test images.
    """

    data: str
    split: str = "train"
    count: int = 0
    share: float = 1.0
    seed: int = 0
    part: Part | None = None
    indices: Path | None = None
    apart_from: tuple[str, ...] = ()

    @property
    def is_digest(self) -> bool:
        """Whether the data set is named by its SHA-256."""
        return _SHA256.fullmatch(self.data) is not None

    def saw(self, places: Labels) -> NDArray[np.bool_]:
        """Return bool (k,): which of the images at these ``places`` (k,) of the data set the model was trained on.

        Raises:
            OptionError: the file of indices cannot be read, or is none.
        """
        if self.indices is not None:
            return np.isin(places, _indices(self.indices))
        if self.share == 1 and self.part is None:
            return np.ones(len(places), bool)
        own = np.arange(self.count) if self.part is None else self.part.places(self.count)
        return np.isin(places, own if self.share == 1 else own[trained_share(len(own), self.share, self.seed)])

    @property
    def is_whole(self) -> bool:
        """Whether all images of the data set were used."""
        return self.share == 1 and self.indices is None and self.part is None


def trained_share(count: int, share: float, seed: int) -> Labels:
    """Return the places (k,) of a random share of ``count`` images, at least two of them."""
    return np.random.default_rng(seed).permutation(count)[: max(2, round(share * count))]


def parse_trained_on(table: object, folder: Path) -> TrainedOn:
    """Make one of a manifest's table.

    Args:
        table: the fields.
        folder: where a relative path of ``indices`` starts from.

    Raises:
        OptionError: a field is unknown, missing or wrong.
    """
    if not isinstance(table, Mapping):
        raise OptionError(f'trained_on must be a table, such as {{ data = "cifar10" }}; found {quoted(table)}.')
    fields = cast("Mapping[str, Any]", table)
    check_known(fields, ("data", "split", "count", "share", "seed", "part", "indices", "all", "apart_from"))
    share, indices = read_field(fields, "share", float, 1.0), read_field(fields, "indices", str, "")
    count, seed = read_field(fields, "count", int, 0), read_field(fields, "seed", int, 0)
    if not 0 < share <= 1 or not 0 <= count <= _MOST or seed < 0:
        raise OptionError("trained_on: share lies in (0, 1], count in 0 .. 2^25, and seed is not negative.")
    part = _part(fields)
    if read_field(fields, "all", bool, default=False) and (indices or part or share < 1):
        raise OptionError("trained_on: all = true leaves no share, no part and no indices. Leave one of them out.")
    if indices and (part or share < 1):
        raise OptionError("trained_on: indices say which images; leave share and part out.")
    if (part or share < 1) and not count:
        raise OptionError("trained_on: which images a share is depends on their number; give count beside share.")
    return TrainedOn(
        data=_named(fields),
        split=_split(fields),
        count=count,
        share=share,
        seed=seed,
        part=part,
        indices=folder / indices if indices else None,
        apart_from=tuple(read_field(fields, "apart_from", list[str], [])),
    )


def _part(fields: Mapping[str, Any]) -> Part | None:
    if "part" not in fields:
        return None
    try:
        return Part(**read_fields(Part, fields["part"]))
    except (OptionError, TypeError) as error:
        raise OptionError(f"trained_on: part has a share, a seed and perhaps rest = true ({error}).") from error


def _split(fields: Mapping[str, Any]) -> str:
    """Return the split, ``"all"`` for ``"both"``; of an unknown one nothing could be told, least that it is another."""
    split: str = read_field(fields, "split", str, "train")
    if split not in _SPLITS:
        raise OptionError(f"trained_on: split must be one of {', '.join(_SPLITS)}; found {quoted(split)}.")
    return _SPLITS[split]


def _named(fields: Mapping[str, Any]) -> str:
    data: str = read_field(fields, "data", str)
    if not data:
        raise OptionError("trained_on: data names no data set.")
    return data


def _indices(path: Path) -> Labels:
    with reading(path, OptionError, fault="the indices of trained_on are refused", unread="they cannot be read"):
        content = read_limited(path, _LARGEST)
        found = _array(content)
        if found.ndim != 1 or found.dtype.kind not in "iu" or (found < 0).any():
            raise ValueError(f"places are integers (k,) of at least 0; found {found.dtype} {found.shape}")
    return np.asarray(found, np.int64)


def _array(content: bytes) -> NDArray[Any]:
    import io

    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
