"""The softmax at the end of an ONNX graph: gradients taken from before it survive saturated answers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["ends_in_softmax", "final_softmax", "take_off"]

_KEEP_PROBABILITIES = frozenset(
    {"Cast", "Clip", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
_WITH_CONSTANT = frozenset({"Add", "Div", "Max", "Min", "Mul", "Sub"})
# What exporters and people put behind a softmax: it moves or scales probabilities and does not make them logits.


def ends_in_softmax(proto: "ModelProto") -> bool:
    """Return whether the only output is a softmax, seen through what does not turn probabilities into logits."""
    if len(proto.graph.output) != 1:
        return False
    makers = {name: node for node in proto.graph.node for name in node.output}
    constants = {tensor.name for tensor in proto.graph.initializer}
    constants |= {name for node in proto.graph.node if node.op_type == "Constant" for name in node.output}
    node = makers.get(proto.graph.output[0].name)
    while node is not None and node.op_type != "Softmax":
        sources = [name for name in node.input if name not in constants]
        passes = node.op_type in _KEEP_PROBABILITIES or (node.op_type in _WITH_CONSTANT and len(sources) == 1)
        node = makers.get(sources[0]) if passes and sources else None
    return node is not None


def final_softmax(proto: "ModelProto") -> "NodeProto | None":
    """Return the softmax over classes that makes the graph's only output, through Identity or not; else None."""
    if len(proto.graph.output) != 1:
        return None
    makers = {name: node for node in proto.graph.node for name in node.output}
    node = makers.get(proto.graph.output[0].name)
    while node is not None and node.op_type == "Identity":
        node = makers.get(node.input[0])
    if node is None or node.op_type != "Softmax" or node.domain not in ("", "ai.onnx"):
        return None
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
    return node if axis in (-1, 1) else None  # the scores are (n, c)


def take_off(proto: "ModelProto", softmax: "NodeProto") -> None:
    """Make the softmax's input the output of the graph."""
    old, new = proto.graph.output[0].name, softmax.input[0]
    proto.graph.output[0].name = new
    makers = {name: node for node in proto.graph.node for name in node.output}
    node = makers[old]
    while True:  # the softmax, and what only passed it on
        proto.graph.node.remove(node)
        if node == softmax:
            return
        node = makers[node.input[0]]
