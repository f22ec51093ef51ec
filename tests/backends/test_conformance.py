"""Every backend passes the public conformance suite on the same network; one that is missing fails, never skipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.native_output import without_stderr
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_converters.torch_to_onnx import export_torch
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.loaders import Loader, installed_loaders
from cae_core.models import DifferentiableModel, Model
from cae_core.testing import check_differentiable, check_model
from tests.backends.keras_nets import saving

keras = load_keras()

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
CONTRACTS = {
    "logits": Contract(layout="NCHW", range=(0.0, 1.0), output="logits"),
    "normalised": Contract(layout="NCHW", range=(0.0, 255.0), output="logits", mean=(120.0,), std=(60.0,)),
    "permuted": Contract(layout="NCHW", range=(-1.0, 1.0), output="logits", channels="BGR", classes=(4, 2, 0, 1, 3)),
    "resized": Contract(layout="NCHW", range=(0.0, 1.0), output="logits", size=(8, 8), resize="bilinear"),
}


def images_for(contract: Contract) -> NDArray[np.uint8]:
    """Return images of another size than the model's where the contract resizes them."""
    return IMAGES if contract.resize is None else np.ascontiguousarray(IMAGES[:, :6, :7])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("conformance") / "net.onnx"
    export_torch(network_in_torch(), path, contract=CONTRACTS["logits"], image_shape=(8, 8, 3))
    return path


@pytest.fixture(scope="module")
def keras_file(file: Path) -> Path:
    """The same network in Keras, which takes the channels last; and converted to TFLite beside it."""
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(6, 3),
            layers.BatchNormalization(epsilon=1e-5),
            layers.Activation("tanh"),
            layers.AveragePooling2D(3),
            layers.Permute((3, 1, 2)),
            layers.Flatten(),
            layers.Dense(5),
        ]
    )
    weights = {name: value.detach().numpy() for name, value in network_in_torch().state_dict().items()}
    network.layers[0].set_weights([weights["0.weight"].transpose(2, 3, 1, 0), weights["0.bias"]])
    network.layers[1].set_weights([weights[f"1.{name}"] for name in ("weight", "bias", "running_mean", "running_var")])
    network.layers[-1].set_weights([weights["5.weight"].T, weights["5.bias"]])
    path = file.with_suffix(".keras")
    with saving():
        network.save(path)
    with without_stderr():  # the converter tells on stderr what it does
        network.export(path.with_suffix(""), verbose=False)
        converter = load_tensorflow().lite.TFLiteConverter.from_saved_model(str(path.with_suffix("")))
        path.with_suffix(".tflite").write_bytes(converter.convert())
    return path


def network_in_torch() -> nn.Sequential:
    torch.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
    )
    for value in net.buffers():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5)
    return net.eval()


BACKENDS = ["onnxruntime", "tensorflow", "tflite", "torch"]
WITHOUT_FILES = ["own code", "services"]
"""They have no file of the network that the others open, and tests of their own."""


def test_every_backend_is_installed() -> None:
    assert sorted(loader.name for loader in installed_loaders()) == sorted(BACKENDS + WITHOUT_FILES)


def open_with(backend: str, file: Path, keras_file: Path, contract: Contract) -> tuple[Loader, Model]:
    (loader,) = (loader for loader in installed_loaders() if loader.name == backend)
    if backend in ("tensorflow", "tflite"):
        path = keras_file.with_suffix(".keras" if backend == "tensorflow" else ".tflite")
        return loader, loader.open(str(path), contract=contract.replace(layout="NHWC"), device="cpu")
    return loader, loader.open(str(file), contract=contract, device="cpu")


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_keeps_its_promises(file: Path, keras_file: Path, backend: str, contract: Contract) -> None:
    loader, model = open_with(backend, file, keras_file, contract)
    images = images_for(contract)
    check_model(model, images, classes=5)
    assert isinstance(model, DifferentiableModel) == loader.gradients
    if isinstance(model, DifferentiableModel):
        check_differentiable(model, images)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_the_backends_agree(file: Path, keras_file: Path, contract: Contract) -> None:
    models = [open_with(backend, file, keras_file, contract)[1] for backend in BACKENDS]
    answers = [model.predict(images_for(contract)) for model in models]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.labels, answers[0].labels)
        assert answer.probabilities is not None
        assert answers[0].probabilities is not None
        np.testing.assert_allclose(answer.probabilities, answers[0].probabilities, atol=1e-5)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_the_gradients_agree(file: Path, keras_file: Path, contract: Contract) -> None:
    x = as_unit_float(images_for(contract))
    models = [open_with(backend, file, keras_file, contract)[1] for backend in ("tensorflow", "torch")]
    (logits, pull), (others, pull_other) = (model.vjp(x) for model in models if isinstance(model, DifferentiableModel))
    np.testing.assert_allclose(logits, others, atol=1e-5)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(pull(v), pull_other(v), rtol=1e-4, atol=1e-5)
