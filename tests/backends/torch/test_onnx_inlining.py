"""An ONNX file's own functions: the white box computes them as the runtime does, or says why it cannot."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from cae_backends.torch.onnx_import import convert_onnx
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.opening.opened import open_model
from tests.backends.onnx_cases import run_onnx

pytestmark = pytest.mark.usefixtures("one_thread")

X = np.random.default_rng(1).uniform(-1, 1, (3, 3, 4, 4)).astype(np.float32)


def leaky(*, slope: str) -> NodeProto:
    """A LeakyRelu whose slope is the attribute ``slope`` of the function that it stands in."""
    node = helper.make_node("LeakyRelu", ["a"], ["b"])
    node.attribute.append(AttributeProto(name="alpha", ref_attr_name=slope, type=AttributeProto.FLOAT))
    return node


def function(name: str, node: NodeProto, *, opset: int = 18, domain: str = "my", **defaults: float) -> FunctionProto:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    made = helper.make_function(domain, name, ["a"], ["b"], [node], imports)
    made.attribute_proto.extend(helper.make_attribute(key, value) for key, value in defaults.items())
    return made


def call(name: str, source: str = "a", target: str = "b", **told: float) -> NodeProto:
    node = helper.make_node(name, [source], [target], domain="my")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in told.items())
    return node


def outer(*, hands_on: str) -> NodeProto:
    """A call of Inner that hands its slope on from the attribute ``hands_on``."""
    node = call("Inner")
    node.attribute.append(AttributeProto(name="slope", ref_attr_name=hands_on, type=AttributeProto.FLOAT))
    return node


def classifier(node: NodeProto, *functions: FunctionProto) -> onnx.ModelProto:
    """``node`` from z to h, between a flattening and a linear layer."""
    weights = np.random.default_rng(2).standard_normal((48, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["z"]),
            node,
            helper.make_node("MatMul", ["h", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 4, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 5))],
        [numpy_helper.from_array(weights, "w")],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


INNER = function("Inner", leaky(slope="slope"), slope=0.3)
MODELS: dict[str, onnx.ModelProto] = {
    "default": classifier(call("Inner", "z", "h"), INNER),
    "given": classifier(call("Inner", "z", "h", slope=-0.5), INNER),
    "default of an inner call": classifier(call("Outer", "z", "h"), INNER, function("Outer", call("Inner"))),
    "default handed on": classifier(call("Outer", "z", "h"), function("Outer", outer(hands_on="s"), s=0.7), INNER),
    "given and handed on": classifier(
        call("Outer", "z", "h", s=-0.2), INNER, function("Outer", outer(hands_on="s"), s=0.7)
    ),
    "another opset that means the same": classifier(
        call("Old", "z", "h"), function("Old", helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.2), opset=17)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_functions_are_computed_as_the_runtime_does(name: str) -> None:
    found = convert_onnx(MODELS[name], origin="m.onnx")(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(found, run_onnx(MODELS[name], X), atol=1e-5)


def test_the_overload_that_is_called_gives_its_default() -> None:
    other = function("Inner", leaky(slope="slope"), slope=0.9)
    other.overload = "steep"
    node = call("Inner", "z", "h")
    node.overload = "steep"
    proto = classifier(node, INNER, other)
    found = convert_onnx(proto, origin="m.onnx")(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(found, run_onnx(proto, X), atol=1e-5)


def test_a_file_with_a_default_opens_with_gradients(tmp_path: Path) -> None:
    onnx.save(MODELS["default"], tmp_path / "m.onnx")
    contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
    images = np.random.default_rng(3).integers(0, 256, (4, 4, 4, 3), np.uint8)
    model = open_model(str(tmp_path / "m.onnx"), gradients=True, contract=contract, device="cpu", images=images)
    assert model.predict(images).labels.shape == (4,)


def test_a_function_of_another_opset_is_told() -> None:
    """A softmax of opset 11 takes all axes behind the first as one; the runtime converts, the white box says so."""
    proto = classifier(call("Old", "z", "h"), function("Old", helper.make_node("Softmax", ["a"], ["b"]), opset=11))
    with pytest.raises(
        ModelError, match=r"m\.onnx: the file's function 'Old' is written for opset 11 .* opset 18\. Exp"
    ):
        convert_onnx(proto, origin="m.onnx")


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_a_function_that_stands_for_an_operator_of_onnx_is_refused(domain: str) -> None:
    own = function("Relu", helper.make_node("Neg", ["a"], ["b"]), domain=domain)
    proto = classifier(helper.make_node("Relu", ["z"], ["h"]), own)
    with pytest.raises(ModelError, match=r"a function of its own for the operator 'Relu' of ONNX's domain"):
        convert_onnx(proto, origin="m.onnx")
    del proto.functions[:]
    convert_onnx(proto, origin="m.onnx")
