"""The softmax at the end of an ONNX graph: gradients taken from before it survive saturated answers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["final_softmax", "take_off"]


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
