"""Reductions, whose axes are an attribute up to opset 17 (ReduceSum: 12) and an input afterwards.

onnx2torch has the older ones, but reduces the wrong axes where several negative ones are not kept.
"""

from collections.abc import Callable, Sequence

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, attribute_or_input, attributes

__all__ = ["OPERATORS", "REDUCTIONS"]


def _product(x: Tensor, *, dim: Sequence[int], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in dim), reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceL1": lambda x, *, dim, keepdim: x.abs().sum(dim, keepdim=keepdim),
    "ReduceL2": lambda x, *, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim=keepdim),
    "ReduceLogSum": lambda x, *, dim, keepdim: x.sum(dim, keepdim=keepdim).log(),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceSum": torch.sum,
    "ReduceSumSquare": lambda x, *, dim, keepdim: x.square().sum(dim, keepdim=keepdim),
}
"""Operator -> its torch function, which takes ``dim`` and ``keepdim``."""


_OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceLogSum": torch.log,
    "ReduceSumSquare": torch.square,
}
"""What is left of a reduction over no axes: a function of each value; of the others nothing is left."""


def _reduce(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    reduction, told = REDUCTIONS[node.operation_type], attributes(node)
    keepdims, idle_without_axes = bool(told.get("keepdims", 1)), bool(told.get("noop_with_empty_axes", 0))
    of_one = _OF_ONE.get(node.operation_type)

    def compute(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
        if not axes and idle_without_axes:
            return of_one(x) if of_one else x
        return reduction(x, dim=tuple(axes or range(x.ndim)), keepdim=keepdims)

    return attribute_or_input("axes", compute, node=node, graph=graph)


OPERATORS: Operators = {
    **dict.fromkeys(REDUCTIONS, (_reduce, (1, 11, 13, 18))),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), (_reduce, (1, 11, 12, 13, 18, 20))),
    "ReduceSum": (_reduce, (1, 11, 13)),
}
"""Operator -> (its converter, the versions that take it)."""
