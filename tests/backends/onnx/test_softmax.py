"""A softmax at the end of an ONNX file: the white box answers the logits before it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.onnx.softmax import final_softmax, take_off
from cae_backends.torch import LOADER
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ContractError
from cae_core.models import DifferentiableModel
from cae_core.opening.opened import open_model
from cae_core.testing import check_differentiable, check_model
from tests.backends.onnx_cases import run_onnx

pytestmark = pytest.mark.usefixtures("one_thread")

LOGITS = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
TOLD = LOGITS.replace(output="probabilities")
IMAGES: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)


def node(operator: str, source: str, target: str, *, axis: int | None = None) -> onnx.NodeProto:
    made = helper.make_node(operator, [source], [target], name=target)
    if axis is not None:
        made.attribute.append(helper.make_attribute("axis", axis))
    return made


ENDS: dict[str, list[onnx.NodeProto]] = {
    "axis -1": [node("Softmax", "scores", "answer", axis=-1)],
    "axis 1": [node("Softmax", "scores", "answer", axis=1)],
    "no axis": [node("Softmax", "scores", "answer")],
    "identity behind": [node("Softmax", "scores", "p", axis=1), node("Identity", "p", "answer")],
    "two behind": [node("Softmax", "scores", "p"), node("Identity", "p", "q"), node("Identity", "q", "answer")],
    "identity before": [node("Identity", "scores", "z"), node("Softmax", "z", "answer", axis=-1)],
    "cast behind": [
        node("Softmax", "scores", "p", axis=1),
        helper.make_node("Cast", ["p"], ["q"], name="q", to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["q"], ["answer"], name="answer", to=TensorProto.FLOAT),
    ],
    "flatten behind": [node("Softmax", "scores", "p"), node("Flatten", "p", "answer")],
    "flatten and identity behind": [
        node("Softmax", "scores", "p", axis=1),
        node("Flatten", "p", "q", axis=1),
        node("Identity", "q", "answer"),
    ],
}
OTHER_ENDS: dict[str, list[onnx.NodeProto]] = {
    "axis 0": [node("Softmax", "scores", "answer", axis=0)],
    "none": [node("Identity", "scores", "answer")],
    "log": [node("LogSoftmax", "scores", "answer", axis=1)],
    "inside": [node("Softmax", "scores", "p", axis=1), node("Neg", "p", "answer")],
    "flattened maps": [node("Softmax", "c", "p", axis=1), node("Flatten", "p", "answer")],
    "flattened to one row": [node("Softmax", "scores", "p"), node("Flatten", "p", "answer", axis=0)],
    "whole numbers": [
        node("Softmax", "scores", "p"),
        helper.make_node("Cast", ["p"], ["answer"], name="answer", to=TensorProto.INT64),
    ],
    "of nothing": [helper.make_node("Softmax", [], ["answer"], name="answer")],
    "passed on from nowhere": [helper.make_node("Identity", [], ["answer"], name="answer")],
}


def network(ending: list[onnx.NodeProto], *, opset: int = 17, sharpness: float = 1) -> onnx.ModelProto:
    """Return a network with 4 classes and this end."""
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.standard_normal((4, 3, 3, 3)), "head": sharpness * rng.standard_normal((4, 4))}
    body = [
        helper.make_node("Conv", ["image", "kernel"], ["c"], name="c"),
        helper.make_node("Tanh", ["c"], ["t"], name="t"),
        helper.make_node("GlobalAveragePool", ["t"], ["g"], name="g"),
        helper.make_node("Flatten", ["g"], ["f"], name="f"),
        helper.make_node("Gemm", ["f", "head"], ["scores"], name="scores"),
    ]
    graph = helper.make_graph(
        [*body, *ending],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 6, 6])],
        [helper.make_tensor_value_info("answer" if ending else "scores", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def white_box(folder: Path, proto: onnx.ModelProto, contract: Contract) -> DifferentiableModel:
    path = folder / "net.onnx"
    onnx.save(proto, path)
    return LOADER.open(str(path), contract=contract, device="cpu")


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", ENDS)
def test_the_logits_and_gradients_are_those_of_the_cut_network(tmp_path: Path, name: str, opset: int) -> None:
    told = white_box(tmp_path, network(ENDS[name], opset=opset), TOLD)
    suspect = open_model(str(tmp_path / "net.onnx"), contract=TOLD, device="cpu").predict(IMAGES)
    bare = white_box(tmp_path, network([], opset=opset), LOGITS)
    x = as_unit_float(IMAGES)
    (logits, pull), (expected, pull_bare) = told.vjp(x), bare.vjp(x)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(pull(v), pull_bare(v), atol=1e-6)
    answer = told.predict(IMAGES)
    np.testing.assert_array_equal(answer.labels, suspect.labels)
    assert answer.probabilities is not None
    assert suspect.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, suspect.probabilities, atol=1e-5)
    np.testing.assert_allclose(answer.probabilities.sum(1), 1, atol=1e-5)


def test_the_suite_at_saturated_answers(tmp_path: Path) -> None:
    told = white_box(tmp_path, network(ENDS["axis 1"], sharpness=1000), TOLD)
    answer = open_model(str(tmp_path / "net.onnx"), contract=TOLD, device="cpu").predict(IMAGES).probabilities
    assert answer is not None
    assert answer.max() == 1
    check_model(told, IMAGES, classes=4, atol=1e-2)
    check_differentiable(told, IMAGES)
    logits, pullback = told.vjp(as_unit_float(IMAGES))
    gradient = pullback(np.ones_like(logits))
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ENDS)
def test_a_contract_that_calls_probabilities_logits_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContractError, match=r'output = "logits" and the model ends in a softmax\. Correct') as caught:
        white_box(tmp_path, network(ENDS[name]), LOGITS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OTHER_ENDS)
def test_other_ends_stay(name: str) -> None:
    assert final_softmax(network(OTHER_ENDS[name])) is None


def test_the_axis_of_old_operator_sets_is_the_classes() -> None:
    assert final_softmax(network(ENDS["no axis"], opset=11)) is not None


def test_several_outputs_and_foreign_operators_stay() -> None:
    proto = network(ENDS["axis 1"])
    proto.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4]))
    assert final_softmax(proto) is None
    proto = network(ENDS["axis 1"])
    proto.graph.node[-1].domain = "somebody.else"
    assert final_softmax(proto) is None


@pytest.mark.parametrize("name", ENDS)
def test_the_cut_network_is_a_valid_one(name: str) -> None:
    proto = network(ENDS[name])
    softmax = final_softmax(proto)
    assert softmax is not None
    take_off(proto, softmax)
    onnx.checker.check_model(proto, full_check=True)
    assert not [x for x in proto.graph.node if x.op_type == "Softmax"]
    images = np.random.default_rng(5).random((3, 3, 6, 6), np.float32)
    np.testing.assert_array_equal(run_onnx(proto, images), run_onnx(network([]), images))


PARTS: dict[str, onnx.NodeProto] = {
    "Split": helper.make_node("Split", ["scores", "sizes"], ["z", "rest"], name="z", axis=1),
    "TopK": helper.make_node("TopK", ["scores", "three"], ["z", "places"], name="z"),
}


@pytest.mark.parametrize("operator", PARTS)
def test_the_logits_are_one_of_several_outputs_of_a_node(tmp_path: Path, operator: str) -> None:
    proto = network([PARTS[operator], node("Softmax", "z", "answer", axis=1)])
    del proto.graph.output[0].type.tensor_type.shape.dim[1:]
    proto.graph.output[0].type.tensor_type.shape.dim.add(dim_value=3)
    for name, value in (("sizes", [3, 1]), ("three", [3])):
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    onnx.save(proto, tmp_path / "net.onnx")
    white = open_model(str(tmp_path / "net.onnx"), gradients=True, contract=TOLD, device="cpu").predict(IMAGES)
    black = open_model(str(tmp_path / "net.onnx"), contract=TOLD, device="cpu").predict(IMAGES)
    assert white.probabilities is not None
    assert black.probabilities is not None
    np.testing.assert_allclose(white.probabilities, black.probabilities, atol=1e-5)


def test_other_probabilities_are_answered_as_their_logarithms(tmp_path: Path) -> None:
    halves = [node("Sigmoid", "scores", "s"), node("Softmax", "scores", "p", axis=1)]
    mixed = [*halves, helper.make_node("Mul", ["s", "p"], ["answer"], name="answer")]
    model = white_box(tmp_path, network(mixed), TOLD)
    answer = open_model(str(tmp_path / "net.onnx"), contract=TOLD, device="cpu").predict(IMAGES).probabilities
    assert answer is not None
    np.testing.assert_allclose(model.vjp(as_unit_float(IMAGES))[0], np.log(answer), atol=1e-5)
