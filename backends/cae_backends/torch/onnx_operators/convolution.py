"""Convolutions whose weights are computed, or whose padding depends on the image; onnx2torch has all others."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.node_converters import registry
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, attributes, function
from cae_backends.torch.onnx_operators.windows import Windows, padded

__all__ = ["OPERATORS"]

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
_TORCH_CONVOLUTION = registry.get_converter("Conv", 11)
"""onnx2torch's own converter of both, asked for before ours takes its place."""


def _convolution(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = attributes(node)
    if _has_constants(node, graph) and told.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
        return _TORCH_CONVOLUTION(node, graph)  # a module of torch's own, into which a batch norm can be folded

    def compute(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        windows = Windows.of({**told, "kernel_shape": weight.shape[2:]}, of_convolution=True)
        _check_axes(x)
        convolve, x = _CONVOLUTIONS[x.ndim - 2], padded(x, windows.along(x.shape[2:]), 0.0)
        return convolve(x, weight, bias, windows.strides, 0, windows.dilations, told.get("group", 1))

    return function(node, compute)


def _transposed(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = attributes(node)
    pads, automatic = told.get("pads", []), told.get("auto_pad", "NOTSET")
    half = len(pads) // 2
    known = automatic in ("NOTSET", "VALID") and not told.get("output_shape") and pads[:half] == pads[half:]
    if known and _has_constants(node, graph) and not told.get("output_padding"):
        return _TORCH_CONVOLUTION(node, graph)

    def compute(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        _check_axes(x)
        axes = x.ndim - 2
        strides, dilations = told.get("strides") or [1] * axes, told.get("dilations") or [1] * axes
        extra = told.get("output_padding") or [0] * axes
        whole = _TRANSPOSED[axes](x, weight, None, strides, 0, 0, told.get("group", 1), dilations)
        sizes = [size + more for size, more in zip(whole.shape[2:], extra, strict=True)]
        wanted = told.get("output_shape", [])[-axes:]
        if not wanted and automatic.startswith("SAME"):
            # the runtime never adds to what is computed here
            least = zip(sizes, x.shape[2:], strides, strict=True)
            wanted = [min(size, before * stride) for size, before, stride in least]
        given = pads if pads and automatic == "NOTSET" else [0, 0] * axes
        cuts = _cuts(sizes, wanted, automatic) if wanted else given
        # beyond the last window lies nothing but the bias
        sides = [side for axis in reversed(range(axes)) for side in (-cuts[axis], extra[axis] - cuts[axes + axis])]
        answer = F.pad(whole, sides)
        return answer if bias is None else answer + bias.reshape([-1] + [1] * axes)

    return function(node, compute)


def _cuts(sizes: Sequence[int], wanted: Sequence[int], automatic: str) -> list[int]:
    """Return what is cut for the ``wanted`` sizes: at the beginnings of all axes, then at their ends.

    Where more is wanted than is computed, the end is negative.
    """
    totals = [size - to for size, to in zip(sizes, wanted, strict=True)]
    smaller = [max(0, total) // 2 for total in totals]
    larger = [max(0, total) - less for total, less in zip(totals, smaller, strict=True)]
    begins = smaller if automatic == "SAME_UPPER" else larger
    return [*begins, *(total - begin for total, begin in zip(totals, begins, strict=True))]


def _check_axes(x: Tensor) -> None:
    if x.ndim - 2 not in _CONVOLUTIONS:
        raise NotImplementedError(f"a convolution of {x.ndim - 2} axes; torch has those of one to three")


def _has_constants(node: OnnxNode, graph: OnnxGraph) -> bool:
    return all(name in graph.initializers for name in node.input_values[1:] if name)


OPERATORS: Operators = {
    "Conv": (_convolution, (1, 11, 22)),
    "ConvTranspose": (_transposed, (1, 11, 22)),
}
"""Operator -> (its converter, the versions that take it)."""
