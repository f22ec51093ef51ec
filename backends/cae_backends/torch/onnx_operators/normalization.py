"""Normalisations that onnx2torch lacks."""

import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, function

__all__ = ["OPERATORS"]


def _group_norm(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    groups, epsilon = node.attributes["num_groups"], node.attributes.get("epsilon", 1e-5)

    def compute(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        # one scale a group at opset 18, one a channel from 21 on
        each = x.shape[1] // len(scale)
        return F.group_norm(x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon)

    return function(node, compute)


OPERATORS: Operators = {"GroupNormalization": (_group_norm, (18, 21))}
"""Operator -> (its converter, the versions that take it)."""
