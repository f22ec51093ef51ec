"""Layer by layer: Keras, ONNX Runtime and onnx2torch give the same answers, and both frameworks the same gradients."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from cae_backends.tensorflow.tracing import trace_keras
from cae_backends.torch.onnx_import import convert_onnx
from cae_converters.keras_to_onnx import OPSET, graph_to_onnx
from cae_converters.onnx_file import drop_unused
from cae_core.contract import Contract
from cae_core.errors import ModelError
from tests.converters.keras_layers import BLOCKS, SHAPE, classifier_around, keras, layers, tf

CONTRACT = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")


def to_onnx(model: Any) -> onnx.ModelProto:  # noqa: ANN401 - Keras has no types
    return graph_to_onnx(trace_keras(model, contract=CONTRACT, origin="m.keras"), origin="m.keras")


@pytest.mark.parametrize("name", BLOCKS)
def test_a_layer_answers_and_differentiates_alike_everywhere(name: str) -> None:
    keras.utils.set_random_seed(4)
    model = classifier_around(BLOCKS[name])
    proto = to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    module = convert_onnx(proto, origin="m.onnx")
    random = np.random.default_rng(5)
    for count in (1, 3):
        x = random.normal(size=(count, *SHAPE)).astype(np.float32)
        v = random.normal(size=(count, 3)).astype(np.float32)
        images = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(images)
            answer = model(images, training=False)
        gradient = tape.gradient(answer, images, output_gradients=v).numpy()
        taken = torch.tensor(x, requires_grad=True)
        found = module(taken)
        found.backward(torch.from_numpy(v))
        assert taken.grad is not None
        tolerance = 2e-5 * max(1.0, float(np.abs(answer).max()))
        run = np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])
        np.testing.assert_allclose(run, answer, atol=tolerance)
        np.testing.assert_allclose(found.detach().numpy(), answer, atol=tolerance)
        scale = float(np.abs(gradient).max())
        assert scale > 1e-5  # the layer lets a gradient through
        np.testing.assert_allclose(taken.grad.numpy(), gradient, atol=2e-5 * max(scale, 1e-2))


def test_the_graph_is_of_one_opset_and_of_standard_operators() -> None:
    proto = to_onnx(classifier_around(BLOCKS["registered-layer"]))
    assert next(entry.version for entry in proto.opset_import if entry.domain == "") == OPSET
    assert {node.domain for node in proto.graph.node} == {""}


@pytest.mark.parametrize(
    ("operation", "node"),
    [
        (lambda x: tf.math.igamma(tf.abs(x) + 1, tf.abs(x) + 0.5), "Igamma"),
        (tf.math.bessel_i0e, "BesselI0e"),
        (lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.math.bessel_i1e(x), lambda: x), "BesselI1e"),
    ],
)
def test_an_operation_that_onnx_lacks_is_named_with_its_node(operation: Any, node: str) -> None:  # noqa: ANN401
    model = classifier_around(layers.Lambda(operation, name="strange"))
    with pytest.raises(ModelError) as caught:
        to_onnx(model)
    message = str(caught.value)
    assert message.startswith("m.keras: ")
    assert f"operation {node} (node '" in message
    assert "strange" in message or "cond" in message
    assert "\n" not in message


def test_a_resampling_that_torch_lacks_answers_like_keras() -> None:
    model = classifier_around(layers.Resizing(9, 4, interpolation="nearest"))
    proto = to_onnx(model)
    assert b"tf_half_pixel_for_nn" in proto.SerializeToString()
    x = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    found = convert_onnx(proto, origin="m.onnx")(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(found, model(x, training=False), rtol=1e-4, atol=1e-5)


def test_an_operator_that_onnx2torch_lacks_is_named_with_its_node() -> None:
    proto = to_onnx(classifier_around(BLOCKS["linear"]))
    last = proto.graph.node[-1]
    made, last.output[0] = last.output[0], "sorted_later"
    proto.graph.node.append(helper.make_node("Hardmax", ["sorted_later"], [made], name="strange/node", axis=1))
    onnx.checker.check_model(proto)
    with pytest.raises(ModelError, match=r"m\.onnx: operator Hardmax \(opset 17, node 'strange/node'\)") as caught:
        convert_onnx(proto, origin="m.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(None, None, 3), (8, None, 3)])
def test_a_size_that_is_open_is_asked_for(shape: tuple[int | None, ...]) -> None:
    image = keras.Input(shape)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))
    with pytest.raises(ModelError, match=r"any size.*size = \[32, 32\]"):
        to_onnx(model)
    graph = trace_keras(model, contract=CONTRACT.replace(size=(8, 5)), origin="m.keras")
    proto = graph_to_onnx(graph, origin="m.keras")
    assert [axis.dim_value for axis in proto.graph.input[0].type.tensor_type.shape.dim[1:]] == [8, 5, 3]


def test_unused_parts_go_and_what_a_branch_reads_stays() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 2] x, bool c) => (float[n, 2] y)
        <float[2] read = {1, 2}, float[2] unread = {3, 4}, float[2] led = {5, 6}>
        {
            outer = Add(x, led)
            nowhere = Mul(outer, unread)
            further = Neg(nowhere)
            y = If (c) <
                then_branch = t () => (float[n, 2] a) { a = Mul(outer, read) },
                else_branch = e () => (float[n, 2] b) { b = Identity(outer) }
            >
        }
    """
    proto = onnx.parser.parse_model(text)
    drop_unused(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["Add", "If"]
    assert [tensor.name for tensor in proto.graph.initializer] == ["read", "led"]
