"""Sampling of an image at places that another tensor says."""

import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult

from cae_backends.torch.onnx_operators.common import Operators, attributes, function

__all__ = ["OPERATORS"]

_MODES = {
    "linear": "bilinear",
    "bilinear": "bilinear",
    "nearest": "nearest",
    "cubic": "bicubic",
    "bicubic": "bicubic",
}


def _grid_sample(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    told = attributes(node)
    mode, padding = told.get("mode", "linear"), told.get("padding_mode", "zeros")
    if mode not in _MODES or padding not in ("zeros", "border", "reflection"):
        raise NotImplementedError(f"mode {mode}, padding {padding}")
    aligned = bool(told.get("align_corners", 0))
    return function(node, lambda x, grid: F.grid_sample(x, grid, _MODES[mode], padding, aligned))


OPERATORS: Operators = {"GridSample": (_grid_sample, (16, 20, 22))}
"""Operator -> (its converter, the versions that take it)."""
