"""What the converters share: a torch module for a node, and its inputs that are numbers rather than images."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value, onnx_mapping_from_node
from torch import Tensor, nn

__all__ = ["Converter", "Numbers", "Operators", "attribute_or_input", "constant", "function", "unary", "with_numbers"]

Converter: TypeAlias = Callable[[OnnxNode, OnnxGraph], OperationConverterResult]

Operators: TypeAlias = dict[str, tuple[Converter, tuple[int, ...]]]
"""Operator -> (its converter, the versions that take it)."""

Numbers: TypeAlias = Any
"""A number or a list of numbers, as `Tensor.tolist` gives them; None where the input is left out."""


class _WithNumbers(nn.Module):
    """Calls ``compute(x, *numbers)``; numbers that are computed in the graph are read at each call."""

    def __init__(self, compute: Callable[..., Any], known: Sequence[Numbers], computed: Sequence[int]) -> None:
        super().__init__()
        self.compute, self.known, self.computed = compute, list(known), list(computed)

    def forward(self, x: Tensor, *computed: Tensor) -> Any:  # noqa: ANN401 - a tensor, or as many as the node has
        numbers = list(self.known)
        for position, value in zip(self.computed, computed, strict=True):
            numbers[position] = value.tolist()
        return self.compute(x, *numbers)


def with_numbers(node: OnnxNode, graph: OnnxGraph, compute: Callable[..., Any]) -> OperationConverterResult:
    """Convert a node whose first input is a tensor and whose others say what to do with it: a shape, axes, pads."""
    known, computed = [], []
    for position, name in enumerate(node.input_values[1:]):
        try:
            known.append(constant(node, graph, position + 1))
        except NotImplementedError:
            known.append(None)
            computed.append(position)
            _check_whole(name, graph)
    names = (node.input_values[0], *(node.input_values[position + 1] for position in computed))
    return OperationConverterResult(
        torch_module=_WithNumbers(compute, known, computed),
        onnx_mapping=OnnxMapping(inputs=names, outputs=node.output_values),
    )


def _check_whole(name: str, graph: OnnxGraph) -> None:
    """Refuse computed fractions: an image's gradient could flow through them."""
    info = graph.value_info.get(name)
    if info is None or info.type.tensor_type.elem_type not in _WHOLE:
        raise NotImplementedError(f"its input {name!r} is computed in the graph")


_WHOLE = (6, 7)
"""int32 and int64 as ONNX numbers its element types."""


def attribute_or_input(
    name: str, compute: Callable[..., Any], *, node: OnnxNode, graph: OnnxGraph
) -> OperationConverterResult:
    """Convert ``compute(x, numbers)``, of which the numbers are an attribute in old opsets and an input in new ones."""
    if name in node.attributes:
        numbers = node.attributes[name]
        return unary(node, _WithNumbers(lambda x: compute(x, numbers), [], []))
    return with_numbers(node, graph, lambda x, numbers=None, *more: compute(x, numbers, *more))


class _Function(nn.Module):
    def __init__(self, compute: Callable[..., Tensor]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.compute(*tensors)


def function(node: OnnxNode, compute: Callable[..., Tensor]) -> OperationConverterResult:
    """Convert a node that is a function of all its inputs."""
    return OperationConverterResult(torch_module=_Function(compute), onnx_mapping=onnx_mapping_from_node(node))


def unary(node: OnnxNode, module: nn.Module) -> OperationConverterResult:
    """Return ``module`` as the converted node, which takes its first input; the others are in the module."""
    return OperationConverterResult(
        torch_module=module, onnx_mapping=OnnxMapping(inputs=(node.input_values[0],), outputs=node.output_values)
    )


def constant(node: OnnxNode, graph: OnnxGraph, position: int) -> Numbers:
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
