"""Graphs in forms that onnx2torch does not read: rewritten they give the same answers; and fixed batch sizes."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.torch.onnx_import import FixedBatch, convert_onnx
from cae_backends.torch.onnx_rewrites import rewritten
from cae_backends.torch.simplify import simplify
from cae_core.errors import ModelError
from tests.backends.onnx_cases import SHAPE, Case, Node, floats, integers, model_of, run_onnx, unary

pytestmark = pytest.mark.usefixtures("one_thread")

X = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)


def answers(proto: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = convert_onnx(proto, origin="case")(torch.tensor(x)).detach().numpy()
    return found


WEIGHTS = numpy_helper.from_array(floats(1, 5, 4, 3, 3))
FORMS = {
    "weights from a constant node": Case(
        "Conv", [("Constant", [], ["w"], {"value": WEIGHTS}), ("Conv", ["x", "w"], ["y"], {})]
    ),
    "weights shared through copies": Case(
        "Conv",
        [("Identity", ["v"], ["u"], {}), ("Identity", ["u"], ["w"], {}), ("Conv", ["x", "w"], ["y"], {})],
        {"v": floats(1, 5, 4, 3, 3)},
    ),
    "an output that nobody uses": Case("MaxPool", [("MaxPool", ["x"], ["y", "i"], {"kernel_shape": [2, 2]})]),
    "a flag that says nothing": unary("Reshape", {"shape": integers(-1, 12)}, opsets=(14, 18), allowzero=1),
}


@pytest.mark.parametrize("case", FORMS.values(), ids=FORMS)
def test_the_same_answers(case: Case) -> None:
    proto = model_of(case, 18)
    np.testing.assert_allclose(answers(proto, X), run_onnx(proto, X), rtol=1e-5, atol=1e-6)


def test_the_file_itself_is_not_changed() -> None:
    proto = model_of(FORMS["weights from a constant node"], 18)
    before = proto.SerializeToString(deterministic=True)
    convert_onnx(proto, origin="case")
    assert proto.SerializeToString(deterministic=True) == before


def test_the_other_name_of_the_standard_operators() -> None:
    proto = model_of(unary("Relu"), 18)
    proto.opset_import[0].domain = proto.graph.node[0].domain = "ai.onnx"
    np.testing.assert_array_equal(answers(proto, X), np.maximum(X, 0))


def test_functions_of_the_file_are_entered() -> None:
    """Torch's first dynamo exporters wrote every layer as a function of its own domain."""
    inner = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Relu", ["b"], ["c"])]
    function = helper.make_function("own", "Square", ["a"], ["c"], inner, [helper.make_opsetid("", 18)])
    proto = model_of(unary("Neg"), 18)
    proto.graph.node[0].input[0] = "s"
    proto.graph.node.insert(0, helper.make_node("Square", ["x"], ["s"], domain="own"))
    proto.opset_import.append(helper.make_opsetid("own", 1))
    proto.functions.append(function)
    np.testing.assert_allclose(answers(proto, X), -(X**2), rtol=1e-6)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "MaxPool"])
def test_automatic_padding_waits_for_the_size(operator: str) -> None:
    value, pooling = helper.make_tensor_value_info, operator == "MaxPool"
    told: dict[str, Any] = {"auto_pad": "SAME_UPPER", "strides": [2, 3]}
    told |= {"kernel_shape": [3, 3]} if pooling else {}
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"] if pooling else ["x", "w"], ["y"], name="stem", **told)],
        "case",
        [value("x", TensorProto.FLOAT, ("n", 4, "h", "w"))],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(floats(1, 4, 4, 3, 3), "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    module = convert_onnx(proto, origin="case")
    for sides in ((6, 6), (7, 5)):
        x = floats(2, 2, 4, *sides)
        np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), run_onnx(proto, x), rtol=1e-5)


def test_batch_norms_in_training_mode_are_refused() -> None:
    constants = {name: floats(1, 4) for name in ("scale", "bias", "mean", "var")}
    nodes: list[Node] = [("BatchNormalization", ["x", *constants], ["y", "m", "v"], {"training_mode": 1})]
    with pytest.raises(ModelError, match=r"operator BatchNormalization \(opset 18, node 'y'\) has training_mode"):
        convert_onnx(model_of(Case("BatchNormalization", nodes, constants), 18), origin="case")


def test_a_graph_that_contradicts_itself() -> None:
    proto = model_of(unary("Relu"), 18)
    proto.graph.node[0].output.append("z")
    proto.graph.node[0].op_type = "TopK"
    with pytest.raises(ModelError, match=r"case: the graph contradicts itself \(.*TopK"):
        convert_onnx(proto, origin="case")


def test_constant_outputs_stay_nodes() -> None:
    """A constant that the model answers must remain an answer."""
    nodes: list[Node] = [("Constant", [], ["y"], {"value": WEIGHTS}), ("Relu", ["x"], ["r"], {})]
    assert [node.op_type for node in rewritten(model_of(Case("Constant", nodes), 18)).graph.node] == [
        "Constant",
        "Relu",
    ]


MIXED = Case(  # the answer for one image depends on the others in its batch, and the size is in the graph
    "ReduceMean",
    [
        ("ReduceMean", ["x"], ["m"], {"axes": [0], "keepdims": 1}),
        ("Sub", ["x", "m"], ["d"], {}),
        ("Mul", ["d", "x"], ["p"], {}),
        ("Reshape", ["p", "s"], ["y"], {}),
    ],
    {"s": integers(2, 144)},
)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_fixed_batch_is_asked_as_often_as_need_be(n: int) -> None:
    proto = model_of(MIXED, 17, batch=2)
    module = convert_onnx(proto, origin="case")
    assert isinstance(module, FixedBatch)
    images = np.random.default_rng(1).uniform(-1, 1, (n, *SHAPE[1:])).astype(np.float32)
    pairs = [images[i : i + 2] for i in range(0, n, 2)]
    full = [pair if len(pair) == 2 else np.concatenate([pair, pair]) for pair in pairs]
    expected = np.concatenate([run_onnx(proto, pair) for pair in full])[:n]
    np.testing.assert_allclose(module(torch.tensor(images)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_fixed_batch() -> None:
    module = convert_onnx(model_of(MIXED, 17, batch=2), origin="case").double()
    images = torch.rand(3, *SHAPE[1:], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (images,), fast_mode=True)


def test_a_fixed_batch_can_be_simplified() -> None:
    """As the pool does; there is nothing to fold through the cuts."""
    module = convert_onnx(model_of(MIXED, 17, batch=2), origin="case")
    x = torch.tensor(X)
    torch.testing.assert_close(simplify(module)(x), module(x))


def test_a_free_batch_is_not_cut() -> None:
    assert not isinstance(convert_onnx(model_of(unary("Relu"), 17, batch="n"), origin="case"), FixedBatch)
