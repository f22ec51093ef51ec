"""Where the pixels of a resized axis come from: one matrix an axis, as ONNX Runtime computes it, in float32.

An output pixel takes a weighted mean of input pixels; all of ONNX's interpolations are separable, so resizing is a
product with one matrix an axis, and its gradient is the transposed product. Places are computed in float32 in the
runtime's own order, because at ties one unit of the last digit chooses another pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTRES", "Axis", "Sampling", "nearest_pixels", "weights"]

_TIE = 1e-6
"""A place as near as this to the middle of two pixels lies in the middle for ONNX Runtime 1.31."""


@dataclass(frozen=True)
class Sampling:
    """How to interpolate, in ONNX's words.

    Attributes:
        mode: nearest, linear or cubic.
        centres: the coordinate transformation mode.
        rounding: of nearest; ``"simple"`` is that of opset 10, which rounds up where it makes smaller, else down.
        coefficient: of cubic.
        exclude_outside: whether pixels outside of the image have no weight, instead of the border's value.
        antialias: whether the filter widens where it makes smaller.
    """

    mode: str
    centres: str
    rounding: str = "round_prefer_floor"
    coefficient: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis that is resized.

    Attributes:
        size: before.
        to: its size afterwards.
        scale: the factor, a float32 number; it need not be ``to / size``.
        region: where the part to be cropped begins and ends, as shares of the axis; of tf_crop_and_resize.
    """

    size: int
    to: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)

    @property
    def is_kept(self) -> bool:
        """Whether the factor is 1: then the runtime takes pixel for pixel, whatever the coordinate mode."""
        return self.scale == 1


_ONE, _HALF = np.float32(1), np.float32(0.5)


@dataclass(frozen=True)
class _Line:
    """An axis' numbers as the runtime has them, all in float32."""

    size: np.float32
    to: np.float32
    scale: np.float32
    begin: np.float32
    end: np.float32


def _half_pixel(x: NDArray[np.float32], line: _Line) -> NDArray[np.float32]:
    return (x + _HALF) / line.scale - _HALF


def _half_pixel_symmetric(x: NDArray[np.float32], line: _Line) -> NDArray[np.float32]:
    offset = line.size / np.float32(2) * (_ONE - line.to / (line.scale * line.size))
    return offset + (x + _HALF) / line.scale - _HALF


def _pytorch_half_pixel(x: NDArray[np.float32], line: _Line) -> NDArray[np.float32]:
    return _half_pixel(x, line) if line.to > 1 else 0 * x


def _align_corners(x: NDArray[np.float32], line: _Line) -> NDArray[np.float32]:
    return x * (line.size - _ONE) / (line.to - _ONE) if line.to > 1 else 0 * x


def _crop_and_resize(x: NDArray[np.float32], line: _Line) -> NDArray[np.float32]:
    last = line.size - _ONE
    if line.to <= 1:
        return 0 * x + _HALF * (line.begin + line.end) * last
    return line.begin * last + x * (line.end - line.begin) * last / (line.to - _ONE)


_CENTRES: dict[str, Callable[[NDArray[np.float32], _Line], NDArray[np.float32]]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": lambda x, line: x / line.scale,
    "tf_half_pixel_for_nn": lambda x, line: (x + _HALF) / line.scale,
    "tf_crop_and_resize": _crop_and_resize,
}

CENTRES = tuple(_CENTRES)
"""The coordinate transformation modes."""


def _places(axis: Axis, centres: str) -> NDArray[np.float32]:
    """Return the place in the input of each output pixel, (to,)."""
    x = np.arange(axis.to, dtype=np.float32)
    if axis.is_kept:
        return x
    return _CENTRES[centres](x, _Line(*map(np.float32, (axis.size, axis.to, axis.scale, *axis.region))))


def _outside(places: NDArray[np.float32], axis: Axis, centres: str) -> NDArray[np.bool_]:
    if centres != "tf_crop_and_resize":
        return np.zeros(axis.to, np.bool_)
    return (places < 0) | (places > axis.size - 1)


@lru_cache(maxsize=256)
def nearest_pixels(axis: Axis, sampling: Sampling) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the input pixel of each output pixel, (to,), and which of them lie outside of the image, (to,)."""
    places = _places(axis, sampling.centres)
    rounding = sampling.rounding
    if rounding == "simple":
        rounding = "ceil" if axis.scale < 1 else "floor"
    if rounding in ("round_prefer_floor", "round_prefer_ceil"):
        below = np.floor(places)
        share = places.astype(np.float64) - below
        is_tie = np.abs(share - 0.5) <= _TIE
        chosen = below + np.where(is_tie, rounding == "round_prefer_ceil", share > 0.5)
    else:
        chosen = np.floor(places) if rounding == "floor" else np.ceil(places)
    return np.clip(chosen, 0, axis.size - 1).astype(np.int64), _outside(places, axis, sampling.centres)


@lru_cache(maxsize=256)
def weights(axis: Axis, sampling: Sampling) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the weight of each input pixel in each output pixel, (to, size), and which lie outside, (to,)."""
    places = _places(axis, sampling.centres)
    outside = _outside(places, axis, sampling.centres)
    width = {"linear": 2, "cubic": 4}[sampling.mode]
    # The filter's unit is an input pixel, and an output pixel where antialiasing makes smaller.
    spread = max(np.float32(1), np.float32(1) / np.float32(axis.scale)) if sampling.antialias else np.float32(1)
    if sampling.mode == "linear" and not sampling.antialias:
        places = np.clip(places, np.float32(0), np.float32(axis.size - 1))
    reach = int(np.ceil(spread * width / 2)) + 1
    taps = np.floor(places)[:, None].astype(np.int64) + np.arange(-reach, reach + 1)
    distances = (taps.astype(np.float32) - places[:, None]) / spread
    values = _triangle(distances) if sampling.mode == "linear" else _cubic(distances, sampling.coefficient)
    if sampling.exclude_outside:
        values = np.where((taps >= 0) & (taps < axis.size), values, np.float32(0))
    if sampling.exclude_outside or sampling.antialias:
        totals = values.sum(axis=1, keepdims=True)
        values /= np.where(totals == 0, _ONE, totals)
    matrix = np.zeros((axis.to, axis.size), np.float32)
    np.add.at(matrix, (np.arange(axis.to)[:, None], np.clip(taps, 0, axis.size - 1)), values)
    return matrix, outside


def _triangle(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.maximum(np.float32(1) - np.abs(x), np.float32(0))


def _cubic(x: NDArray[np.float32], coefficient: float) -> NDArray[np.float32]:
    """Keys' kernel (IEEE ASSP 29, 1981, equation 4, with a free coefficient a)."""
    a, x = np.float32(coefficient), np.abs(x)
    inner = ((a + np.float32(2)) * x - (a + np.float32(3))) * x * x + np.float32(1)
    outer = ((a * x - np.float32(5) * a) * x + np.float32(8) * a) * x - np.float32(4) * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, np.float32(0)))
