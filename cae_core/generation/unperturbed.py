"""Examples that nobody searched for: images as they are, to which the source gives a wrong label.

Nothing in them was perturbed, so nothing can be filtered out of them.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels

__all__ = ["Unperturbed"]


@dataclass(frozen=True)
class Unperturbed:
    """Examples that were not searched, within each kind the better ones first.

    Attributes:
        kind: uint8 (u,), codes of their kinds.
        index: int64 (u,), the places of their seeds in the data set.
        images: uint8 (u, h, w, k).
        labels: int64 (u,), the source's.
        conferrability: float32 (u,).
    """

    kind: NDArray[np.uint8]
    index: Labels
    images: NDArray[np.uint8]
    labels: Labels
    conferrability: Floats32

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def none(cls, image_shape: tuple[int, ...]) -> Self:
        """Return no example."""
        no = np.zeros(0, np.int64)
        return cls(no.astype(np.uint8), no, np.zeros((0, *image_shape), np.uint8), no, no.astype(np.float32))

    def extended(self, other: "Unperturbed") -> "Unperturbed":
        """Return these followed by ``other``."""
        names = [field.name for field in dataclasses.fields(self)]
        return Unperturbed(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Unperturbed":
        """Return those at ``index``."""
        return Unperturbed(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))
