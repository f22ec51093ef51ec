"""Tensors of whole numbers: what quantised models take, and what they answer.

A quantised number q stands for scale * (q - zero_point), as in ONNX's QuantizeLinear
(https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32

__all__ = ["DTYPES", "INTEGERS", "limits_of", "quantised", "shares"]

INTEGERS = ("uint8", "int8", "uint16", "int16", "int32", "int64")

DTYPES = ("float32", "float16", "float64", *INTEGERS)

_EXACT = 1 << 24
"""The largest number up to which float32 has every whole one."""


def limits_of(dtype: str) -> tuple[int, int]:
    """Return the least and the largest number of an integer type that are made; of wide ones what float32 holds."""
    found = np.iinfo(dtype)
    return max(int(found.min), -_EXACT), min(int(found.max), _EXACT)


def quantised(x: Floats32, dtype: str, scale: float | None, zero_point: int | None) -> NDArray[Any]:
    """Return real numbers as whole ones: divided by the scale, rounded to even, moved, and cut to the type's limits."""
    stretched = x if scale is None else x / np.float32(scale)
    low, high = limits_of(dtype)
    return np.clip(np.rint(stretched) + np.float32(zero_point or 0), low, high).astype(dtype)


def shares(scores: NDArray[np.integer[Any]]) -> Floats32:
    """Return probabilities from 0 to 1 of integers that stand for them, the type's least number for 0.

    Quantisers have the scale 1 / 256 for 8 bits and the least number as zero point at the end of every softmax.
    """
    found = np.iinfo(scores.dtype)
    moved = scores.astype(np.float64) - float(found.min)
    return np.asarray(moved / (float(found.max) - float(found.min) + 1), np.float32)
