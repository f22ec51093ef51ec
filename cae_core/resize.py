"""Resizing as two small matrices, so that its adjoint is their transpose.

Every rule is separable and linear: ``y = A_h x A_w^T`` for each channel. The rules are those of
``torch.nn.functional.interpolate`` with half-pixel centres; the ``-antialias`` ones widen the kernel when
they shrink an image, as Pillow does.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from cae_core.arrays import Floats32, Floats64

__all__ = ["RESIZE_RULES", "resize", "resize_matrix"]

RESIZE_RULES = ("nearest", "bilinear", "bilinear-antialias", "bicubic", "bicubic-antialias")


def _triangle(x: Floats64) -> Floats64:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(a: float) -> Callable[[Floats64], Floats64]:
    """Keys' cubic convolution kernel with parameter ``a``."""

    def kernel(x: Floats64) -> Floats64:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

    return kernel


# Half-width and kernel of each rule. The two cubic parameters are torch's own: -0.75 without, -0.5 with antialias.
_KERNELS: dict[str, tuple[float, Callable[[Floats64], Floats64], bool]] = {
    "bilinear": (1.0, _triangle, False),
    "bilinear-antialias": (1.0, _triangle, True),
    "bicubic": (2.0, _cubic(-0.75), False),
    "bicubic-antialias": (2.0, _cubic(-0.5), True),
}


@lru_cache(maxsize=64)
def resize_matrix(size_in: int, size_out: int, rule: str) -> Floats32:
    """Return the (size_out, size_in) matrix that resizes one axis by ``rule``.

    Example:
        >>> resize_matrix(2, 4, "bilinear")[:, 0].tolist()
        [1.0, 0.75, 0.25, 0.0]
    """
    ratio = size_in / size_out
    if rule == "nearest":
        rows: Floats32 = np.eye(size_in, dtype=np.float32)
        return rows[(np.arange(size_out) * ratio).astype(np.int64)]
    support, kernel, antialias = _KERNELS[rule]
    stretch = max(ratio, 1.0) if antialias else 1.0
    centres = (np.arange(size_out) + 0.5) * ratio - 0.5
    matrix = np.zeros((size_out, size_in))
    for row, centre in enumerate(centres):
        first, last = np.floor(centre - support * stretch), np.ceil(centre + support * stretch)
        taps: Floats64 = np.arange(first, last + 1, dtype=np.float64)
        if antialias:  # taps outside the image do not count
            taps = taps[(taps >= 0) & (taps < size_in)]
        weights = kernel((taps - centre) / stretch)
        # without antialias a tap outside the image reads the border pixel
        np.add.at(matrix[row], np.clip(taps, 0, size_in - 1).astype(int), weights / weights.sum())
    return np.asarray(matrix, np.float32)


def resize(images: Floats32, size: tuple[int, int], rule: str) -> Floats32:
    """Resize (n, h, w, k) to ``size`` = (height, width) by ``rule``."""
    rows = resize_matrix(images.shape[1], size[0], rule)
    columns = resize_matrix(images.shape[2], size[1], rule)
    return np.asarray(np.einsum("Hh,nhwk,Ww->nHWk", rows, images, columns, optimize=True), np.float32)
