"""What the converters share: a torch module for a node, and its inputs that are numbers rather than images."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import onnx
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value
from torch import Tensor, nn

__all__ = [
    "Converter",
    "Numbers",
    "Operators",
    "attribute_or_input",
    "attributes",
    "constant",
    "function",
    "scalar",
    "unary",
    "with_numbers",
]

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
            if value.requires_grad:
                raise NotImplementedError(
                    "numbers that are computed from the image carry a gradient, which is lost here"
                )
            numbers[position] = value.tolist()
        return self.compute(x, *numbers)


def with_numbers(node: OnnxNode, graph: OnnxGraph, compute: Callable[..., Any]) -> OperationConverterResult:
    """Convert a node whose first input is a tensor and whose others say what to do with it: a shape, axes, pads."""
    known, computed = [], []
    for position in range(len(node.input_values) - 1):
        try:
            known.append(constant(node, graph, position + 1))
        except NotImplementedError:
            known.append(None)
            computed.append(position)
    names = (node.input_values[0], *(node.input_values[position + 1] for position in computed))
    return OperationConverterResult(
        torch_module=_WithNumbers(compute, known, computed),
        onnx_mapping=OnnxMapping(inputs=names, outputs=node.output_values),
    )


def attribute_or_input(
    name: str, compute: Callable[..., Any], *, node: OnnxNode, graph: OnnxGraph
) -> OperationConverterResult:
    """Convert ``compute(x, numbers)``, of which the numbers are an attribute in old opsets and an input in new ones."""
    told = attributes(node)
    if name in told:
        numbers = told[name]
        return unary(node, _WithNumbers(lambda x: compute(x, numbers), [], []))
    return with_numbers(node, graph, lambda x, numbers=None, *more: compute(x, numbers, *more))


class _Function(nn.Module):
    """Calls ``compute`` with a tensor for each input that is given, and None for each that is left out."""

    def __init__(self, compute: Callable[..., Any], given: Sequence[bool]) -> None:
        super().__init__()
        self.compute, self.given = compute, tuple(given)

    def forward(self, *tensors: Tensor) -> Any:  # noqa: ANN401 - a tensor, or as many as the node has
        waiting = iter(tensors)
        return self.compute(*(next(waiting) if given else None for given in self.given))


def function(node: OnnxNode, compute: Callable[..., Any]) -> OperationConverterResult:
    """Convert a node that is a function of all its inputs; one that is left out is None."""
    given = [bool(name) for name in node.input_values]
    names = tuple(name for name in node.input_values if name)  # onnx2torch loses those after one that is left out
    return OperationConverterResult(
        torch_module=_Function(compute, given), onnx_mapping=OnnxMapping(inputs=names, outputs=node.output_values)
    )


def unary(node: OnnxNode, module: nn.Module) -> OperationConverterResult:
    """Return ``module`` as the converted node, which takes its first input; the others are in the module."""
    return OperationConverterResult(
        torch_module=module, onnx_mapping=OnnxMapping(inputs=(node.input_values[0],), outputs=node.output_values)
    )


def attributes(node: OnnxNode) -> dict[str, Any]:
    """Return the node's attributes; an empty list, which onnx2torch leaves as it is in the file, is a list."""
    return {name: [] if isinstance(value, onnx.AttributeProto) else value for name, value in node.attributes.items()}


def scalar(value: Numbers) -> Numbers:
    """Return the number of an input that is one: some files write it as a list of one element.

    Raises:
        ValueError: it is a list of another length.

    Example:
        >>> scalar([3]), scalar(3), scalar(None)
        (3, 3, None)
    """
    while isinstance(value, list):
        if len(value) != 1:
            raise ValueError(f"an input that must be one number has {len(value)}")
        value = value[0]
    return value


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
