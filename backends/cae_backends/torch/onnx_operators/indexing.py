"""Operators that take parts of a tensor, or sum along it.

They replace onnx2torch's: it indexes by lists, which torch has deprecated; it has no negative indices, batch dimensions
and sums everywhere; and its CumSum runs backwards unless it is told not to.
"""

from collections.abc import Sequence

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, function, with_numbers

__all__ = ["OPERATORS"]


def _slice(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    if "starts" in node.attributes:
        starts, ends, axes = node.attributes["starts"], node.attributes["ends"], node.attributes.get("axes")
        return function(node, lambda x: _cut(x, starts, ends, axes))
    return with_numbers(node, graph, _cut)


def _cut(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    parts, flipped = [slice(None)] * x.ndim, []
    named = range(len(starts)) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, named, steps or [1] * len(starts), strict=True):
        if step < 0:  # torch has positive steps only: the same places, counted from the other end
            flipped.append(axis)
            parts[axis] = slice(-start - 1, -end - 1, -step)
        else:
            parts[axis] = slice(start, end, step)
    return (x.flip(flipped) if flipped else x)[tuple(parts)]


def _gather_elements(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    axis = node.attributes.get("axis", 0)

    def compute(x: Tensor, indices: Tensor) -> Tensor:
        whole = indices.long()  # torch has no negative indices here
        return x.gather(axis, torch.where(whole < 0, whole + x.shape[axis], whole))

    return function(node, compute)


def _gather_nd(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    batch_dims = node.attributes.get("batch_dims", 0)

    def compute(x: Tensor, indices: Tensor) -> Tensor:
        free = [1] * (indices.ndim - 1 - batch_dims)
        own = [
            torch.arange(size, device=indices.device).reshape([-1] + [1] * (batch_dims - 1 - axis) + free)
            for axis, size in enumerate(x.shape[:batch_dims])
        ]
        return x[(*own, *indices.unbind(-1))]

    return function(node, compute)


def _scatter_nd(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    reduction = node.attributes.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise NotImplementedError(f"reduction {reduction}")

    def compute(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return x.index_put(indices.unbind(-1), updates, accumulate=reduction == "add")

    return function(node, compute)


def _cumulative_sum(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    exclusive, backwards = node.attributes.get("exclusive", 0), node.attributes.get("reverse", 0)

    def compute(x: Tensor, axis: int | Sequence[int]) -> Tensor:
        along = axis if isinstance(axis, int) else axis[0]
        x = x.flip(along) if backwards else x
        total = x.cumsum(along)
        total = total - x if exclusive else total
        return total.flip(along) if backwards else total

    return with_numbers(node, graph, compute)


OPERATORS: Operators = {
    "CumSum": (_cumulative_sum, (11, 14)),
    "GatherElements": (_gather_elements, (11, 13)),
    "GatherND": (_gather_nd, (11, 12, 13)),
    "ScatterND": (_scatter_nd, (11, 13, 16, 18)),
    "Slice": (_slice, (1, 10, 11, 13)),
}
"""Operator -> (its converter, the versions that take it)."""
