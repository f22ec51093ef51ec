from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cae_backends.onnxruntime import LOADER
from cae_core.opening.party import Party
from cae_core.signature import Signature, TensorSign

EXPECTED = Signature(
    inputs=(TensorSign(name="x", dtype="uint8", shape=("n", 28, 28)),),
    outputs=(
        TensorSign(name="p", dtype="float32", shape=("n", 2), ending="softmax"),
        TensorSign(name="s", dtype="float32", shape=("n", 2), ending="sigmoid"),
        TensorSign(name="z", dtype="float32", shape=("n", 2)),
    ),
    metadata={"author": "somebody"},
)


def saved(path: Path) -> str:
    """A graph whose weight is listed as an input, as old exporters do, and of which one output has no shape."""
    weight = numpy_helper.from_array(np.ones((784, 2), np.float32), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["q"], axis=1),
        helper.make_node("Identity", ["q"], ["p"]),
        helper.make_node("Sigmoid", ["z"], ["s"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 28, 28]),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [784, 2]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "ps"]
    outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"author": "somebody"})
    onnx.save(model, path)
    return str(path)


def test_a_file_says_what_it_takes_and_answers(tmp_path: Path) -> None:
    assert LOADER.signature(saved(tmp_path / "m.onnx")) == EXPECTED


def test_it_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    party = Party(device="cpu")
    try:
        assert party.signature(saved(tmp_path / "m.onnx")) == EXPECTED
    finally:
        party.end()
