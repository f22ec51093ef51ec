"""Operators that take parts of a tensor, or sum along it.

They replace onnx2torch's: it indexes by lists, which torch has deprecated; it has no negative indices, batch dimensions
and sums everywhere; its CumSum runs backwards unless it is told not to, and its NonZero is transposed.
"""

from collections.abc import Sequence

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
    function,
    scalar,
    with_numbers,
)

__all__ = ["OPERATORS"]


def _slice(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    if "starts" in attributes(node):
        starts, ends, axes = attributes(node)["starts"], attributes(node)["ends"], attributes(node).get("axes")
        return function(node, lambda x: _cut(x, starts, ends, axes))
    return with_numbers(node, graph, _cut)


def _cut(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> Tensor:
    named = range(len(starts)) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, named, steps or [1] * len(starts), strict=True):
        places = range(*slice(start, end, step).indices(x.shape[axis]))  # counts and stops at the borders as ONNX does
        if step > 0:
            x = x.narrow(axis, places.start, max(0, places.stop - places.start))
            x = x[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)] if step > 1 else x
        else:
            x = x.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=x.device))
    return x


def _gather_elements(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    axis = attributes(node).get("axis", 0)

    def compute(x: Tensor, indices: Tensor) -> Tensor:
        whole = indices.long()  # torch has no negative indices here
        return x.gather(axis, torch.where(whole < 0, whole + x.shape[axis], whole))

    return function(node, compute)


def _gather_nd(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    batch_dims = attributes(node).get("batch_dims", 0)

    def compute(x: Tensor, indices: Tensor) -> Tensor:
        free = [1] * (indices.ndim - 1 - batch_dims)
        own = [
            torch.arange(size, device=indices.device).reshape([-1] + [1] * (batch_dims - 1 - axis) + free)
            for axis, size in enumerate(x.shape[:batch_dims])
        ]
        return x[(*own, *indices.unbind(-1))]

    return function(node, compute)


def _scatter_nd(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    reduction = attributes(node).get("reduction", "none")
    if reduction not in ("none", "add"):
        raise NotImplementedError(f"reduction {reduction}")

    def compute(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        return x.index_put(indices.unbind(-1), updates, accumulate=reduction == "add")

    return function(node, compute)


def _cumulative_sum(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    exclusive, backwards = attributes(node).get("exclusive", 0), attributes(node).get("reverse", 0)

    def compute(x: Tensor, axis: Numbers) -> Tensor:
        along = scalar(axis)
        x = x.flip(along) if backwards else x
        total = x.cumsum(along)
        total = total - x if exclusive else total
        return total.flip(along) if backwards else total

    return with_numbers(node, graph, compute)


def _non_zero(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x: x.nonzero().T)


def _scatter_elements(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    axis, reduction = told.get("axis", 0), told.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise NotImplementedError(f"reduction {reduction}")

    def compute(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        whole = indices.long()
        whole = torch.where(whole < 0, whole + x.shape[axis], whole)
        return x.scatter(axis, whole, updates) if reduction == "none" else x.scatter_add(axis, whole, updates)

    return function(node, compute)


def _largest(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = attributes(node)
    axis, descending = told.get("axis", -1), bool(told.get("largest", 1))

    def compute(x: Tensor, k: Numbers) -> tuple[Tensor, Tensor] | Tensor:
        # torch's own topk promises no order among equal values; ONNX takes the first
        values, places = x.sort(dim=axis, descending=descending, stable=True)
        count = scalar(k)
        return values.narrow(axis, 0, count), places.narrow(axis, 0, count)

    return attribute_or_input("k", compute, node=node, graph=graph)


def _one_hot(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    axis = attributes(node).get("axis", -1)

    def compute(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        classes = torch.arange(int(depth.reshape(()).item()), device=indices.device)
        whole = indices.long()
        whole = torch.where(whole < 0, whole + len(classes), whole)
        place = axis % (indices.ndim + 1)
        shape = [1] * (indices.ndim + 1)
        shape[place] = -1
        return torch.where(whole.unsqueeze(place) == classes.reshape(shape), values[1], values[0])

    return function(node, compute)


OPERATORS: Operators = {
    "CumSum": (_cumulative_sum, (11, 14)),
    "GatherElements": (_gather_elements, (11, 13)),
    "GatherND": (_gather_nd, (11, 12, 13)),
    "NonZero": (_non_zero, (9, 13)),
    "OneHot": (_one_hot, (9, 11)),
    "Scatter": (_scatter_elements, (9,)),
    "ScatterElements": (_scatter_elements, (11, 13, 16, 18)),
    "ScatterND": (_scatter_nd, (11, 13, 16, 18)),
    "Slice": (_slice, (1, 10, 11, 13)),
    "TopK": (_largest, (1, 10, 11, 24)),
}
"""Operator -> (its converter, the versions that take it)."""
