"""The report's models: their published sizes, the same numbers from the same weights, and what they cannot be."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.architectures import REPORT_ARCHITECTURES, ImageShape
from cae_backends.architectures.report_keras import build_keras
from cae_backends.architectures.report_torch import build_torch
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.errors import OptionError
from tests.backends.resnet20_transfer import keras_to_torch_resnet20

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE, CLASSES = (32, 32, 3), 7
RESNET20_SHAPES = [(32, 32, 3), (9, 14, 1), (8, 8, 1)]
PUBLISHED = REPORT_ARCHITECTURES[1:]  # with ImageNet weights
IMAGES: NDArray[np.float32] = np.random.default_rng(3).standard_normal((3, *SHAPE), np.float32)

# Each layer of the report's top, for 1024 inputs: 2 vectors of batch normalisation that are trained and 2 that are not,
# then kernel and bias.
TOP_DENSE = (1024 * 256 + 256) + (256 * 128 + 128) + (128 * 64 + 64)
TOP_NORM = 1024 + 256 + 128


@lru_cache
def keras_model(name: str) -> Any:  # noqa: ANN401 - Keras is untyped
    return build_keras(name, image_shape=SHAPE, classes=CLASSES, seed=1)


@lru_cache
def torch_model(name: str) -> nn.Module:
    return build_torch(name, image_shape=SHAPE, classes=CLASSES, seed=1).eval()


def ask_keras(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ANN401 - Keras is untyped
    return np.asarray(model(images, training=False))


def ask_keras_below_softmax(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:  # noqa: ANN401 - Keras is untyped
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    logits: NDArray[np.float32] = ask_keras(load_keras().Model(model.input, last.input), images) @ kernel + bias
    return logits


def ask_torch(model: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
    return logits


def counted(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def lively_resnet20(shape: ImageShape, seed: int = 5) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """Return a Keras ResNet20v1 with logits whose batch normalisation is not trivial, images, and an upstream gradient.

    The weights are numbers of float32, in whatever precision Keras is set to.
    """
    model = build_keras("resnet20v1", image_shape=shape, classes=CLASSES, seed=seed, logits=True)
    rng = np.random.default_rng(seed + 10)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    model.set_weights([weight.astype(np.float32) for weight in model.get_weights()])
    return model, rng.standard_normal((2, *shape)), rng.standard_normal((2, CLASSES))


@pytest.fixture
def float64() -> Iterator[None]:
    """Keras computes in double precision."""
    config = load_keras().config
    floats, policy = config.floatx(), config.dtype_policy()
    config.set_floatx("float64")
    config.set_dtype_policy("float64")
    yield
    config.set_floatx(floats)
    config.set_dtype_policy(policy)


def keras_gradient(
    model: Any,  # noqa: ANN401 - Keras is untyped
    images: NDArray[np.float64],
    upstream: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tf = load_tensorflow()
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model(x, training=False)
    return logits.numpy(), tape.gradient(logits, x, upstream).numpy()


def test_their_names_cost_no_framework() -> None:
    script = "import cae_backends.architectures, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "cae_backends.architectures" in loaded
    assert not {"torch", "torchvision", "triton", "tensorflow", "keras"} & set(loaded)


class TestParameterCounts:
    """The published counts are for 1000 classes: a classifier of f features has f * c weights and c biases."""

    def test_resnet20(self) -> None:
        model = build_keras("resnet20v1", image_shape=SHAPE, classes=10)
        trained = sum(value.numpy().size for value in model.trainable_weights)
        assert (model.count_params(), trained) == (274_442, 273_066)  # as the Keras example prints them
        assert counted(build_torch("resnet20v1", image_shape=SHAPE, classes=10)) == 273_066

    @pytest.mark.parametrize(
        ("name", "features", "published"),
        [("resnet50v1", 2048, 25_636_712), ("mobilenetv2", 1280, 3_538_984)],  # of keras.io/api/applications
    )
    def test_keras_applications(self, name: str, features: int, published: int) -> None:
        assert keras_model(name).count_params() == published - (features + 1) * (1000 - CLASSES)

    @pytest.mark.parametrize(
        ("name", "features", "published"), [("resnet50v1", 2048, 25_557_032), ("mobilenetv2", 1280, 3_504_872)]
    )
    def test_torchvision(self, name: str, features: int, published: int) -> None:
        assert counted(torch_model(name)) == published - (features + 1) * (1000 - CLASSES)

    @pytest.mark.long
    def test_densenet_with_the_reports_top(self) -> None:
        """The published network without its classifier of 1024 features, the top, and the classifier of 64."""
        keras_base, torch_base = 8_062_504 - 1025 * 1000, 7_978_856 - 1025 * 1000
        classifier = 65 * CLASSES
        assert keras_model("densenet121-top").count_params() == keras_base + TOP_DENSE + 4 * TOP_NORM + classifier
        assert counted(torch_model("densenet121-top")) == torch_base + TOP_DENSE + 2 * TOP_NORM + classifier

    def test_the_published_counts_are_those_of_the_libraries(self) -> None:
        from torchvision import models

        meta = [models.get_model_weights(name)["IMAGENET1K_V1"].meta for name in ("resnet50", "mobilenet_v2")]
        meta.append(models.get_model_weights("densenet121")["IMAGENET1K_V1"].meta)
        assert [entry["num_params"] for entry in meta] == [25_557_032, 3_504_872, 7_978_856]
        whole = load_keras().applications.MobileNetV2(weights=None)
        assert whole.count_params() == 3_538_984


class TestAnswers:
    @pytest.mark.parametrize("name", REPORT_ARCHITECTURES)
    def test_keras_gives_probabilities(self, name: str) -> None:
        p = ask_keras(keras_model(name), IMAGES)
        assert p.shape == (3, CLASSES)
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)

    @pytest.mark.parametrize("name", REPORT_ARCHITECTURES)
    @pytest.mark.parametrize("framework", ["keras", "torch"])
    def test_an_image_is_answered_for_itself(self, name: str, framework: str) -> None:
        """Fresh weights answer as little as 1e-10; so everything is measured by the answers' own size."""
        keras = framework == "keras"

        def ask(images: NDArray[np.float32]) -> NDArray[np.float32]:
            return ask_keras_below_softmax(keras_model(name), images) if keras else ask_torch(torch_model(name), images)

        together = ask(IMAGES)
        size = np.abs(together).max()
        assert together.shape == (3, CLASSES)
        assert np.ptp(together, axis=0).max() > 0.01 * size
        np.testing.assert_allclose(ask(IMAGES[1:2]), together[1:2], rtol=0, atol=1e-4 * size)

    def test_logits_are_those_of_the_probabilities(self) -> None:
        logits = build_keras("resnet20v1", image_shape=SHAPE, classes=CLASSES, seed=1, logits=True)
        z = torch.tensor(ask_keras(logits, IMAGES))
        np.testing.assert_allclose(z.softmax(1), ask_keras(keras_model("resnet20v1"), IMAGES), rtol=1e-4)

    @pytest.mark.parametrize("name", ["resnet20v1", "mobilenetv2"])
    def test_keras_takes_grey_images(self, name: str) -> None:
        model = build_keras(name, image_shape=(32, 32, 1), classes=2, seed=1)
        assert ask_keras(model, IMAGES[..., :1]).shape == (3, 2)

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_torch_answers_grey_images_as_three_equal_channels(self, name: str) -> None:
        model = build_torch(name, image_shape=(32, 32, 1), classes=CLASSES, seed=1).eval()
        grey = IMAGES[..., :1]
        expected = ask_torch(torch_model(name), grey.repeat(3, axis=3))
        np.testing.assert_allclose(ask_torch(model, grey), expected, rtol=0, atol=1e-4 * np.abs(expected).max())

    @pytest.mark.parametrize("size", [(32, 32), (63, 65), (67, 40)])
    def test_the_pooling_below_the_top_takes_the_whole_image(self, size: tuple[int, int]) -> None:
        model = build_torch("densenet121-top", image_shape=(*size, 3), classes=CLASSES, seed=1).eval()
        assert isinstance(model, nn.Sequential)
        x = torch.rand(1, 3, *size)
        features = model[0](x)
        assert model(x).shape == (1, CLASSES)
        torch.testing.assert_close(model[1:4](features), features.relu().amax((2, 3)))

    def test_the_top_is_the_reports(self) -> None:
        keras = [type(layer).__name__ for layer in keras_model("densenet121-top").layers[-11:]]
        assert keras == ["GlobalMaxPooling2D", *3 * ["BatchNormalization", "Dense", "Dropout"], "Dense"]
        top = torch_model("densenet121-top")
        assert isinstance(top, nn.Sequential)
        assert [layer.p for layer in top if isinstance(layer, nn.Dropout)] == [0.3, 0.3, 0.3]
        assert [layer.out_features for layer in top if isinstance(layer, nn.Linear)] == [256, 128, 64, CLASSES]


class TestSeeds:
    @pytest.mark.parametrize("name", ["resnet20v1", "mobilenetv2"])
    def test_keras(self, name: str) -> None:
        state = random.getstate()
        again, other = (build_keras(name, image_shape=SHAPE, classes=CLASSES, seed=seed) for seed in (1, 2))
        assert random.getstate() == state
        pairs = zip(keras_model(name).get_weights(), again.get_weights(), other.get_weights(), strict=True)
        kernels = [triple for triple in pairs if triple[0].ndim > 1]
        assert all(np.array_equal(a, b) and not np.array_equal(a, c) for a, b, c in kernels)

    @pytest.mark.parametrize("name", REPORT_ARCHITECTURES)
    def test_torch(self, name: str) -> None:
        state = torch.random.get_rng_state()
        again, other = (build_torch(name, image_shape=SHAPE, classes=CLASSES, seed=seed) for seed in (1, 2))
        assert torch.equal(torch.random.get_rng_state(), state)
        triples = zip(torch_model(name).parameters(), again.parameters(), other.parameters(), strict=True)
        kernels = [triple for triple in triples if triple[0].ndim > 1]
        assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in kernels)

    def test_without_one_no_two_are_alike(self) -> None:
        keras = [build_keras("resnet20v1", image_shape=SHAPE, classes=2).get_weights()[0] for _ in range(2)]
        assert not np.array_equal(*keras)
        modules = [build_torch("resnet20v1", image_shape=SHAPE, classes=2) for _ in range(2)]
        assert not torch.equal(*(next(module.parameters()) for module in modules))


class TestResNet20:
    def test_layers_are_those_of_the_example(self) -> None:
        model = keras_model("resnet20v1")
        kinds = [type(layer).__name__ for layer in model.layers]
        counts = {kind: kinds.count(kind) for kind in ("Conv2D", "BatchNormalization", "Add", "Dense")}
        assert counts == {"Conv2D": 21, "BatchNormalization": 19, "Add": 9, "Dense": 1}  # 2 of the 21 are shortcuts
        assert len(model.losses) == 21  # each convolution's kernel decays
        assert model.get_layer("pool").pool_size == (8, 8)

    def test_initial_weights_spread_alike(self) -> None:
        kernel = keras_model("resnet20v1").get_layer("stage3_block3_conv2").get_weights()[0]
        weight = torch_model("resnet20v1").get_parameter("stage3_block3.conv2.weight").detach()
        for values in (kernel, weight.numpy()):
            assert values.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.02)
            assert abs(values).max() < 2.3 * values.std()  # cut off at two deviations of what is then narrowed

    @pytest.mark.parametrize("shape", RESNET20_SHAPES)
    def test_same_weights_same_answers(self, shape: ImageShape) -> None:
        model, images, _ = lively_resnet20(shape)
        z = ask_keras(model, images.astype(np.float32))
        module = keras_to_torch_resnet20(model)
        np.testing.assert_allclose(ask_torch(module, images.astype(np.float32)), z, rtol=1e-4, atol=1e-4)

    @pytest.mark.usefixtures("float64")
    @pytest.mark.parametrize("shape", RESNET20_SHAPES)
    def test_same_weights_same_gradients(self, shape: ImageShape) -> None:
        """In float64: in float32 a unit within rounding of zero may be on in one framework and off in the other."""
        model, images, upstream = lively_resnet20(shape)
        expected, gradient = keras_gradient(model, images, upstream)
        x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
        logits = keras_to_torch_resnet20(model).double()(x)
        (pulled,) = torch.autograd.grad(logits, x, torch.tensor(upstream))
        np.testing.assert_allclose(logits.detach(), expected, rtol=1e-9)
        found = pulled.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("build", [build_keras, build_torch])
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("vgg", {}, "Unknown architecture 'vgg'; known are resnet20v1"),
        ("mobilenetv2", {"image_shape": (28, 28, 1)}, r"from \(32, 32\) on with 1 or 3 channels; found \(28, 28, 1\)"),
        ("densenet121-top", {"image_shape": (32, 31, 3)}, "found"),
        ("resnet50v1", {"image_shape": (3, 32, 32)}, "found"),
        ("resnet20v1", {"image_shape": (32, 32, 2)}, "1 or 3 channels"),
        ("resnet20v1", {"image_shape": (7, 32, 3)}, r"from \(8, 8\)"),
        ("resnet20v1", {"image_shape": (32, 32)}, "found"),
        ("resnet20v1", {"classes": 1}, "at least 2 classes; found 1"),
        ("resnet20v1", {"weights": "imagenet"}, "Nobody has published"),
        ("resnet50v1", {"weights": "imagenet21k"}, "None, \"imagenet\" or the Path of a file; found 'imagenet21k'"),
        ("resnet50v1", {"weights": "imagenet", "image_shape": (32, 32, 1)}, "3 channels; found 1"),
        ("resnet50v1", {"weights": Path("x.h5"), "image_shape": (32, 32, 1)}, "3 channels; found 1"),
    ],
)
def test_refuses(build: Callable[..., object], name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build(name, **{"image_shape": SHAPE, "classes": CLASSES} | changes)
