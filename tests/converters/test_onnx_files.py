"""ONNX files of other parties as sources of a conversion: weights beside them, texts, and what they leave out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cae_converters.contract_nodes import absorb_contract
from cae_converters.conversion import convert
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.opening.opened import open_model
from tests.backends.onnx_beside import IMAGES, LOGITS, dense, runtime_of_today, sparse, spoilt, takes_other_bytes

pytestmark = pytest.mark.hostile


@pytest.mark.parametrize("made", [dense, pytest.param(sparse, marks=runtime_of_today)])
def test_weights_beside_the_source_come_along(
    tmp_path: Path, made: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    path = made(source)
    monkeypatch.chdir(target)
    done = convert(path, target / "m.onnx", contract=LOGITS)
    expected = open_model(str(path), contract=LOGITS, device="cpu").predict(IMAGES).probabilities
    for beside in source.iterdir():
        beside.unlink()
    found = open_model(str(done.path), device="cpu").predict(IMAGES).probabilities
    assert expected is not None
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("text", ["matrix", "flattening", "linear"])
def test_a_text_that_is_not_utf8_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx: the model's names and metadata must be UTF-8; found other bytes"):
        convert(spoilt(tmp_path, text), tmp_path / "target.onnx", contract=LOGITS)


@takes_other_bytes
def test_comments_may_be_anything(tmp_path: Path) -> None:
    convert(spoilt(tmp_path, "produced by"), tmp_path / "target.onnx", contract=LOGITS)


@takes_other_bytes
@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_a_source_that_does_not_say_its_answers_shape(tmp_path: Path, output: str) -> None:
    """The runtime does not ask for it, and onnx demands it of a graph that is joined."""
    proto = onnx.load(spoilt(tmp_path, "produced by"))
    proto.producer_name = ""
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    if output == "probabilities":
        proto.graph.node[-1].output[0] = "z"
        proto.graph.node.append(helper.make_node("Softmax", ["z"], ["y"], axis=1))
    onnx.save(proto, tmp_path / "m.onnx")
    contract = LOGITS.replace(output=output, classes=(2, 0, 1))
    done = convert(tmp_path / "m.onnx", tmp_path / "target.onnx", contract=contract)
    expected = open_model(str(tmp_path / "m.onnx"), contract=contract, device="cpu").predict(IMAGES).labels
    found = open_model(str(done.path), device="cpu").predict(IMAGES).labels
    np.testing.assert_array_equal(found, expected)


def test_a_graph_that_cannot_be_joined_is_refused_in_a_sentence() -> None:
    """Two weights of one name, which is no graph for onnx."""
    weights = [numpy_helper.from_array(np.ones((16, 3), np.float32), "w") for _ in range(2)]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match="cannot be joined with its contract") as caught:
        absorb_contract(proto, Contract(layout="NHWC", range=(0.0, 255.0), output="logits"), (4, 4, 1))
    assert "\n" not in str(caught.value)
