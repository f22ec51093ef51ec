"""One string says which data are meant and what is done to them: a command line, a manifest and a test pass the same.

NAME_OR_PATH[,option=value ...], such as ``mnist,size=32`` or ``data/imagenet32,classes=100,seed=1``.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast

from cae_core.errors import DataError

__all__ = ["DataSpec"]

_OPTION = re.compile(r",([^,=/\\]*)=([^,/\\]*)$")
_LARGEST = 4096
"""Pixels, as in a model's contract."""

_KNOWN = ("size", "classes", "seed", "labels")


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which data, and what is done to them after reading.

    Attributes:
        source: the name of a data set, or a path.
        size: (height, width) that the images are resized to; None: their own.
        classes: how many of the classes are kept, chosen by ``seed``; None: all.
        seed: random seed for the choice of classes.
        labels: CIFAR-100 has both kinds, 100 fine classes or 20 coarse ones.
    """

    source: str
    size: tuple[int, int] | None = None
    classes: int | None = None
    seed: int = 0
    labels: Literal["fine", "coarse"] = "fine"

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= min(self.size) <= max(self.size) <= _LARGEST:
            raise DataError(
                f"The images' size must be at least 1x1 and at most {_LARGEST}x{_LARGEST}; "
                f"found {self.size[0]}x{self.size[1]}."
            )
        if self.classes is not None and self.classes < 2:
            raise DataError(f"A data set needs at least 2 classes; found classes={self.classes}.")
        if not 0 <= self.seed < 1 << 64:
            raise DataError(f"The seed of the classes must lie in 0 .. 2^64 - 1; found {self.seed}.")
        if self.labels not in ("fine", "coarse"):
            raise DataError(f"The labels are fine or coarse; found {self.labels!r}.")

    @classmethod
    def parse(cls, text: str) -> "DataSpec":
        """Read ``NAME_OR_PATH[,option=value ...]``.

        The options are ``size`` (``32`` or ``HEIGHTxWIDTH``), ``classes``, ``seed`` and ``labels``; a comma that no
        ``option=value`` follows belongs to the path.

        Example:
            >>> DataSpec.parse("mnist,size=32,classes=5")
            DataSpec(source='mnist', size=(32, 32), classes=5, seed=0, labels='fine')

        Raises:
            DataError: an option that is unknown, given twice, or outside its range.
        """
        source, given = text, dict[str, str]()
        while match := _OPTION.search(source):
            name, value = match.groups()
            if name in given:
                raise DataError(f"{text}: the option {name} is given twice.")
            source, given[name] = source[: match.start()], value
        unknown = sorted(set(given) - set(_KNOWN))
        if unknown:
            raise DataError(f"{text}: unknown option {unknown[0]!r} of a data set; known are {', '.join(_KNOWN)}.")
        return cls(
            source=source,
            size=_size(text, given["size"]) if "size" in given else None,
            classes=_number(text, "classes", given["classes"]) if "classes" in given else None,
            seed=_number(text, "seed", given.get("seed", "0")),
            labels=cast("Literal['fine', 'coarse']", given.get("labels", "fine")),  # checked by the class
        )


def _number(text: str, name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise DataError(f"{text}: {name} must be a whole number; found {value[:40]!r}.")
    return int(value)


def _size(text: str, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", value)
    if match is None:
        raise DataError(f"{text}: size must be a number of pixels or HEIGHTxWIDTH, such as 32; found {value!r}.")
    return int(match[1]), int(match[2] or match[1])
