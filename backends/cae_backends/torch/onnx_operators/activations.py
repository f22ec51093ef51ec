"""Functions of single values: those that onnx2torch lacks, and those of which it takes some forms only."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult, onnx_mapping_from_node
from torch import Tensor, nn

from cae_backends.torch.onnx_operators.common import Operators, attributes, constant, function, scalar, unary

__all__ = ["OPERATORS"]

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Acosh": torch.acosh,
    "Asinh": torch.asinh,
    "Atanh": torch.atanh,
    "Cosh": torch.cosh,
    "Mish": F.mish,
    "Sinh": torch.sinh,
}


def _plain(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    return function(node, _FUNCTIONS[node.operation_type])


def _gelu(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return unary(node, nn.GELU(approximate=attributes(node).get("approximate", "none")))


def _swish(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    alpha = attributes(node).get("alpha", 1.0)
    return function(node, lambda x: x * torch.sigmoid(alpha * x))


_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # ONNX writes them so


def _selu(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    alpha, gamma = attributes(node).get("alpha", _SELU_ALPHA), attributes(node).get("gamma", _SELU_GAMMA)
    return function(node, lambda x: gamma * F.elu(x, alpha))


def _thresholded_relu(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return unary(node, nn.Threshold(attributes(node).get("alpha", 1.0), 0.0))


def _clip(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    if attributes(node) or len(node.input_values) == 1:  # opset 6
        return unary(node, _clamp(attributes(node).get("min"), attributes(node).get("max")))
    try:
        return unary(node, _clamp(scalar(constant(node, graph, 1)), scalar(constant(node, graph, 2))))
    except NotImplementedError:  # a computed bound is a tensor, with a gradient of its own
        return OperationConverterResult(torch_module=_ComputedClamp(), onnx_mapping=onnx_mapping_from_node(node))


def _clamp(low: float | None, high: float | None) -> nn.Module:
    if low is None and high is None:
        return nn.Identity()
    return nn.ReLU() if (low, high) == (0, None) else _Clamp(low, high)


class _Clamp(nn.Module):
    def __init__(self, low: float | None, high: float | None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


class _ComputedClamp(nn.Module):
    def forward(self, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        return x.clamp(*(None if bound is None else bound.reshape(()) for bound in (low, high)))


def _prelu(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    # The slope is aligned with the last axes, as everywhere in ONNX; torch's own PReLU aligns it with the channels.
    return function(node, lambda x, slope: torch.where(x < 0, x * slope, x))


def _shrink(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    border, bias = told.get("lambd", 0.5), told.get("bias", 0.0)

    def compute(x: Tensor) -> Tensor:
        return torch.where(x < -border, x + bias, torch.where(x > border, x - bias, torch.zeros_like(x)))

    return function(node, compute)


def _is_infinite(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    positive, negative = bool(told.get("detect_positive", 1)), bool(told.get("detect_negative", 1))
    return function(node, lambda x: (x.isposinf() & positive) | (x.isneginf() & negative))


def _power(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x, exponent: x.pow(exponent).to(x.dtype))  # ONNX keeps the base's type


OPERATORS: Operators = {
    **dict.fromkeys(_FUNCTIONS, (_plain, (9, 22))),
    "Clip": (_clip, (6, 11, 12, 13)),
    "Gelu": (_gelu, (20,)),
    "IsInf": (_is_infinite, (10, 20)),
    "Mish": (_plain, (18, 22)),
    "PRelu": (_prelu, (7, 9, 16)),
    "Pow": (_power, (7, 12, 13, 15)),
    "Selu": (_selu, (6, 22)),
    "Shrink": (_shrink, (9,)),
    "Swish": (_swish, (24,)),
    "ThresholdedRelu": (_thresholded_relu, (10, 22)),
}
"""Operator -> (its converter, the versions that take it)."""
