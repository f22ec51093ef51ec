"""Operators that make a tensor from a shape, a type or a few numbers."""

import math

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, function

__all__ = ["OPERATORS"]


def _range(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    def compute(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
        start, limit, delta = (number.reshape(()) for number in (start, limit, delta))
        count = max(0, math.ceil((limit.item() - start.item()) / delta.item()))
        return start + torch.arange(count, device=start.device).to(start.dtype) * delta

    return function(node, compute)


def _size(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x: torch.tensor(x.numel(), device=x.device))


def _cast_like(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x, like: x.to(like.dtype))


OPERATORS: Operators = {
    "CastLike": (_cast_like, (15, 19, 21, 23, 24, 25)),
    "Range": (_range, (11,)),
    "Size": (_size, (1, 13, 19, 21, 23, 24, 25)),
}
"""Operator -> (its converter, the versions that take it)."""
