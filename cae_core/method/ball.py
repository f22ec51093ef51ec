"""The ball around a seed, on [0, 1] and on the 8-bit grid.

A suspect behind an API gets PNG bytes, so the examples that count are the rounded ones: they are rounded first,
brought back into the ball, and only then judged.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.errors import OptionError

__all__ = ["Ball"]

_FLOAT32_ROUNDING = Fraction(1, 2**23)
"""Relative: 8/255 comes back from a float32 as 8 levels and a little more or less."""

_LARGEST = 1e5
"""The Euclidean length of ten thousand million pixel values at most."""

_SHRINK = 0.98
"""Factor by which an L2 perturbation shrinks until its rounded image is inside the ball."""


@dataclass(frozen=True)
class Ball:
    """All images within ``eps`` of a seed.

    Attributes:
        eps: radius on the scale [0, 1], above 0.
        norm: ``"linf"``: no pixel value changes by more than eps; ``"l2"``: Euclidean length over the whole image.
    """

    eps: float
    norm: Literal["linf", "l2"] = "linf"

    def __post_init__(self) -> None:
        if self.norm == "l2" and self.eps > _LARGEST:
            raise OptionError(f"eps is a length on the scale [0, 1]; found {self.eps:g}, which holds every image.")
        if not np.isfinite(self.eps) or (self.eps <= 1 and self.radius < 1):
            raise OptionError(
                f"eps must be at least 1/255 on the scale [0, 1]; found {self.eps:g}. With less no 8-bit image changes."
            )
        if self.norm == "linf" and self.eps > 1:
            raise OptionError(f"eps is a fraction of the range [0, 1], such as 8/255 or 0.03; found {self.eps:g}.")

    @property
    def radius(self) -> int:
        """The radius in whole 8-bit levels: floor(255 eps + 1e-3), so that 8/255 is 8 whatever its rounding."""
        return int(np.floor(255 * self.eps + 1e-3))

    @property
    def most_squared(self) -> int:
        """The largest squared L2 length in 8-bit levels, floor((255 eps)²), exact in integers.

        A whole number of levels that was rounded to float32, such as 8/255, counts as that number; that is the only
        tolerance.
        """
        levels = 255 * Fraction(float(self.eps))
        whole = round(levels)
        if abs(levels - whole) <= whole * _FLOAT32_ROUNDING:
            return whole**2
        return math.floor(levels**2)

    def project(self, images: Floats32, seeds: Floats32) -> Floats32:
        """Bring images, float32 (n, h, w, k), into both the ball around ``seeds`` and [0, 1]."""
        if self.norm == "linf":
            low, high = np.maximum(seeds - np.float32(self.eps), 0), np.minimum(seeds + np.float32(self.eps), 1)
            return np.clip(images, low, high)
        delta = np.clip(images, 0, 1) - seeds
        scale = np.minimum(1, self.eps / np.maximum(_length(delta), 1e-12))
        return np.asarray(seeds + delta * scale, np.float32)

    def quantise(self, images: Floats32, seeds: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Round images to 8 bits and bring them back into the ball around the 8-bit ``seeds``."""
        levels = np.rint(images.astype(np.float64) * 255)
        centre = seeds.astype(np.float64)
        if self.norm == "linf":
            levels = np.clip(levels, centre - self.radius, centre + self.radius)
            return np.clip(levels, 0, 255).astype(np.uint8)
        delta = images.astype(np.float64) * 255 - centre
        rounded = np.clip(np.rint(centre + delta), 0, 255)
        while not (inside := self._within(rounded - centre)).all():
            delta = np.where(inside[:, np.newaxis, np.newaxis, np.newaxis], delta, delta * _SHRINK)
            rounded = np.clip(np.rint(centre + delta), 0, 255)
        return rounded.astype(np.uint8)

    def contains(self, images: NDArray[np.uint8], seeds: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which 8-bit images (n, h, w, k) lie in the ball, bool (n,)."""
        delta = images.astype(np.float64) - seeds.astype(np.float64)
        if self.norm == "linf":
            return np.asarray(np.abs(delta).max(axis=(1, 2, 3), initial=0) <= self.radius)
        return self._within(delta)

    def _within(self, levels: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which differences (n, h, w, k) in whole levels are no longer than the radius, bool (n,)."""
        squared = np.square(levels.astype(np.int64)).sum(axis=(1, 2, 3))
        return np.asarray(squared <= min(self.most_squared, np.iinfo(np.int64).max))


def _length(delta: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.sqrt(np.square(delta).sum(axis=(1, 2, 3), keepdims=True)))
