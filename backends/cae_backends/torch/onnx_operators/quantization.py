"""Numbers as integers and back. The values are exact; a rounded number has no gradient, and none is invented."""

import torch
from onnx2torch.node_converters.cast import TENSOR_TYPE_TO_TORCH_TYPE
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, attributes, function

__all__ = ["OPERATORS"]

_WHOLE = (torch.int8, torch.uint8, torch.int16, torch.int32)


def _quantize(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    told = attributes(node)
    axis, block = told.get("axis", 1), told.get("block_size", 0)
    number = told.get("output_dtype", 0)
    if number and TENSOR_TYPE_TO_TORCH_TYPE.get(number) not in _WHOLE:
        raise NotImplementedError(f"output_dtype {number}")
    named = TENSOR_TYPE_TO_TORCH_TYPE[number] if number else torch.uint8

    def compute(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        dtype = named if zero is None else zero.dtype
        if dtype not in _WHOLE:
            raise NotImplementedError(f"quantisation to {dtype}")
        rounded = (x / _aligned(scale, x, axis, block)).round()
        rounded = rounded if zero is None else rounded + _aligned(zero, x, axis, block).to(x.dtype)
        limits = torch.iinfo(dtype)
        return rounded.clamp(limits.min, limits.max).to(dtype)

    return function(node, compute)


def _dequantize(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    axis, block = told.get("axis", 1), told.get("block_size", 0)
    if told.get("output_dtype", 0):
        raise NotImplementedError(f"output_dtype {told['output_dtype']}")

    def compute(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        number = x.to(scale.dtype)
        number = number if zero is None else number - _aligned(zero, x, axis, block).to(scale.dtype)
        return number * _aligned(scale, x, axis, block)

    return function(node, compute)


def _aligned(scale: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """Return the scales of a tensor, of each part along ``axis``, or of blocks along it, to be broadcast over x."""
    if block:
        return scale.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if scale.numel() == 1:
        return scale.reshape(())
    shape = [1] * x.ndim
    shape[axis] = -1
    return scale.reshape(shape)


OPERATORS: Operators = {
    "DequantizeLinear": (_dequantize, (10, 13, 19, 21, 23, 24, 25)),
    "QuantizeLinear": (_quantize, (10, 13, 19, 21, 23, 24, 25)),
}
"""Operator -> (its converter, the versions that take it)."""
