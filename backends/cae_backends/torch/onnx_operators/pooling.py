"""Pooling: over everything and over windows, whatever their padding, dilation and rounding.

onnx2torch has the forms that torch has. Here the windows are counted by `Windows`, and torch pools without padding.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor, nn

from cae_backends.torch.onnx_operators.common import Operators, attributes, function, unary
from cae_backends.torch.onnx_operators.norms import power_norm
from cae_backends.torch.onnx_operators.windows import Windows, counts, padded, sums

__all__ = ["OPERATORS"]

_AVERAGES: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class _AveragePool(nn.Module):
    """Averages over windows: the sum over a window, divided by the number of its taps that count."""

    def __init__(self, windows: Windows, *, count_pads: bool) -> None:
        super().__init__()
        self.windows, self.count_pads = windows, count_pads

    def forward(self, x: Tensor) -> Tensor:
        along = self.windows.along(x.shape[2:])
        if all(window.is_native and window.dilation == 1 for window in along) and len(along) in _AVERAGES:
            pads = [window.before for window in along]
            return _AVERAGES[len(along)](
                x, self.windows.widths, self.windows.strides, pads, count_include_pad=self.count_pads
            )
        if self.count_pads and not self.windows.ceil and any(window.overhang > window.after for window in along):
            raise NotImplementedError("a window that is wider than the image and its padding, which counts")
        number = torch.from_numpy(counts(along, with_padding=self.count_pads)).to(x)
        return sums(x, along) / number.clamp_min(1)  # a window without any pixel answers nothing


def _average_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    told = attributes(node)
    return unary(node, _AveragePool(Windows.of(told), count_pads=bool(told.get("count_include_pad", 0))))


class _MaxPool(nn.Module):
    """The largest of each window; padding is less than every number."""

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self.windows, self.pool = windows, _MAXIMA[len(windows.widths)]

    def forward(self, x: Tensor) -> Tensor:
        along, taps = self.windows.along(x.shape[2:]), (self.windows.widths, self.windows.strides)
        if all(window.is_native for window in along):
            return self.pool(x, *taps, [window.before for window in along], self.windows.dilations)
        least = torch.finfo(x.dtype).min if x.is_floating_point() else torch.iinfo(x.dtype).min
        return self.pool(padded(x, along, least), *taps, 0, self.windows.dilations)


def _max_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    windows = Windows.of(attributes(node))  # storage_order says how the places are numbered, which nobody asks for
    if len(windows.widths) not in _MAXIMA:
        raise NotImplementedError(f"{len(windows.widths)} spatial axes")
    return unary(node, _MaxPool(windows))


def _lp_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    told = attributes(node)
    windows, power = Windows.of(told), told.get("p", 2)
    return function(node, lambda x: power_norm(x, power, lambda y: sums(y, windows.along(x.shape[2:]))))


def _global_lp_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    power = attributes(node).get("p", 2)
    return function(node, lambda x: power_norm(x, power, lambda y: y.sum(_spatial(y), keepdim=True)))


def _global_average_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x: x.mean(_spatial(x), keepdim=True))


def _global_max_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x: x.amax(_spatial(x), keepdim=True))


def _spatial(x: Tensor) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


OPERATORS: Operators = {
    "AveragePool": (_average_pool, (7, 10, 11, 19, 22)),
    "GlobalAveragePool": (_global_average_pool, (1, 22)),
    "GlobalLpPool": (_global_lp_pool, (2,)),
    "GlobalMaxPool": (_global_max_pool, (1, 22)),
    "LpPool": (_lp_pool, (2, 11, 18, 22)),
    "MaxPool": (_max_pool, (1, 8, 10, 11, 12, 22)),
}
"""Operator -> (its converter, the versions that take it)."""
