"""Sliding windows: how much they are padded, how many there are, and sums over them, as ONNX Runtime counts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Window", "Windows", "counts", "padded", "sums"]


@dataclass(frozen=True)
class Window:
    """The windows along one axis of a known size.

    Attributes:
        size: of the axis.
        width: taps of a window.
        stride: between windows.
        dilation: between taps.
        before: padding at the beginning.
        after: padding at the end, as the file says it.
        count: windows.
    """

    size: int
    width: int
    stride: int
    dilation: int
    before: int
    after: int
    count: int

    @property
    def overhang(self) -> int:
        """How many places the last window reaches beyond the axis' end; negative where it ends before it."""
        return (self.count - 1) * self.stride + (self.width - 1) * self.dilation + 1 - self.before - self.size

    @property
    def is_native(self) -> bool:
        """Whether torch pads so by itself: as much on both sides, and at most half a window; it is faster then."""
        small = 2 * self.before <= self.width and (self.dilation == 1 or self.before == 0)
        return 0 <= self.before == self.after and small and self.overhang <= self.after


@dataclass(frozen=True)
class Windows:
    """What a node says about its windows; the size of the image is known only when it is run."""

    widths: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]
    automatic: str
    ceil: bool
    of_convolution: bool

    @classmethod
    def of(cls, told: Mapping[str, Any], *, of_convolution: bool = False) -> "Windows":
        """Read the attributes of a pooling node, or of a convolution.

        Raises:
            NotImplementedError: an ``auto_pad`` that ONNX does not have.
        """
        widths = told["kernel_shape"]
        ones, automatic = [1] * len(widths), told.get("auto_pad", "NOTSET")
        if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise NotImplementedError(f"auto_pad {automatic}")
        pads = told.get("pads") or [0, 0] * len(widths)
        return cls(
            widths,
            told.get("strides") or ones,
            told.get("dilations") or ones,
            pads if automatic == "NOTSET" else [0, 0] * len(widths),
            automatic,
            bool(told.get("ceil_mode", 0)),
            of_convolution,
        )

    def along(self, sizes: Sequence[int]) -> list[Window]:
        """Return the windows along each spatial axis of an image of ``sizes``."""
        return [self._window(axis, size) for axis, size in enumerate(sizes)]

    def _window(self, axis: int, size: int) -> Window:
        width, stride, dilation = self.widths[axis], self.strides[axis], self.dilations[axis]
        before, after = self.pads[axis], self.pads[len(self.widths) + axis]
        if self.automatic.startswith("SAME"):
            # The runtime leaves the dilation out here, against the specification, and may end at less than nothing.
            total = (-(-size // stride) - 1) * stride + width - size
            total = max(0, total) if self.of_convolution else total
            before = _truncated(total if self.automatic == "SAME_UPPER" else total + 1, 2)
            after = total - before
        room = size + before + after - (width - 1) * dilation - 1
        count = (-(-room // stride) if self.ceil else _truncated(room, stride)) + 1
        if self.ceil and (count - 1) * stride >= size + before:
            count -= 1  # a window that would begin in the padding at the end
        if count < 1:
            raise NotImplementedError(f"{size} pixels, into which no window of {width} fits")
        return Window(size, width, stride, dilation, before, after, count)


def _truncated(number: int, divisor: int) -> int:
    """Divide as C does, towards zero: one window is left where it is wider than the image."""
    return -(-number // divisor) if number < 0 else number // divisor


def padded(x: Tensor, windows: Sequence[Window], value: float) -> Tensor:
    """Fill the spatial axes with ``value`` as far as the windows reach, and cut what none reaches."""
    sides = [side for window in reversed(windows) for side in (window.before, window.overhang)]
    return F.pad(x, sides, value=value) if any(sides) else x


def sums(x: Tensor, windows: Sequence[Window]) -> Tensor:
    """Sum over the windows of each spatial axis: one product with a matrix of zeros and ones an axis."""
    for axis, window in enumerate(windows, start=x.ndim - len(windows)):
        matrix = torch.from_numpy(_members(window)).to(x)
        x = (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return x


@lru_cache(maxsize=256)
def _members(window: Window) -> NDArray[np.float32]:
    """Return which places each window holds, (count, size)."""
    taps = _taps(window)
    matrix = np.zeros((window.count, window.size), np.float32)
    rows, inside = np.arange(window.count)[:, None], (taps >= 0) & (taps < window.size)
    np.add.at(matrix, (rows, np.clip(taps, 0, window.size - 1)), inside)
    return matrix


def counts(windows: Sequence[Window], *, with_padding: bool) -> NDArray[np.float32]:
    """Return how many taps each window has inside of the image, or of the image and its padding, (count, ...)."""
    total = np.ones((), np.float32)
    for window in windows:
        taps = _taps(window)
        low, high = (-window.before, window.size + window.after) if with_padding else (0, window.size)
        of_axis = ((taps >= low) & (taps < high)).sum(axis=1).astype(np.float32)
        total = np.multiply.outer(total, of_axis)
    return total


def _taps(window: Window) -> NDArray[np.int64]:
    starts = np.arange(window.count) * window.stride - window.before
    taps: NDArray[np.int64] = starts[:, None] + np.arange(window.width) * window.dilation
    return taps
