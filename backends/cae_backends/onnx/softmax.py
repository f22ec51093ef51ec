"""The softmax at the end of an ONNX graph: gradients taken from before it survive saturated answers."""

from typing import TYPE_CHECKING

from cae_core.signature import Ending

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

__all__ = ["ending_of", "ends_in_softmax", "final_softmax", "take_off"]

_KEEP_PROBABILITIES = frozenset(
    {
        *("Cast", "Clip", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"),
        *("QuantizeLinear", "DequantizeLinear"),
    }
)
_ENDINGS: dict[str, Ending] = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
_STANDARD = ("", "ai.onnx")
_WIDE = (1, 11)
"""ONNX's numbers for float32 and float64."""
_RANK = 2
_WITH_CONSTANT = frozenset({"Add", "Div", "Max", "Min", "Mul", "Sub"})
"""What exporters and people put behind a softmax: it moves or scales probabilities and does not make them logits."""


def ends_in_softmax(proto: "ModelProto") -> bool:
    """Return whether the only output is a softmax, seen through what does not turn probabilities into logits."""
    if len(proto.graph.output) != 1:
        return False
    return ending_of(proto, proto.graph.output[0].name) == "softmax"


def ending_of(proto: "ModelProto", output: str) -> Ending | None:
    """Return what makes an output, seen through what does not turn probabilities into logits; None: something else."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    constants = {tensor.name for tensor in proto.graph.initializer}
    constants |= {name for node in proto.graph.node if node.op_type == "Constant" for name in node.output}
    node = makers.get(output)
    seen = 0
    while node is not None and node.op_type not in _ENDINGS and seen <= len(makers):  # a damaged graph may be a ring
        sources = [name for name in node.input if name not in constants]
        passes = node.op_type in _KEEP_PROBABILITIES or (node.op_type in _WITH_CONSTANT and len(sources) == 1)
        node, seen = (makers.get(sources[0]) if passes and sources else None), seen + 1
    return None if node is None else _ENDINGS.get(node.op_type)


def final_softmax(proto: "ModelProto") -> "NodeProto | None":
    """Return the softmax over classes that makes the graph's only output; else None.

    Behind it may stand what changes nothing of a row of scores: Identity, Cast to float32 or float64, and Flatten of
    what is (n, c) already.
    """
    if len(proto.graph.output) != 1:
        return None
    makers = {name: node for node in proto.graph.node for name in node.output}
    node = makers.get(proto.graph.output[0].name)
    flattened = False
    while node is not None and _passes_on(node):
        flattened = flattened or node.op_type == "Flatten"
        node = makers.get(node.input[0])
    if node is None or node.op_type != "Softmax" or node.domain not in _STANDARD or not node.input:
        return None
    if _number(node, "axis", -1) not in (-1, 1):  # the scores are (n, c)
        return None
    return node if not flattened or _rank(proto, node.output[0]) == _RANK else None


def take_off(proto: "ModelProto", softmax: "NodeProto") -> None:
    """Let the softmax pass on what it is given, so that the graph's output, whose name stays, is the logits."""
    from onnx import helper

    passing = helper.make_node("Identity", softmax.input[:1], softmax.output[:1], name=softmax.name)
    proto.graph.node[list(proto.graph.node).index(softmax)].CopyFrom(passing)


def _passes_on(node: "NodeProto") -> bool:
    if node.domain not in _STANDARD or not node.input:
        return False
    if node.op_type == "Cast":
        return _number(node, "to", 0) in _WIDE
    return node.op_type == "Identity" or (node.op_type == "Flatten" and _number(node, "axis", 1) == 1)


def _number(node: "NodeProto", attribute: str, default: int) -> int:
    return next((told.i for told in node.attribute if told.name == attribute), default)


def _rank(proto: "ModelProto", name: str) -> int | None:
    """Return the rank of a value, as far as it can be told without a run."""
    from onnx import shape_inference

    try:
        values = shape_inference.infer_shapes(proto).graph.value_info
    except Exception:  # noqa: BLE001 - a foreign library reads a foreign graph; then nothing is known of it
        return None
    shapes = (value.type.tensor_type for value in values if value.name == name)
    return next((len(tensor.shape.dim) for tensor in shapes if tensor.HasField("shape")), None)
