"""Operators that torch's exporter writes today (opset 18 to 25) and that onnx2torch 1.5.15 does not know.

Each goes into onnx2torch's own registry. Two kinds: operators whose newer versions only add element types, which take
the converter of an older version; and operators that changed, or are new, which are written here.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.node_converters.registry import add_converter, get_converter
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value, onnx_mapping_from_node
from torch import Tensor, nn

__all__ = ["ADDED_TYPES_ONLY", "REDUCTIONS", "WRITTEN_HERE", "register_operators"]

Converter: TypeAlias = Callable[[OnnxNode, OnnxGraph], OperationConverterResult]

ADDED_TYPES_ONLY: dict[str, tuple[int, tuple[int, ...]]] = {
    "BatchNormalization": (9, (7,)),
    "Cast": (13, (19, 21, 23, 24, 25)),
    "Constant": (13, (19, 21, 23, 24, 25)),
    "ConstantOfShape": (9, (20, 21, 23, 24, 25)),
    "Conv": (11, (22,)),
    "ConvTranspose": (11, (22,)),
    "Dropout": (13, (22,)),
    "Elu": (6, (22,)),
    "Equal": (13, (19,)),
    "Flatten": (13, (21, 23, 24, 25)),
    "GlobalAveragePool": (1, (22,)),
    "GreaterOrEqual": (12, (16,)),
    "HardSigmoid": (6, (22,)),
    "HardSwish": (14, (22,)),
    "Identity": (16, (19, 21, 23, 24, 25)),
    "InstanceNormalization": (6, (22,)),
    "LessOrEqual": (12, (16,)),
    "MaxPool": (12, (22,)),
    "Selu": (6, (22,)),
    "Shape": (15, (19, 21, 23, 24, 25)),
    "Softplus": (1, (22,)),
    "Squeeze": (21, (23, 24, 25)),
    "Transpose": (13, (21, 23, 24, 25)),
    "Unsqueeze": (13, (21, 23, 24, 25)),
}
"""Operator -> (the version whose converter fits, the versions that take it)."""


@lru_cache(maxsize=1)
def register_operators() -> None:
    """Add the missing operators to onnx2torch's registry; those that it has by now stay."""
    for operator, (known, versions) in ADDED_TYPES_ONLY.items():
        for version in versions:
            _add(operator, version, get_converter(operator, known))
    for operator, (converter, versions) in WRITTEN_HERE.items():
        for version in versions:
            _add(operator, version, converter)


def _add(operator: str, version: int, converter: Converter) -> None:
    try:
        add_converter(operation_type=operator, version=version)(converter)
    except ValueError:  # a newer onnx2torch registers it itself
        return


class _Reduce(nn.Module):
    def __init__(self, reduction: Callable[..., Tensor], axes: Sequence[int] | None, *, keepdims: bool) -> None:
        super().__init__()
        self.reduction, self.axes, self.keepdims = reduction, axes, keepdims

    def forward(self, x: Tensor) -> Tensor:
        axes = range(x.ndim) if self.axes is None else self.axes
        return self.reduction(x, dim=tuple(axes), keepdim=self.keepdims)


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
    "ReduceSumSquare": lambda x, *, dim, keepdim: x.square().sum(dim, keepdim=keepdim),
}
"""The reductions whose axes became an input in opset 18."""


def _reduce(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    axes = _constant(node, graph, 1)
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return _unary(node, nn.Identity())
    keepdims = bool(node.attributes.get("keepdims", 1))
    return _unary(node, _Reduce(REDUCTIONS[node.operation_type], axes or None, keepdims=keepdims))


class _Reshape(nn.Module):
    def __init__(self, shape: Sequence[int], *, allow_zero: bool) -> None:
        super().__init__()
        self.shape, self.allow_zero = shape, allow_zero

    def forward(self, x: Tensor) -> Tensor:
        keep = [size == 0 and not self.allow_zero for size in self.shape]
        return x.reshape([x.shape[i] if keep[i] else size for i, size in enumerate(self.shape)])


def _reshape(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    try:
        shape = _constant(node, graph, 1)
    except NotImplementedError:  # computed in the graph: the older converter reads it at each call
        result: OperationConverterResult = get_converter("Reshape", 14)(node, graph)
        return result
    return _unary(node, _Reshape(shape, allow_zero=bool(node.attributes.get("allowzero", 0))))


class _Split(nn.Module):
    def __init__(self, sizes: Sequence[int] | None, parts: int, axis: int) -> None:
        super().__init__()
        self.sizes, self.parts, self.axis = sizes, parts, axis

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.sizes is None:  # equal parts, the last one smaller where need be
            return torch.split(x, math.ceil(x.shape[self.axis] / self.parts), self.axis)
        return torch.split(x, list(self.sizes), self.axis)


def _split(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    return _unary(node, _Split(_constant(node, graph, 1), len(node.output_values), node.attributes.get("axis", 0)))


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


class _Pad(nn.Module):
    def __init__(self, pads: Sequence[int], axes: Sequence[int] | None, mode: str, value: float) -> None:
        super().__init__()
        self.pads, self.axes, self.mode, self.value = pads, axes, _PAD_MODES[mode], value

    def forward(self, x: Tensor) -> Tensor:
        axes = range(x.ndim) if self.axes is None else [axis % x.ndim for axis in self.axes]
        amounts = zip(self.pads[: len(axes)], self.pads[len(axes) :], strict=True)
        pads: dict[int, tuple[int, int]] = dict(zip(axes, amounts, strict=True))
        # torch counts from the last axis, and takes at most the spatial ones unless it fills with a constant
        last_first = [amount for axis in reversed(range(x.ndim)) for amount in pads.get(axis, (0, 0))]
        if self.mode == "constant":
            return F.pad(x, last_first, value=self.value)
        if any(last_first[-4:]):
            raise ValueError(f"padding of batch or channels by {self.mode} is not supported")
        return F.pad(x, last_first[:-4], mode=self.mode)


def _pad(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    value = _constant(node, graph, 2)
    mode = node.attributes.get("mode", "constant")
    if mode not in _PAD_MODES:
        raise NotImplementedError(f"mode {mode}")
    return _unary(node, _Pad(_constant(node, graph, 1), _constant(node, graph, 3), mode, float(value or 0)))


def _average_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    if any(dilation != 1 for dilation in node.attributes.get("dilations", ())):
        raise NotImplementedError("dilated average pooling")
    if node.attributes.get("ceil_mode", 0) and any(node.attributes.get("pads", ())):
        raise NotImplementedError("average pooling with ceil_mode and pads, which torch counts differently")
    result: OperationConverterResult = get_converter("AveragePool", 11)(node, graph)
    return result


class _Resize(nn.Module):
    def __init__(self, mode: str, *, scales: Sequence[float] | None, sizes: Sequence[int] | None) -> None:
        super().__init__()
        self.mode, self.scales, self.sizes = mode, scales, sizes

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=self.sizes, scale_factor=self.scales, mode=self.mode)


def _resize(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    """Convert the interpolations that torch has exactly; anything else would change the answers."""
    told = node.attributes
    mode, centres = told.get("mode", "nearest"), told.get("coordinate_transformation_mode", "half_pixel")
    rounding = told.get("nearest_mode", "round_prefer_floor")
    half_pixel = centres in ("half_pixel", "pytorch_half_pixel")
    exact = {
        "nearest": centres == "asymmetric" and rounding == "floor",
        "linear": half_pixel,
        "cubic": half_pixel and told.get("cubic_coeff_a", -0.75) == -0.75 and not told.get("exclude_outside", 0),
    }
    extras = [name for name in ("antialias", "axes", "keep_aspect_ratio_policy") if told.get(name, 0)]
    if not exact.get(mode, False) or extras not in ([], ["keep_aspect_ratio_policy"]):
        raise NotImplementedError(f"mode {mode} with {', '.join([centres, *extras])}")
    scales, sizes = _constant(node, graph, 2), _constant(node, graph, 3)
    if told.get("keep_aspect_ratio_policy", "stretch") != "stretch" or (scales and scales[:2] != [1, 1]):
        raise NotImplementedError("resizing of batch or channels, or by aspect ratio")
    torch_mode = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[mode]
    return _unary(node, _Resize(torch_mode, scales=(scales or [])[2:] or None, sizes=(sizes or [])[2:] or None))


def _gelu(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    return OperationConverterResult(
        torch_module=nn.GELU(approximate=node.attributes.get("approximate", "none")),
        onnx_mapping=onnx_mapping_from_node(node),
    )


WRITTEN_HERE: dict[str, tuple[Converter, tuple[int, ...]]] = {
    **dict.fromkeys(REDUCTIONS, (_reduce, (18,))),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), (_reduce, (18, 20))),
    "AveragePool": (_average_pool, (19, 22)),
    "Gelu": (_gelu, (20,)),
    "Pad": (_pad, (18, 19, 21, 23, 24, 25)),
    "Reshape": (_reshape, (19, 21, 23, 24, 25)),
    "Resize": (_resize, (18, 19)),
    "Split": (_split, (18,)),
}
"""Operator -> (its converter, the versions that take it)."""


def _unary(node: OnnxNode, module: nn.Module) -> OperationConverterResult:
    """Return ``module`` as the converted node, which takes its first input; the others are in the module."""
    return OperationConverterResult(
        torch_module=module, onnx_mapping=OnnxMapping(inputs=(node.input_values[0],), outputs=node.output_values)
    )


def _constant(node: OnnxNode, graph: OnnxGraph, position: int) -> Any:  # noqa: ANN401 - a number or a list of them
    """Return the constant input at ``position``; None where it is left out.

    Raises:
        NotImplementedError: it is computed in the graph.
    """
    if position >= len(node.input_values) or not node.input_values[position]:
        return None
    try:
        value = get_const_value(node.input_values[position], graph)
    except KeyError as exc:
        raise NotImplementedError(f"input {position} is computed in the graph") from exc
    return value.tolist() if isinstance(value, Tensor) else value
