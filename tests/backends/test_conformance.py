"""Every backend passes the public conformance suite on the same file; one that is missing fails, it is not skipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.loaders import Loader, installed_loaders
from cae_core.models import DifferentiableModel
from cae_core.testing import check_differentiable, check_model

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
    torch.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
    )
    path = tmp_path_factory.mktemp("conformance") / "net.onnx"
    export_torch(net.eval(), path, contract=CONTRACTS["logits"], image_shape=(8, 8, 3))
    return path


def loaders() -> dict[str, Loader]:
    return {loader.name: loader for loader in installed_loaders() if ".onnx" in loader.suffixes}


def test_both_backends_are_installed() -> None:
    assert set(loaders()) == {"onnxruntime", "torch"}


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_backend_keeps_its_promises(file: Path, backend: str, contract: Contract) -> None:
    loader = loaders()[backend]
    model = loader.open(str(file), contract=contract, device="cpu")
    images = images_for(contract)
    check_model(model, images, classes=5)
    assert isinstance(model, DifferentiableModel) == loader.gradients
    if isinstance(model, DifferentiableModel):
        check_differentiable(model, images)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_the_backends_agree(file: Path, contract: Contract) -> None:
    models = [loader.open(str(file), contract=contract, device="cpu") for loader in loaders().values()]
    answers = [model.predict(images_for(contract)) for model in models]
    np.testing.assert_array_equal(answers[0].labels, answers[1].labels)
    assert answers[0].probabilities is not None
    assert answers[1].probabilities is not None
    np.testing.assert_allclose(answers[0].probabilities, answers[1].probabilities, atol=1e-5)
