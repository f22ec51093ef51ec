"""Pooling: over everything, and by averages with padding that is not the same on both sides."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor, nn

from cae_backends.torch.onnx_operators.common import Operators, function, unary

__all__ = ["OPERATORS"]

_AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class _AveragePool(nn.Module):
    """Averages over windows; ``pads`` are the beginnings of all axes, then their ends."""

    def __init__(
        self, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int], *, ceil: bool, count_pads: bool
    ) -> None:
        super().__init__()
        self.kernel, self.strides = tuple(kernel), tuple(strides)
        self.begin, self.end = tuple(pads[: len(kernel)]), tuple(pads[len(kernel) :])
        self.ceil, self.count_pads, self.pool = ceil, count_pads, _AVERAGES[len(kernel)]

    @property
    def is_native(self) -> bool:
        """Whether torch pads by itself."""
        small = all(2 * pad <= size for pad, size in zip(self.begin, self.kernel, strict=True))
        return self.begin == self.end and small

    def forward(self, x: Tensor) -> Tensor:
        if self.is_native:
            return self.pool(x, self.kernel, self.strides, self.begin, self.ceil, self.count_pads)
        mean = self.pool(self._padded(x), self.kernel, self.strides)
        if self.count_pads:
            return mean
        return mean / self.pool(self._padded(torch.ones_like(x[:1, :1])), self.kernel, self.strides)

    def _padded(self, x: Tensor) -> Tensor:
        sides = zip(reversed(self.begin), reversed(self.end), strict=True)
        return F.pad(x, [pad for both in sides for pad in both])


def _average_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    told = node.attributes
    kernel = told["kernel_shape"]
    pads, ceil = told.get("pads", [0, 0] * len(kernel)), bool(told.get("ceil_mode", 0))
    if any(dilation != 1 for dilation in told.get("dilations", ())):
        raise NotImplementedError("dilated average pooling")
    if told.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NotImplementedError("automatic padding of an unknown size")
    strides = told.get("strides", [1] * len(kernel))
    count_pads = bool(told.get("count_include_pad", 0))
    module = _AveragePool(kernel, strides, pads, ceil=ceil, count_pads=count_pads)
    if ceil and not module.is_native:
        raise NotImplementedError("average pooling with ceil_mode and pads that torch does not have")
    return unary(node, module)


def _global_max_pool(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001
    return function(node, lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True))


OPERATORS: Operators = {
    "AveragePool": (_average_pool, (7, 10, 11, 19, 22)),
    "GlobalMaxPool": (_global_max_pool, (1, 22)),
}
"""Operator -> (its converter, the versions that take it)."""
