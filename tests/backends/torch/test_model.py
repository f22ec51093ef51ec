"""Torch models: the contract in the graph is the core's, gradients are right, and what cannot work is said."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cae_backends.torch import LOADER
from cae_backends.torch.model import TorchModel
from cae_backends.torch.network import ContractInput
from cae_core.arrays import Floats32
from cae_core.contract import Contract
from cae_core.errors import BackendMissing, ContractError, DataError, ModelError
from cae_core.models import DifferentiableModel, GroupableModel
from cae_core.testing import check_differentiable, check_model

pytestmark = pytest.mark.usefixtures("one_thread")

NCHW = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
IMAGES: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def convnet(seed: int, classes: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, classes),
    )
    for value in net.buffers():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5)
    return net


class Answers(nn.Module):
    """Answers a function of the mean colour, (n, 3)."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x.mean((2, 3)))


def as_float(images: NDArray[np.uint8]) -> Floats32:
    return images.astype(np.float32) / np.float32(255)


CONTRACTS = {
    "plain": NCHW,
    "channels last": Contract(layout="NHWC", range=(0.0, 1.0), output="logits"),
    "bgr, mean, std": NCHW.replace(
        channels="BGR", range=(0.0, 255.0), mean=(103.0, 116.0, 123.0), std=(58.0, 57.0, 60.0)
    ),
    "resized": NCHW.replace(size=(8, 8), resize="bilinear-antialias", range=(-1.0, 1.0)),
    "mean image": NCHW.replace(
        channels="RGB", mean_image=np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3), std=(0.5,)
    ),
    "class map": NCHW.replace(classes=(3, -1, 0, 2, 1)),
    "flat": NCHW.replace(layout="FLAT", range=(-1.0, 1.0)),
    "flat, channels first": NCHW.replace(layout="FLAT_NCHW", mean=(0.4, 0.5, 0.6)),
}


class ChannelsLast(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> object:
        return self.module(x.reshape(-1, 8, 8, 3).permute(0, 3, 1, 2))


class Unflat(ChannelsLast):
    def forward(self, x: Tensor) -> object:
        return self.module(x.reshape(-1, 3, 8, 8))


TAKEN: dict[str, Callable[[nn.Module], nn.Module]] = {
    "NCHW": lambda net: net,
    "NHWC": ChannelsLast,
    "FLAT": ChannelsLast,
    "FLAT_NCHW": Unflat,
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_conformance(name: str) -> None:
    contract = CONTRACTS[name]
    net = convnet(0)
    model = TorchModel(TAKEN[contract.layout](net), contract=contract, device="cpu")
    images = np.random.default_rng(1).integers(0, 256, (5, 11, 9, 3), dtype=np.uint8) if contract.resize else IMAGES
    assert isinstance(model, DifferentiableModel)
    assert isinstance(model, GroupableModel)
    check_model(model, images, classes=4 if contract.classes else 5)
    check_differentiable(model, images)


def accepts(contract: Contract, shape: tuple[int, int, int]) -> bool:
    try:
        contract.to_input(np.zeros((1, *shape), np.float32))
    except (ContractError, ValueError):  # ValueError: a mean image of another shape
        return False
    return True


SHAPES = [(8, 8, 3), (12, 5, 3), (8, 8, 1), (3, 17, 1)]
FITTING = [(name, shape) for name, contract in CONTRACTS.items() for shape in SHAPES if accepts(contract, shape)]


@pytest.mark.parametrize(("name", "shape"), FITTING)
def test_the_contract_agrees_with_the_core(name: str, shape: tuple[int, int, int]) -> None:
    contract = CONTRACTS[name]
    x = np.random.default_rng(2).random((3, *shape), np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    tensor = ContractInput(contract)(leaf)
    np.testing.assert_allclose(tensor.detach().numpy(), contract.to_input(x), rtol=1e-5, atol=1e-5)
    v = np.random.default_rng(3).standard_normal(tensor.shape).astype(np.float32)
    (gradient,) = torch.autograd.grad(tensor, leaf, torch.tensor(v))
    np.testing.assert_allclose(gradient.numpy(), contract.pull_back(v, x.shape), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_quantised_models_get_the_numbers_of_the_core(dtype: Literal["uint8", "int8", "int32"]) -> None:
    contract = Contract(layout="HW", range=(0.0, 1.0), output="logits", dtype=dtype, scale=1 / 200, zero_point=-3 % 128)
    grey = np.ascontiguousarray(as_float(IMAGES)[..., :1])
    tensor = ContractInput(contract)(torch.tensor(grey)).numpy()
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor, contract.to_input(grey))


def test_uint8_models_get_the_pixels_and_have_no_gradient() -> None:
    contract = Contract(layout="NCHW", range=(0.0, 255.0), output="logits", dtype="uint8")
    model = TorchModel(Answers(lambda mean: mean), contract=contract, device="cpu")
    tensor = ContractInput(contract)(torch.tensor(as_float(IMAGES))).numpy()
    np.testing.assert_array_equal(tensor, IMAGES.transpose(0, 3, 1, 2))
    with pytest.raises(ModelError, match="takes uint8 has no gradient"):
        model.vjp(as_float(IMAGES))


def test_the_callers_module_is_untouched() -> None:
    net = convnet(0).train()
    TorchModel(net, contract=NCHW, device="cpu").vjp(as_float(IMAGES))
    assert net.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_gradients_are_there_under_no_grad() -> None:
    model = TorchModel(convnet(0), contract=NCHW, device="cpu")
    with torch.no_grad():
        logits, pullback = model.vjp(as_float(IMAGES))
        assert np.abs(pullback(np.ones_like(logits))).max() > 0


def test_log_probabilities_have_the_gradients_of_the_logits() -> None:
    """The softmax's own logits differ by a constant per image, so pullbacks of vectors that sum to 0 agree."""
    logits = TorchModel(convnet(0), contract=NCHW, device="cpu")
    told = TorchModel(
        nn.Sequential(convnet(0), nn.Softmax(1)), contract=NCHW.replace(output="probabilities"), device="cpu"
    )
    (z, pull), (log_p, pull_told) = logits.vjp(as_float(IMAGES)), told.vjp(as_float(IMAGES))
    np.testing.assert_allclose(log_p - log_p[:, :1], z - z[:, :1], atol=1e-5)
    v = np.random.default_rng(0).standard_normal(z.shape).astype(np.float32)
    v -= v.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(pull_told(v), pull(v), atol=1e-5)
    expected, found = logits.predict(IMAGES).probabilities, told.predict(IMAGES).probabilities
    assert expected is not None
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("sharpness", [1e4, 1e30])
def test_saturated_probabilities_stay_finite(sharpness: float) -> None:
    net = Answers(lambda mean: torch.softmax(mean * sharpness, 1))
    logits, pullback = TorchModel(net, contract=NCHW.replace(output="probabilities"), device="cpu").vjp(
        as_float(IMAGES)
    )
    assert np.isfinite(logits).all()
    if sharpness < 1e10:  # beyond, the product of gradients of such a softmax itself overflows
        assert np.isfinite(pullback(np.ones_like(logits))).all()


def test_rows_that_are_not_finite_are_no_answer() -> None:
    images = IMAGES.copy()
    images[1] = 255
    net = Answers(lambda mean: torch.where(mean.mean(1, keepdim=True) > 0.99, torch.nan, mean))
    labels = TorchModel(net, contract=NCHW, device="cpu").predict(images).labels
    assert labels[1] == -1
    assert (np.delete(labels, 1) >= 0).all()


def test_labels_only() -> None:
    model = TorchModel(Answers(lambda mean: mean.argmax(1)), contract=NCHW.replace(output="labels"), device="cpu")
    check_model(model, IMAGES, classes=3)
    with pytest.raises(ModelError, match="labels only has no gradient"):
        model.vjp(as_float(IMAGES))


def test_large_batches_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cae_backends.batches._IMAGES", 4)
    sizes: list[int] = []

    def note(mean: Tensor) -> Tensor:
        sizes.append(len(mean))
        return mean

    model = TorchModel(Answers(note), contract=NCHW, device="cpu")
    model.predict(np.zeros((10, 8, 8, 3), np.uint8))
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda mean: mean[:, :, None], "one tensor of shape"),
        (lambda mean: mean[:1], "one tensor of shape"),
        (lambda mean: [mean, mean], "found list"),
        (lambda mean: mean.reshape(-1, 7), "fails on its input of shape"),
        (lambda mean: mean.detach(), "does not depend on its input"),
    ],
)
def test_wrong_answers_are_described(answer: Callable[[Tensor], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TorchModel(Answers(answer), contract=NCHW, device="cpu").vjp(as_float(IMAGES[:5]))


def test_a_class_map_of_another_length_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(6, 4\); found shape \(6, 5\)"):
        TorchModel(convnet(0), contract=NCHW.replace(classes=(0, 1, 2, 3)), device="cpu").predict(IMAGES)


def test_wrong_images_are_refused_as_the_core_refuses_them() -> None:
    model = TorchModel(convnet(0), contract=NCHW.replace(size=(4, 4)), device="cpu")
    with pytest.raises(ContractError, match="Name a resize rule"):
        model.predict(IMAGES)
    wrong: Any = IMAGES.astype(np.float64)
    with pytest.raises(DataError, match="uint8, or float32"):
        model.predict(wrong)


def test_a_cotangent_of_another_shape_is_refused() -> None:
    _, pullback = TorchModel(convnet(0), contract=NCHW, device="cpu").vjp(as_float(IMAGES))
    with pytest.raises(ModelError, match=r"shape \(6, 5\); found \(5, 6\)"):
        pullback(np.zeros((5, 6), np.float32))


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ModelError, match="cannot use the device"):
        TorchModel(convnet(0), contract=NCHW, device=device)


def test_exported_programs(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    net = convnet(0).eval()
    dynamic = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=dynamic), path)
    with pytest.raises(ContractError, match=r"model\.toml"):
        LOADER.open(str(path), contract=None, device="cpu")
    (tmp_path / "model.toml").write_text('layout = "NCHW"\nrange = [0, 1]\noutput = "logits"\n')
    model = LOADER.open(str(path), contract=None, device="cpu")
    expected, _ = TorchModel(net, contract=NCHW, device="cpu").vjp(as_float(IMAGES))
    np.testing.assert_allclose(model.vjp(as_float(IMAGES))[0], expected, atol=1e-6)
    check_differentiable(model, IMAGES)
    path.write_bytes(b"not a program")
    with pytest.raises(ModelError, match=r"torch\.export\.save"):
        LOADER.open(str(path), contract=NCHW, device="cpu")


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_pickles_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ModelError, match="pickled torch files are not opened"):
        LOADER.open(str(tmp_path / f"model{suffix}"), contract=NCHW, device="cpu")


def test_a_missing_framework_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cae_backends.torch.find_spec", lambda name: None if name == "onnx2torch" else object())
    with pytest.raises(BackendMissing, match=r'needs onnx2torch: pip install "cae-fingerprint\[torch\]"'):
        LOADER.open("model.onnx", contract=NCHW, device="cpu")


def test_the_loader_does_not_import_torch() -> None:
    code = "import sys, cae_backends.torch as b; assert b.LOADER.gradients; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Payload:
    """What a hostile file would run when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("part", ["data/sample_inputs/model.pt", "data/weights/weight_0"])
def test_an_exported_program_that_pickles_code_runs_nothing(tmp_path: Path, part: str) -> None:
    honest, hostile, mark = tmp_path / "net.pt2", tmp_path / "bad.pt2", tmp_path / "was-run"
    torch.export.save(torch.export.export(convnet(0).eval(), (torch.zeros(2, 3, 8, 8),)), honest)
    buffer = io.BytesIO()
    torch.save(Payload(mark), buffer)
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(hostile, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(part):
                content = buffer.getvalue()
            if name.endswith("model_weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            target.writestr(name.replace("net/", "bad/", 1), content)
    with pytest.raises(ModelError, match=r"bad\.pt2"):
        LOADER.open(str(hostile), contract=NCHW, device="cpu")
    assert not mark.exists()
    torch.export.load(honest)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
