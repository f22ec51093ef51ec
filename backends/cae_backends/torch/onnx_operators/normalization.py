"""Normalisations, whose scales ONNX aligns otherwise than torch, and of which torch refuses some sizes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.node_converters import registry
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult, get_shape_from_value_info
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, attributes, constant, function, scalar
from cae_backends.torch.onnx_operators.norms import power_norm

__all__ = ["OPERATORS"]

_TORCH_BATCH_NORM = registry.get_converter("BatchNormalization", 15)
"""onnx2torch's own converter, asked for before ours takes its place."""


def _batch_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told, info = attributes(node), graph.value_info.get(node.input_values[0])
    epsilon = told.get("epsilon", 1e-5)
    if not told.get("spatial", 1):
        raise NotImplementedError("statistics of each pixel (spatial=0)")
    if told.get("training_mode", 0) or len(node.output_values) > 1:
        raise NotImplementedError("training_mode")
    constants = all(name in graph.initializers for name in node.input_values[1:])
    if constants and info is not None and len(get_shape_from_value_info(info)) in (3, 4, 5):
        # a module of torch's own, which can be folded into the convolution before it
        return _TORCH_BATCH_NORM(node, graph)

    def compute(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        shape = [-1] + [1] * (x.ndim - 2)
        factor = scale * (variance + epsilon).rsqrt()
        answer: Tensor = (x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape)
        return answer

    return function(node, compute)


def _normalized(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """Return (x - mean) / sqrt(variance + epsilon), both over ``axes``."""
    centred = x - x.mean(tuple(axes), keepdim=True)
    return centred * (centred.square().mean(tuple(axes), keepdim=True) + epsilon).rsqrt()


def _group_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    told = attributes(node)
    groups, epsilon = told["num_groups"], told.get("epsilon", 1e-5)

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], groups, -1)
        shape = [1, -1] + [1] * (x.ndim - 2)
        # one scale a group at opset 18, one a channel from 21 on
        each = x.shape[1] // len(scale)
        factor, shift = (number.repeat_interleave(each).reshape(shape) for number in (scale, bias))
        return _normalized(grouped, [2], epsilon).reshape(x.shape) * factor + shift

    return function(node, compute)


def _instance_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    epsilon = attributes(node).get("epsilon", 1e-5)

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        shape = [-1] + [1] * (x.ndim - 2)
        return _normalized(x, range(2, x.ndim), epsilon) * scale.reshape(shape) + bias.reshape(shape)

    return function(node, compute)


def _layer_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    first, epsilon = told.get("axis", -1), told.get("epsilon", 1e-5)

    def compute(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        shape = x.shape[first:]
        if scale.shape == shape and (bias is None or bias.shape == shape):
            return F.layer_norm(x, shape, scale, bias, epsilon)
        scaled = _normalized(x, range(first % x.ndim, x.ndim), epsilon) * scale
        return scaled if bias is None else scaled + bias

    return function(node, compute)


def _rms_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    first, epsilon = told.get("axis", -1), told.get("epsilon", 1e-5)

    def compute(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(first % x.ndim, x.ndim))
        answer: Tensor = x * (x.square().mean(axes, keepdim=True) + epsilon).rsqrt() * scale
        return answer

    return function(node, compute)


def _local_response(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    size, alpha, beta = told["size"], told.get("alpha", 1e-4), told.get("beta", 0.75)
    bias = told.get("bias", 1.0)
    before = (size - 1) // 2  # of an even size, the larger part lies behind; torch has it the other way round

    def compute(x: Tensor) -> Tensor:
        channels_last = x.square().movedim(1, -1)
        total = F.pad(channels_last, (before, size - 1 - before)).unfold(-1, size, 1).sum(-1).movedim(-1, 1)
        answer: Tensor = x * (bias + alpha / size * total).pow(-beta)
        return answer

    return function(node, compute)


def _mean_variance(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    axes = attributes(node).get("axes", [0, 2, 3])

    def compute(x: Tensor) -> Tensor:
        centred = x - x.mean(tuple(axes), keepdim=True)
        return centred / (centred.square().mean(tuple(axes), keepdim=True).sqrt() + 1e-9)

    return function(node, compute)


def _lp_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    axis, power = told.get("axis", -1), told.get("p", 2)

    def compute(x: Tensor) -> Tensor:
        size = power_norm(x, power, lambda y: y.sum(axis, keepdim=True))
        return x / torch.where(size == 0, torch.ones_like(size), size)  # a vector of zeros stays one

    return function(node, compute)


def _dropout(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    if scalar(constant(node, graph, 2)):
        raise NotImplementedError("training_mode")
    if len([name for name in node.output_values if name]) > 1:
        raise NotImplementedError("the mask as an output")
    return function(node, lambda x, *_: x.clone())


OPERATORS: Operators = {
    "BatchNormalization": (_batch_norm, (7, 9, 14, 15)),
    "Dropout": (_dropout, (7, 10, 12, 13, 22)),
    "GroupNormalization": (_group_norm, (18, 21)),
    "InstanceNormalization": (_instance_norm, (6, 22)),
    "LRN": (_local_response, (1, 13)),
    "LayerNormalization": (_layer_norm, (17,)),
    "LpNormalization": (_lp_norm, (1, 22)),
    "MeanVarianceNormalization": (_mean_variance, (9, 13)),
    "RMSNormalization": (_rms_norm, (23,)),
}
"""Operator -> (its converter, the versions that take it)."""
