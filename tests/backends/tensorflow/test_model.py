"""Keras models: gradients are those of Keras' own tape, the graph is frozen, and what cannot work is said."""

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.tensorflow.endings import without_softmax
from cae_backends.tensorflow.frozen import FrozenGraph, freeze
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_backends.tensorflow.tracing import trace_keras
from cae_backends.torch.model import TorchModel
from cae_core.arrays import Floats32, Images, as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ContractError, DataError, ModelError
from cae_core.generation.ensembles import build_ensemble
from cae_core.models import DifferentiableModel
from cae_core.testing import check_differentiable, check_ensemble, check_model
from tests.backends.keras_nets import KerasModel, Tensor, answering, convnet, tape_vjp

tf, keras = load_tensorflow(), load_keras()
Layer: Any = keras.layers.Layer

pytestmark = pytest.mark.usefixtures("one_thread")

NHWC = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
TOLD = NHWC.replace(output="probabilities")
GraphDef: TypeAlias = Any
"""TensorFlow publishes no types."""
IMAGES: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
OTHER_SIZE: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (5, 11, 9, 3), dtype=np.uint8)

CONTRACTS = {
    "plain": NHWC,
    "mean, std": NHWC.replace(range=(0.0, 255.0), mean=(103.0, 116.0, 123.0), std=(58.0, 57.0, 60.0)),
    "bgr, class map": NHWC.replace(channels="BGR", range=(-1.0, 1.0), classes=(3, -1, 0, 2, 1)),
    "resized": NHWC.replace(size=(8, 8), resize="bilinear-antialias"),
    "mean image": NHWC.replace(
        channels="RGB", mean_image=np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3), std=(0.5,)
    ),
}


def wrap(model: KerasModel, contract: Contract = NHWC) -> TensorflowModel:
    return TensorflowModel.from_keras(model, contract=contract, device="cpu")


def told_by(model: TensorflowModel) -> Floats32:
    probabilities = model.predict(IMAGES).probabilities
    assert probabilities is not None
    return probabilities


def upstream_for(logits: Floats32) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)


@pytest.mark.parametrize("name", CONTRACTS)
def test_conformance(name: str) -> None:
    contract = CONTRACTS[name]
    model = wrap(convnet(0), contract)
    images = OTHER_SIZE if contract.resize else IMAGES
    assert isinstance(model, DifferentiableModel)
    check_model(model, images, classes=4 if contract.classes else 5)
    check_differentiable(model, images)


@pytest.mark.parametrize("name", CONTRACTS)
def test_logits_and_gradients_are_those_of_keras_own_tape(name: str) -> None:
    contract, network = CONTRACTS[name], convnet(1)
    images = as_unit_float(OTHER_SIZE if contract.resize else IMAGES)
    logits, pullback = wrap(network, contract).vjp(images)
    v = upstream_for(logits)
    raw, pulled = tape_vjp(network, contract.to_input(images), contract.from_canonical(v, 5))
    np.testing.assert_allclose(logits, contract.to_canonical(raw), atol=1e-5)
    expected = contract.pull_back(pulled, images.shape)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(pullback(v), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_channels_first() -> None:
    images = keras.Input((3, 8, 8))
    network = keras.Model(images, convnet(0)(keras.layers.Permute((2, 3, 1))(images)))
    model = wrap(network, NHWC.replace(layout="NCHW"))
    check_differentiable(model, IMAGES)
    np.testing.assert_allclose(
        model.vjp(as_unit_float(IMAGES))[0], wrap(convnet(0)).vjp(as_unit_float(IMAGES))[0], atol=1e-5
    )


@pytest.mark.parametrize(
    ("layout", "axes", "order"),
    [
        ("FLAT", (192,), (1, 2, 3)),
        ("FLAT", (192, 1), (1, 2, 3)),
        ("FLAT_NCHW", (192,), (2, 3, 1)),
        ("HW", (8, 24), None),
    ],
)
def test_inputs_without_axes(layout: Any, axes: tuple[int, ...], order: tuple[int, ...] | None) -> None:  # noqa: ANN401
    """The same network behind a reshape of its flat input; ``order`` brings its axes to height, width, channels."""
    taken = keras.Input(axes)
    shape = (3, 8, 8) if layout == "FLAT_NCHW" else (8, 8, 3)
    ordered = keras.layers.Reshape(shape)(taken)
    network = convnet(0)
    if order is not None:
        ordered = keras.layers.Permute(order)(ordered)
    images = IMAGES.reshape(6, 8, 24, 1) if layout == "HW" else IMAGES
    model = wrap(keras.Model(taken, network(ordered)), NHWC.replace(layout=layout))
    check_differentiable(model, images)
    expected = wrap(convnet(0)).vjp(as_unit_float(IMAGES))[0]
    np.testing.assert_allclose(model.vjp(as_unit_float(images))[0], expected, atol=1e-5)


def test_one_score_is_answered_and_has_no_gradient() -> None:
    taken = keras.Input((8, 8, 3))
    score = keras.layers.Dense(1, activation="sigmoid", kernel_initializer="random_normal")(
        keras.layers.Flatten()(taken)
    )
    network = keras.Model(taken, score)
    model = wrap(network, TOLD)
    told = np.asarray(network(as_unit_float(IMAGES)))
    np.testing.assert_allclose(model.predict(IMAGES).probabilities, np.concatenate([1 - told, told], axis=1), atol=1e-6)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="one score an image"):
        model.vjp(as_unit_float(IMAGES))


def test_a_layout_of_another_rank_is_refused() -> None:
    flat = keras.Model(taken := keras.Input((192,)), keras.layers.Dense(5)(taken))
    with pytest.raises(ContractError, match=r'a tensor of rank 2, \(\?, 192\).*layout = "FLAT"'):
        wrap(flat)


def test_uint8_models_predict_and_have_no_gradient() -> None:
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(keras.ops.cast(pixels, "float32"))
    model = wrap(keras.Model(pixels, convnet(0)(scaled)), NHWC.replace(dtype="uint8", range=(0.0, 255.0)))
    check_model(model, IMAGES, classes=5)
    np.testing.assert_array_equal(model.predict(IMAGES).labels, wrap(convnet(0)).predict(IMAGES).labels)
    with pytest.raises(ModelError, match="takes uint8 has no gradient"):
        model.vjp(as_unit_float(IMAGES))
    with pytest.raises(ContractError, match=r'takes uint8 and its contract float32; say dtype = "uint8"'):
        wrap(keras.Model(pixels, convnet(0)(scaled)))


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_labels_only(dtype: str) -> None:
    network = answering(lambda mean: tf.cast(tf.argmax(mean, 1), dtype))
    model = wrap(network, NHWC.replace(output="labels"))
    check_model(model, IMAGES, classes=3)
    np.testing.assert_array_equal(model.predict(IMAGES).labels, IMAGES.mean((1, 2)).argmax(1))
    with pytest.raises(ModelError, match="labels only has no gradient"):
        model.vjp(as_unit_float(IMAGES))


@pytest.mark.parametrize("sharpness", [1, 1000])
def test_a_softmax_is_differentiated_from_its_logits(sharpness: float) -> None:
    x = as_unit_float(IMAGES)
    bare, told = (wrap(convnet(2, end=end, sharpness=sharpness), c) for end, c in ((None, NHWC), ("softmax", TOLD)))
    probabilities = convnet(2, end="softmax", sharpness=sharpness)(x).numpy()
    assert (sharpness == 1) == (probabilities.max(1) < 1).all()  # at 1000 they are exactly 0 and 1
    (expected, pull), (found, pull_told) = bare.vjp(x), told.vjp(x)
    v = upstream_for(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    gradient = pull_told(v)
    np.testing.assert_allclose(gradient, pull(v), rtol=1e-4, atol=1e-5 * np.abs(pull(v)).max())
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max((1, 2, 3)) > 0).all()
    assert told.contract == TOLD
    np.testing.assert_allclose(told_by(told), probabilities, atol=1e-5)
    check_model(told, IMAGES, classes=5, atol=1e-4 * sharpness)


def sum_to_one(scores: Tensor) -> Tensor:
    positive = tf.sigmoid(scores)
    return positive / tf.reduce_sum(positive, axis=1, keepdims=True)


@pytest.mark.parametrize("sharpness", [1.0, 1e4])
def test_other_probabilities_are_answered_as_their_logarithms(sharpness: float) -> None:
    network = answering(lambda mean: sum_to_one(sharpness * (mean - tf.reduce_mean(mean, 1, keepdims=True))))
    model, x = wrap(network, TOLD), as_unit_float(IMAGES)
    logits, pullback = model.vjp(x)
    gradient = pullback(upstream_for(logits))
    assert np.isfinite(logits).all()
    assert np.isfinite(gradient).all()
    told = network(x).numpy()
    np.testing.assert_allclose(told_by(model), told, atol=1e-5)
    if sharpness == 1:
        v = upstream_for(logits)
        np.testing.assert_allclose(logits, np.log(told), atol=1e-5)
        np.testing.assert_allclose(gradient, tape_vjp(network, x, v / told)[1], rtol=1e-3, atol=1e-6)
        check_differentiable(model, IMAGES)
    else:
        assert told.min() == 0


def test_a_contract_that_calls_probabilities_logits_is_refused() -> None:
    with pytest.raises(ContractError, match=r'"logits" and the model ends in a softmax\. Correct it to') as caught:
        wrap(convnet(0, end="softmax"))
    assert "\n" not in str(caught.value)


def test_later_changes_of_the_weights_have_no_effect() -> None:
    network, x = convnet(3), as_unit_float(IMAGES)
    model = wrap(network)
    before, _ = model.vjp(x)
    network.set_weights([np.zeros_like(weight) for weight in network.get_weights()])
    untouched = wrap(convnet(3)).vjp(x)[0]
    after, pullback = model.vjp(x)
    np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(after, untouched, atol=1e-6)
    assert np.abs(pullback(np.ones_like(after))).max() > 0


def graph_of(model: KerasModel) -> FrozenGraph:
    return trace_keras(model, contract=NHWC, origin="net")


def test_the_graph_holds_no_variable_so_no_weight_has_a_gradient() -> None:
    graph = graph_of(convnet(0)).graph_def
    operations = {node.op for node in graph.node}
    assert not [op for op in operations if "Var" in op or "Resource" in op or "Call" in op]
    assert not [node.name for node in graph.node if node.attr["dtype"].type == tf.resource.as_datatype_enum]
    assert [node.op for node in graph.node].count("Placeholder") == 1
    assert "Const" in operations
    assert "Const" not in repr(graph_of(convnet(0)))  # a message that shows the graph would show the weights


def test_a_function_that_still_has_resources_is_not_silently_accepted() -> None:
    """The counterpart of the test above: before it is frozen, the same graph has them."""
    network = convnet(0)
    traced = tf.function(lambda images: network(images, training=False)).get_concrete_function(
        tf.TensorSpec((None, 8, 8, 3), tf.float32)
    )
    assert any("ReadVariable" in node.op for node in _all_nodes(traced.graph.as_graph_def()))
    assert not any("ReadVariable" in node.op for node in _all_nodes(freeze(traced, origin="net").graph_def))


def _all_nodes(graph_def: GraphDef) -> list[Any]:
    return [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]


def not_a_number_where_white(mean: Tensor) -> Tensor:
    return tf.where(tf.reduce_mean(mean, 1, keepdims=True) > 0.99, np.nan, mean)


@pytest.mark.parametrize(
    ("function", "contract"),
    [
        (not_a_number_where_white, NHWC),
        (lambda mean: tf.nn.softmax(not_a_number_where_white(mean)), TOLD),
        (lambda mean: sum_to_one(not_a_number_where_white(mean)), TOLD),
    ],
    ids=["logits", "softmax", "probabilities"],
)
def test_rows_that_are_not_finite_are_no_answer(function: Callable[[Tensor], Tensor], contract: Contract) -> None:
    images = IMAGES.copy()
    images[1] = 255
    labels = wrap(answering(function), contract).predict(images).labels
    assert labels[1] == -1
    assert (np.delete(labels, 1) >= 0).all()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 2e-2), ("mixed_float16", 2e-2), ("mixed_bfloat16", 2e-1), ("float64", 1e-5)]
)
def test_other_precisions_answer_float32(dtype: str, tolerance: float) -> None:
    same, x = convnet(4), as_unit_float(IMAGES)
    network = convnet(4, dtype=dtype)
    model = wrap(network)
    check_model(model, IMAGES, classes=5, atol=tolerance)
    (logits, pullback), (expected, expected_pullback) = model.vjp(x), wrap(same).vjp(x)
    v = upstream_for(logits)
    gradient, wanted = pullback(v), expected_pullback(v)
    assert logits.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(gradient, wanted, atol=5 * tolerance * np.abs(wanted).max())
    assert without_softmax(graph_of(convnet(4, dtype=dtype, end="softmax"))) is not None


def test_one_model_of_free_size_answers_several_geometries() -> None:
    model, fixed = wrap(convnet(0, shape=(None, None, 3))), wrap(convnet(0))
    for height, width in ((8, 8), (5, 13), (16, 4), (8, 8)):
        images = np.random.default_rng(height).integers(0, 256, (4, height, width, 3), np.uint8)
        check_model(model, images, classes=5)
        check_differentiable(model, images)
    np.testing.assert_allclose(model.vjp(as_unit_float(IMAGES))[0], fixed.vjp(as_unit_float(IMAGES))[0], atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda mean: tf.cond(tf.reduce_mean(mean) > 0.1, lambda: 8 * mean, lambda: mean),
        lambda mean: tf.while_loop(lambda i, _: i < 3, lambda i, z: (i + 1, 2 * z), (0, mean))[1],
    ],
    ids=["cond", "while_loop"],
)
def test_control_flow_has_gradients(function: Callable[[Tensor], Tensor]) -> None:
    model, x = wrap(answering(function)), as_unit_float(IMAGES)
    logits, pullback = model.vjp(x)
    np.testing.assert_allclose(logits, 8 * x.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(pullback(np.ones_like(logits)), np.full_like(x, 8 / 64), rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda mean: mean[:, :, None], r"6 images with one tensor of shape \(6, classes\); found \(6, 3, 1\)"),
        (lambda mean: mean[:1], r"shape \(6, classes\); found \(1, 3\)"),
        (lambda mean: tf.reshape(mean, (-1, 9)), r"found \(2, 9\)"),
        (lambda mean: tf.reshape(mean, (-1, 7)), "TensorFlow cannot run or differentiate the model"),
        (tf.zeros_like, "does not depend on the input"),
        (tf.stop_gradient, "does not depend on the input"),
        (lambda mean: tf.one_hot(tf.argmax(mean, 1), 3), "does not depend on the input"),
    ],
)
def test_wrong_answers_are_described(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        wrap(answering(function)).vjp(as_unit_float(IMAGES))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [lambda mean: mean[:1], lambda mean: tf.reshape(mean, (-1, 9))])
def test_a_model_that_answers_fewer_rows_is_refused_by_predict_too(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ModelError, match="must answer 6 images"):
        wrap(answering(function)).predict(IMAGES)


def test_wrong_images_are_refused_as_the_core_refuses_them() -> None:
    with pytest.raises(ContractError, match="Name a resize rule"):
        wrap(convnet(0), NHWC.replace(size=(4, 4))).predict(IMAGES)
    with pytest.raises(ContractError, match=r"takes images of shape \(8, 8, 3\) and its contract makes \(11, 9, 3\)"):
        wrap(convnet(0)).predict(OTHER_SIZE)
    wrong: Any = IMAGES.astype(np.float64)
    with pytest.raises(DataError, match="uint8, or float32"):
        wrap(convnet(0)).predict(wrong)


def test_a_class_map_of_another_length_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(6, 4\); found \(6, 5\)"):
        wrap(convnet(0), NHWC.replace(classes=(0, 1, 2, 3))).predict(IMAGES)


def test_a_cotangent_of_another_shape_is_refused() -> None:
    _, pullback = wrap(convnet(0)).vjp(as_unit_float(IMAGES))
    with pytest.raises(ModelError, match=r"shape \(6, 5\); found \(5, 6\)"):
        pullback(np.zeros((5, 6), np.float32))


@pytest.mark.parametrize("device", ["cuda:7", "cuda:x", "nonsense"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ModelError, match=f"cannot use the device '{device}'") as caught:
        TensorflowModel.from_keras(convnet(0), contract=NHWC, device=device)
    assert "\n" not in str(caught.value)


def test_the_name_of_the_input_is_checked() -> None:
    wrap(convnet(0), NHWC.replace(input="images"))
    with pytest.raises(ContractError, match="input is 'pixels'; the model's is 'images'"):
        wrap(convnet(0), NHWC.replace(input="pixels"))


def test_large_batches_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cae_backends.batches._IMAGES", 4)
    model = wrap(convnet(0))
    sizes: list[int] = []
    whole = model.predict(IMAGES[:4]), model.predict(IMAGES[4:])
    upload = model._upload

    def note(images: Images) -> Tensor:
        sizes.append(len(images))
        return upload(images)

    monkeypatch.setattr(model, "_upload", note)
    labels = model.predict(np.concatenate([IMAGES, IMAGES[:4]])).labels
    assert sizes == [4, 4, 2]
    np.testing.assert_array_equal(labels, np.concatenate([whole[0].labels, whole[1].labels, labels[-4:]]))


class Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage()[:200])


def test_a_pool_of_models_is_no_reason_for_a_warning() -> None:
    """TensorFlow takes several models for one that is traced again and again, and prints their graphs."""
    handler = Listener()
    logging.getLogger("tensorflow").addHandler(handler)
    try:
        for seed in range(7):
            model = wrap(convnet(seed))
            model.predict(IMAGES)
            logits, pullback = model.vjp(as_unit_float(IMAGES))
            pullback(logits)
    finally:
        logging.getLogger("tensorflow").removeHandler(handler)
    assert not handler.heard


def test_a_pool_of_two_frameworks() -> None:
    def convolution(seed: int) -> TorchModel:
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        return TorchModel(net, contract=NHWC.replace(layout="NCHW"), device="cpu")

    members: list[DifferentiableModel] = [
        wrap(convnet(5)),
        convolution(0),
        convolution(1),
        wrap(convnet(6, end="softmax"), TOLD),
    ]
    check_ensemble(build_ensemble(members), members, IMAGES)


def reshaped(told: Tensor) -> Tensor:
    return keras.layers.Reshape((5,))(told)


def flattened(told: Tensor) -> Tensor:
    return keras.layers.Flatten()(keras.layers.Reshape((5, 1))(told))


def squeezed(told: Tensor) -> Tensor:
    return keras.ops.squeeze(keras.ops.expand_dims(told, 2), 2)


def in_half_precision(told: Tensor) -> Tensor:
    return keras.ops.cast(keras.ops.cast(told, "float16"), "float32")


def scaled(told: Tensor) -> Tensor:
    return told * 1.0


def smoothed(told: Tensor) -> Tensor:
    return 0.9 * told + 0.02


def clipped(told: Tensor) -> Tensor:
    return keras.ops.clip(told, 1e-7, 1.0)


def dropped(told: Tensor) -> Tensor:
    return keras.layers.Dropout(0.5)(told)


def stopped(told: Tensor) -> Tensor:
    return keras.ops.stop_gradient(told)


def reordered(told: Tensor) -> Tensor:
    return keras.ops.take(told, [4, 3, 2, 1, 0], axis=1)


@pytest.mark.parametrize(
    "end",
    [
        reshaped,
        flattened,
        squeezed,
        in_half_precision,
        scaled,
        smoothed,
        clipped,
        dropped,
        stopped,
        reordered,
    ],
)
def test_a_softmax_is_seen_through_what_follows_it(end: Callable[[Tensor], Tensor]) -> None:
    network = convnet(0, end="softmax")
    ended = keras.Model(network.inputs, end(network.outputs[0]))
    with pytest.raises(ContractError, match="the model ends in a softmax"):
        wrap(ended)
    np.testing.assert_allclose(told_by(wrap(ended, TOLD)).sum(1), 1, atol=0.01)
    bare = convnet(0)
    check_model(wrap(keras.Model(bare.inputs, end(bare.outputs[0]))), IMAGES, classes=5)


def test_scores_that_a_softmax_only_weighs_are_no_probabilities() -> None:
    layers, images = keras.layers, keras.Input((8, 8, 3))
    features = layers.GlobalAveragePooling2D()(images)
    gates = layers.Dense(5, activation="softmax")(features)
    scores = layers.Multiply()([gates, layers.Dense(5)(features)])
    check_model(wrap(keras.Model(images, scores)), IMAGES, classes=5)


AUGMENTING = (
    "RandomFlip",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomColorDegeneration",
    "RandomErasing",
    "MixUp",
    "CutMix",
)


@pytest.mark.parametrize("name", AUGMENTING)
def test_augmentation_changes_nothing_in_inference(name: str) -> None:
    options: dict[str, tuple[Any, ...]] = {"RandomPosterization": (4,)}
    plain = ("RandomFlip", "RandomGrayscale", "RandomInvert", "RandomErasing", "MixUp", "CutMix")
    augmenting = getattr(keras.layers, name)(*options.get(name, () if name in plain else (0.3,)))
    network = keras.Sequential([keras.Input((8, 8, 3)), augmenting, *convnet(0).layers])
    x = as_unit_float(IMAGES)
    logits, pullback = wrap(network).vjp(x)
    v = upstream_for(logits)
    expected, gradient = tape_vjp(network, x, v)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(pullback(v), gradient, atol=1e-5 * max(1.0, float(np.abs(gradient).max())))


@keras.saving.register_keras_serializable("tests.model")
class Counting(Layer):  # type: ignore[misc] # Keras is untyped
    """Counts its calls, and answers by the count where it is told to."""

    def __init__(self, *, by_the_count: bool) -> None:
        super().__init__()
        self._by_the_count = by_the_count
        self.calls = self.add_weight(shape=(), name="calls", initializer="zeros", trainable=False)

    def call(self, x: Tensor) -> Tensor:
        self.calls.assign(self.calls + 1.0)
        return x * self.calls if self._by_the_count else x


def test_a_layer_that_counts_its_calls() -> None:
    counting = keras.Sequential([keras.Input((8, 8, 3)), Counting(by_the_count=False), *convnet(0).layers])
    expected = convnet(0)(as_unit_float(IMAGES), training=False).numpy()
    np.testing.assert_allclose(wrap(counting).vjp(as_unit_float(IMAGES))[0], expected, atol=1e-6)
    deciding = keras.Sequential([keras.Input((8, 8, 3)), Counting(by_the_count=True), *convnet(0).layers])
    with pytest.raises(ModelError, match="changes at every call"):
        wrap(deciding)


RECURRENT: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: keras.layers.LSTM(4),
    "GRU": lambda: keras.layers.GRU(4),
    "SimpleRNN": lambda: keras.layers.SimpleRNN(4),
    "bidirectional": lambda: keras.layers.Bidirectional(keras.layers.GRU(4)),
    "unrolled": lambda: keras.layers.LSTM(4, unroll=True),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_gradients_through_time(name: str) -> None:
    images = keras.Input((8, 8, 3))
    rows = keras.layers.Reshape((8, 24))(images)
    network = keras.Model(images, keras.layers.Dense(5)(RECURRENT[name]()(rows)))
    x = as_unit_float(IMAGES)
    logits, pullback = wrap(network).vjp(x)
    v = upstream_for(logits)
    expected, gradient = tape_vjp(network, x, v)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(pullback(v), gradient, atol=1e-6)


def test_gradients_through_a_recurrent_convolution() -> None:
    images = keras.Input((8, 8, 3))
    network = keras.Model(images, keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.ConvLSTM1D(2, 3)(images))))
    check_differentiable(wrap(network), IMAGES)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method", "ignore:__array__ implementation")
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantised_models(mode: str) -> None:
    """Rounded features have no gradient; rounded weights are weights like others."""
    model = convnet(0)
    model.quantize(mode)
    wrapped = wrap(model)
    np.testing.assert_allclose(told_by(wrapped), tf.nn.softmax(model(as_unit_float(IMAGES))), atol=1e-5)
    if mode == "int8":
        with pytest.raises(ModelError, match="computes in 8-bit integers"):
            wrapped.vjp(as_unit_float(IMAGES))
    else:
        check_differentiable(wrapped, IMAGES)
