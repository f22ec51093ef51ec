"""Resize and Upsample: a matrix an axis, or a choice of pixels an axis, as ONNX Runtime computes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import (
    Numbers,
    Operators,
    attribute_or_input,
    attributes,
    with_numbers,
)
from cae_backends.torch.onnx_operators.interpolation import CENTRES, Axis, Sampling, nearest_pixels, weights

__all__ = ["OPERATORS"]

_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_POLICIES: dict[str, Callable[[Sequence[np.float32]], np.float32]] = {"not_larger": min, "not_smaller": max}


def _resize(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = attributes(node)
    if len(node.input_values) == 2:  # of opset 10: scales only, without regions
        return _by_scales(node, graph)
    sampling, policy = _sampling(told), told.get("keep_aspect_ratio_policy", "stretch")
    if policy not in ("stretch", *_POLICIES):
        raise NotImplementedError(f"keep_aspect_ratio_policy {policy}")
    outside = told.get("extrapolation_value", 0.0)

    def compute(x: Tensor, regions: Numbers, scales: Numbers = None, sizes: Numbers = None) -> Tensor:
        named = [axis % x.ndim for axis in told.get("axes") or range(x.ndim)]
        before = [x.shape[axis] for axis in named]
        if sizes:  # an input that is left out may also be an empty one
            factors, to = _from_sizes(before, sizes, policy)
        else:
            factors = [np.float32(scale) for scale in scales]
            to = [int(np.float32(size) * scale) for size, scale in zip(before, factors, strict=True)]
        shares = regions if regions and sampling.centres == "tf_crop_and_resize" else [0.0] * len(to) + [1.0] * len(to)
        edges = zip(shares[: len(to)], shares[len(to) :], strict=True)
        axes = [Axis(*numbers) for numbers in zip(before, to, map(float, factors), edges, strict=True)]
        return _resized(x, dict(zip(named, axes, strict=True)), sampling, outside)

    return with_numbers(node, graph, compute)


def _by_scales(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    """Convert Upsample, and the Resize that follows it."""
    sampling = Sampling(_mode(attributes(node)), "asymmetric", "simple")

    def compute(x: Tensor, scales: Sequence[float]) -> Tensor:
        factors = [np.float32(scale) for scale in scales]
        axes = [
            Axis(size, int(np.float32(size) * scale), float(scale))
            for size, scale in zip(x.shape, factors, strict=True)
        ]
        return _resized(x, dict(enumerate(axes)), sampling, 0.0)

    return attribute_or_input("scales", compute, node=node, graph=graph)


def _sampling(told: Mapping[str, Any]) -> Sampling:
    centres = told.get("coordinate_transformation_mode", "half_pixel")
    rounding = told.get("nearest_mode", "round_prefer_floor")
    if centres not in CENTRES or rounding not in _ROUNDINGS:
        raise NotImplementedError(f"coordinates {centres}, rounding {rounding}")
    if centres == "half_pixel_symmetric" and _mode(told) == "nearest" and not rounding.startswith("round"):
        raise NotImplementedError(f"nearest {rounding} of {centres}, whose ties depend on the processor")
    return Sampling(
        _mode(told),
        centres,
        rounding,
        told.get("cubic_coeff_a", -0.75),
        bool(told.get("exclude_outside", 0)),
        bool(told.get("antialias", 0)),
    )


def _mode(told: Mapping[str, Any]) -> str:
    mode = told.get("mode", "nearest")
    if mode not in ("nearest", "linear", "cubic"):
        raise NotImplementedError(f"mode {mode}")
    return str(mode)


def _from_sizes(before: Sequence[int], sizes: Sequence[int], policy: str) -> tuple[Sequence[np.float32], Sequence[int]]:
    factors = [np.float32(to) / np.float32(size) for to, size in zip(sizes, before, strict=True)]
    if policy == "stretch":
        return factors, sizes
    factor = _POLICIES[policy](factors)
    # C's round: half away from zero
    return [factor] * len(before), [int(np.floor(factor * np.float32(size) + np.float32(0.5))) for size in before]


def _resized(x: Tensor, axes: Mapping[int, Axis], sampling: Sampling, value: float) -> Tensor:
    """Resize ``axes`` one after the other; what lies outside of a cropped region becomes ``value``."""
    if sampling.mode != "nearest" and not x.is_floating_point():
        raise NotImplementedError(f"{sampling.mode} interpolation of {x.dtype}")
    if all(axis.to == axis.size for axis in axes.values()):
        return x  # whatever the factors: the runtime copies, and with antialiasing it does so axis by axis
    outside = []
    for place, axis in axes.items():
        if axis.to == axis.size and axis.is_kept:
            continue
        if sampling.mode == "nearest":
            pixels, is_outside = nearest_pixels(axis, sampling)
            x = x.index_select(place, torch.from_numpy(pixels).to(x.device))
        else:
            matrix, is_outside = weights(axis, sampling)
            if axis.to != axis.size or not sampling.antialias:
                x = (x.movedim(place, -1) @ torch.from_numpy(matrix).to(x).T).movedim(-1, place)
        outside.append((place, is_outside))
    for place, is_outside in outside:
        if is_outside.any():
            shape = [1] * x.ndim
            shape[place] = -1
            x = x.masked_fill(torch.from_numpy(is_outside).to(x.device).reshape(shape), value)
    return x


OPERATORS: Operators = {
    "Resize": (_resize, (10, 11, 13, 18, 19)),
    "Upsample": (_by_scales, (7, 9)),
}
"""Operator -> (its converter, the versions that take it)."""
