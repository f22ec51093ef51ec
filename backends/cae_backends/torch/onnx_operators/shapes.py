"""Operators that rearrange a tensor without looking at its values.

onnx2torch has most of the older ones; they are replaced because it is wrong for negative axes (Squeeze, Unsqueeze),
forgets the value in old opsets (Pad), refuses a flag that says nothing (Reshape), or takes fewer forms.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import (
    Operators,
    attribute_or_input,
    constant,
    function,
    with_numbers,
)

__all__ = ["OPERATORS"]


def _reshape(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    zero_is_zero = bool(node.attributes.get("allowzero", 0))

    def compute(x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape([x.shape[i] if size == 0 and not zero_is_zero else size for i, size in enumerate(shape)])

    return with_numbers(node, graph, compute)


def _flatten(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    axis = node.attributes.get("axis", 1)

    def compute(x: Tensor) -> Tensor:
        border = axis % x.ndim if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:border]), math.prod(x.shape[border:]))

    return function(node, compute)


def _squeeze(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    def compute(x: Tensor, axes: Sequence[int] | None) -> Tensor:
        return x.squeeze() if axes is None else x.squeeze(tuple(axes))

    return attribute_or_input("axes", compute, node=node, graph=graph)


def _unsqueeze(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    def compute(x: Tensor, axes: Sequence[int] | int) -> Tensor:
        listed = [axes] if isinstance(axes, int) else axes
        rank = x.ndim + len(listed)  # negative axes count from the end of the result
        for axis in sorted(axis % rank for axis in listed):
            x = x.unsqueeze(axis)
        return x

    return attribute_or_input("axes", compute, node=node, graph=graph)


def _split(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    axis, parts = node.attributes.get("axis", 0), len(node.output_values)

    def compute(x: Tensor, sizes: Sequence[int] | None) -> Tensor | tuple[Tensor, ...]:
        if parts == 1:
            return x
        if sizes is None:  # equal parts, the last one smaller where need be
            return torch.split(x, math.ceil(x.shape[axis] / parts), axis)
        return torch.split(x, list(sizes), axis)

    return attribute_or_input("split", compute, node=node, graph=graph)


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _pad(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    mode, filling = node.attributes.get("mode", "constant"), node.attributes.get("value", 0.0)
    if mode not in _PAD_MODES:
        raise NotImplementedError(f"mode {mode}")
    constant(node, graph, 2)  # a value that is computed could carry a gradient

    def compute(
        x: Tensor, pads: Sequence[int], value: float | None = None, axes: Sequence[int] | None = None
    ) -> Tensor:
        named = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
        amounts = dict(zip(named, zip(pads[: len(named)], pads[len(named) :], strict=True), strict=True))
        # torch counts from the last axis, and takes at most the spatial ones unless it fills with a constant
        last_first = [amount for axis in reversed(range(x.ndim)) for amount in amounts.get(axis, (0, 0))]
        if mode == "constant":
            return F.pad(x, last_first, value=filling if value is None else value)
        if any(last_first[-4:]):
            raise ValueError(f"padding of batch or channels by {mode} is not supported")
        return F.pad(x, last_first[:-4], mode=_PAD_MODES[mode])

    return attribute_or_input("pads", compute, node=node, graph=graph)


def _depth_to_space(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    size, depth_first = node.attributes["blocksize"], node.attributes.get("mode", "DCR") == "DCR"

    def compute(x: Tensor) -> Tensor:
        if not depth_first:
            return F.pixel_shuffle(x, size)
        n, c, h, w = x.shape
        blocks = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(n, c // size**2, h * size, w * size)

    return function(node, compute)


def _space_to_depth(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    size = node.attributes["blocksize"]

    def compute(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(n, c * size**2, h // size, w // size)

    return function(node, compute)


def _triangle(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    keep: Callable[[Tensor, int], Tensor] = torch.triu if node.attributes.get("upper", 1) else torch.tril
    return with_numbers(node, graph, lambda x, diagonal=0: keep(x, diagonal))


OPERATORS: Operators = {
    "DepthToSpace": (_depth_to_space, (1, 11, 13)),
    "Flatten": (_flatten, (1, 9, 11, 13, 21, 23, 24, 25)),
    "Pad": (_pad, (2, 11, 13, 18, 19, 21, 23, 24, 25)),
    "Reshape": (_reshape, (5, 13, 14, 19, 21, 23, 24, 25)),
    "SpaceToDepth": (_space_to_depth, (1, 13)),
    "Split": (_split, (2, 11, 13, 18)),
    "Squeeze": (_squeeze, (1, 11, 13, 21, 23, 24, 25)),
    "Trilu": (_triangle, (14,)),
    "Unsqueeze": (_unsqueeze, (1, 11, 13, 21, 23, 24, 25)),
}
"""Operator -> (its converter, the versions that take it)."""
