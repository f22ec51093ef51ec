"""Labelled images as the rest of the project takes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels, check_images, sha256_of
from cae_core.errors import DataError
from cae_core.foreign_text import visible

__all__ = ["ImageSet"]


@dataclass(frozen=True)
class ImageSet:
    """Labelled images.

    Attributes:
        images: uint8 (n, h, w, k), k = 3 (RGB) or 1.
        labels: int64 (n,), in ``0 .. c-1``.
        class_names: the c names, in the order of the labels.
        name: what the user called the data.
        split: the part of the data set that was asked for, ``"train"``, ``"test"`` or ``"all"``; empty where unknown.
        held_out: bool (n,), which images are of the test split, where training images are among them; None: no
            difference is known.
    """

    images: NDArray[np.uint8]
    labels: Labels
    class_names: tuple[str, ...]
    name: str = field(default="", compare=False)
    split: str = field(default="", compare=False)
    held_out: NDArray[np.bool_] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.images.dtype != np.uint8:
            raise DataError(f"{self.name}: images must be uint8 (0 to 255); found {self.images.dtype}.")
        if self.labels.shape != (len(self.images),):
            raise DataError(f"{self.name}: {len(self.images)} images need as many labels; found {self.labels.shape}.")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise DataError(
                f"{self.name}: labels must lie in 0 .. {len(self.class_names) - 1}; "
                f"found {self.labels.min()} .. {self.labels.max()}."
            )

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        name = visible(self.name) or "unnamed"
        return f"ImageSet({name}, {len(self)} images of {shape}, {len(self.class_names)} classes)"

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, index: Sequence[int] | NDArray[np.int64]) -> "ImageSet":
        """Return the images at ``index``, in that order."""
        chosen = np.asarray(index, np.int64)
        held_out = None if self.held_out is None else self.held_out[chosen]
        return ImageSet(
            self.images[chosen], self.labels[chosen], self.class_names, self.name, self.split, held_out=held_out
        )

    def described(self) -> dict[str, Any]:
        """Return how a generation names the data: name and SHA-256, and what it holds beside test images.

        Of a set of both splits it names the SHA-256 of each by itself: whoever was trained on a split knows it by that.
        """
        named: dict[str, Any] = {"name": Path(self.name).name, "sha256": self.sha256()}
        if self.split not in ("", "test"):
            named["split"] = self.split
        if self.held_out is not None:
            parts = (("train", np.flatnonzero(~self.held_out)), ("test", np.flatnonzero(self.held_out)))
            named["parts"] = [
                {"split": split, "count": len(part), "sha256": self.subset(part).sha256()} for split, part in parts
            ]
        return named

    def sha256(self) -> str:
        """Return the SHA-256 over shape, images and labels."""
        return sha256_of(repr(self.images.shape), self.images, self.labels.astype("<i8"))
