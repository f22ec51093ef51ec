"""Operators that rearrange a tensor without looking at its values.

onnx2torch has most of the older ones; they are replaced because it is wrong for negative axes (Squeeze, Unsqueeze),
forgets the value in old opsets (Pad), refuses a flag that says nothing (Reshape), or takes fewer forms.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from numpy.typing import NDArray
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import (
    Numbers,
    Operators,
    attribute_or_input,
    attributes,
    constant,
    function,
    scalar,
    with_numbers,
)

__all__ = ["OPERATORS"]


def _reshape(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    zero_is_zero = bool(attributes(node).get("allowzero", 0))

    def compute(x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape([x.shape[i] if size == 0 and not zero_is_zero else size for i, size in enumerate(shape)])

    return with_numbers(node, graph, compute)


def _flatten(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    axis = attributes(node).get("axis", 1)

    def compute(x: Tensor) -> Tensor:
        border = axis % x.ndim if axis < 0 else axis
        return x.reshape(math.prod(x.shape[:border]), math.prod(x.shape[border:]))

    return function(node, compute)


def _squeeze(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    def compute(x: Tensor, axes: Sequence[int] | int | None = None) -> Tensor:
        if axes == []:  # all axes or none, as the runtime optimises the graph or does not
            raise NotImplementedError("Squeeze with an empty list of axes, which ONNX Runtime reads in two ways")
        listed = (axes,) if isinstance(axes, int) else axes
        return x.squeeze() if listed is None else x.squeeze(tuple(listed))

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
    axis, parts = attributes(node).get("axis", 0), len(node.output_values)

    def compute(x: Tensor, sizes: Sequence[int] | None = None) -> Tensor | tuple[Tensor, ...]:
        if parts == 1:
            return x
        if sizes is None:  # equal parts, the last one smaller where need be
            return torch.split(x, math.ceil(x.shape[axis] / parts), axis)
        return torch.split(x, list(sizes), axis)

    return attribute_or_input("split", compute, node=node, graph=graph)


_PAD_MODES = ("constant", "reflect", "edge", "wrap")


def _pad(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = attributes(node)
    mode, filling = told.get("mode", "constant"), told.get("value", 0.0)
    if mode not in _PAD_MODES:
        raise NotImplementedError(f"mode {mode}")
    constant(node, graph, 2)  # a value that is computed could carry a gradient

    def compute(
        x: Tensor, pads: Sequence[int], value: Numbers = None, axes: Sequence[int] | int | None = None
    ) -> Tensor:
        listed = [axes] if isinstance(axes, int) else axes
        named = range(x.ndim) if listed is None else [axis % x.ndim for axis in listed]
        amounts = dict(zip(named, zip(pads[: len(named)], pads[len(named) :], strict=True), strict=True))
        if mode != "constant":
            return _continued(x, amounts, mode)
        # torch counts from the last axis
        last_first = [amount for axis in reversed(range(x.ndim)) for amount in amounts.get(axis, (0, 0))]
        number = scalar(value)
        return F.pad(x, last_first, value=filling if number is None else number)

    return attribute_or_input("pads", compute, node=node, graph=graph)


def _continued(x: Tensor, amounts: Mapping[int, tuple[int, int]], mode: str) -> Tensor:
    """Pad with the image's own pixels, after cutting where an amount is negative."""
    for axis, (before, after) in amounts.items():
        kept = range(max(0, -before), x.shape[axis] - max(0, -after))
        if before <= 0 and after <= 0 and len(kept) == x.shape[axis]:
            continue
        places = np.arange(-max(0, before), len(kept) + max(0, after))
        if mode == "reflect" and max(before, after) >= len(kept):
            raise ValueError(f"reflecting {max(before, after)} pixels of {len(kept)}")
        chosen = np.asarray(kept)[_inside(places, len(kept), mode)]
        x = x.index_select(axis, torch.from_numpy(chosen).to(x.device))
    return x


def _inside(places: NDArray[np.int64], size: int, mode: str) -> NDArray[np.int64]:
    """Return the pixel of 0 ... size - 1 that stands at each place."""
    if mode == "wrap":
        return places % size
    if mode == "reflect":
        places = np.abs(places)
        return np.where(places < size, places, 2 * (size - 1) - places)
    return np.clip(places, 0, size - 1)


def _depth_to_space(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    size, depth_first = attributes(node)["blocksize"], attributes(node).get("mode", "DCR") == "DCR"

    def compute(x: Tensor) -> Tensor:
        if not depth_first:
            return F.pixel_shuffle(x, size)
        n, c, h, w = x.shape
        blocks = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return blocks.reshape(n, c // size**2, h * size, w * size)

    return function(node, compute)


def _space_to_depth(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    size = attributes(node)["blocksize"]

    def compute(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
        return blocks.reshape(n, c * size**2, h // size, w // size)

    return function(node, compute)


def _triangle(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    keep: Callable[[Tensor, int], Tensor] = torch.triu if attributes(node).get("upper", 1) else torch.tril
    return with_numbers(node, graph, lambda x, diagonal=None: keep(x, scalar(diagonal) or 0))


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
