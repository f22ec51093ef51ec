import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cae_backends.onnxruntime import LOADER
from cae_converters import onnx_file, torch_to_onnx
from cae_converters.torch_to_onnx import TOLERANCE, export_torch
from cae_core.contract import Contract
from cae_core.errors import CaeError, ContractError, ModelError, StorageError

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="RGB")
SHAPE = (8, 8, 3)


class Small(nn.Module):
    """Normalisation inside, batch norm, dropout, and a global mean: what classifiers are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv((x - 0.5) / 0.25)))
        scores: torch.Tensor = self.head(self.drop(x.mean((2, 3))))
        return scores


class Written(nn.Module):
    """The traced batch size is written into the graph."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] * int(x.shape[0])


class Foreign(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        eigenvalues: torch.Tensor = torch.linalg.eigvals(x[:, 0, :3, :3])
        return eigenvalues.real


def small() -> Small:
    torch.manual_seed(5)
    module = Small()
    module(torch.randn(64, 3, 8, 8))  # moves the running statistics of the batch norm
    return module


def refused(kind: type[CaeError], module: nn.Module, path: Path, contract: Contract = CONTRACT) -> str:
    with pytest.raises(kind) as caught:
        export_torch(module, path, contract=contract, image_shape=SHAPE)
    assert "\n" not in str(caught.value)
    assert sorted(x for x in path.parent.iterdir() if x != path) == []
    return str(caught.value)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Small, Path, float]:
    module, path = small(), tmp_path_factory.mktemp("export") / "m.onnx"
    return module, path, export_torch(module, path, contract=CONTRACT, image_shape=SHAPE)


def test_the_file_answers_as_the_module_does(exported: tuple[Small, Path, float]) -> None:
    module, path, difference = exported
    assert 0 <= difference < TOLERANCE
    images = np.random.default_rng(1).integers(0, 256, (13, *SHAPE), np.uint8)
    model = LOADER.open(str(path), contract=None, device="cpu")
    assert model.contract == CONTRACT
    assert module.training
    module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(CONTRACT.to_input(images))).softmax(1).numpy()
    module.train()
    found = model.predict(images).probabilities
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std(axis=0).max() > 1e-3  # the images do tell the classes apart


def test_it_is_one_file_with_its_contract_and_nothing_of_the_machine(exported: tuple[Small, Path, float]) -> None:
    _, path, _ = exported
    assert list(path.parent.iterdir()) == [path]
    content = path.read_bytes()
    proto = onnx.load(path)
    assert {p.key: p.value for p in proto.metadata_props} == {
        "cae.layout": "NCHW",
        "cae.range": "0..1",
        "cae.output": "logits",
        "cae.channels": "RGB",
        "cae.dtype": "float32",
    }
    for trace in (b"stack_trace", b"site-packages", b".py", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
        assert trace not in content
    assert [x.domain for x in proto.opset_import] == [""]
    assert proto.opset_import[0].version == 18
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert path.stat().st_mode & 0o777 != 0o600  # as any new file, not as a temporary one


def test_the_same_module_gives_the_same_bytes(exported: tuple[Small, Path, float], tmp_path: Path) -> None:
    _, path, _ = exported
    export_torch(small(), tmp_path / "again.onnx", contract=CONTRACT, image_shape=SHAPE)
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_it_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    labels = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    export_torch(labels, tmp_path / "m.onnx", contract=CONTRACT, image_shape=SHAPE)
    assert capfd.readouterr() == ("", "")
    assert [x for x in caplog.records if x.levelno >= logging.WARNING] == []


def test_labels_and_other_layouts_are_exported(tmp_path: Path) -> None:
    class Labels(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.argmax(x.mean((1, 2)), 1)

    contract = Contract(layout="NHWC", range=(0.0, 255.0), output="labels", channels="BGR")
    assert export_torch(Labels(), tmp_path / "m.onnx", contract=contract, image_shape=SHAPE) == 0
    images = np.zeros((3, *SHAPE), np.uint8)
    images[np.arange(3), ..., np.arange(3)] = 200
    found = LOADER.open(str(tmp_path / "m.onnx"), contract=None, device="cpu").predict(images)
    np.testing.assert_array_equal(found.labels, [2, 1, 0])
    assert found.probabilities is None


def test_a_difference_is_refused_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"the old file")
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    real = torch_to_onnx._difference
    monkeypatch.setattr(torch_to_onnx, "_difference", lambda *args: real(*args) + 0.01)
    assert "differs from the torch module by 0.01" in refused(ModelError, linear, path)
    monkeypatch.setattr(torch_to_onnx, "_difference", lambda *_: float("nan"))
    assert "by nan" in refused(ModelError, linear, path)
    assert path.read_bytes() == b"the old file"


def test_a_batch_size_in_the_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = torch.onnx.export

    def fixed(*args: object, **options: object) -> object:
        return real(*args, **{**options, "dynamic_shapes": None})

    monkeypatch.setattr(torch.onnx, "export", fixed)
    assert "does not run on 1 images" in refused(ModelError, Written(), tmp_path / "m.onnx")


def test_modules_that_cannot_be_exported_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert "torch cannot export Foreign" in refused(ModelError, Foreign(), path)
    assert "cannot be run on a batch of shape (1, 3, 8, 8)" in refused(ModelError, nn.Linear(5, 2), path)
    assert "found (1, 3, 8, 8)" in refused(ModelError, nn.ReLU(), path)
    assert not path.exists()


def test_contracts_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    image = CONTRACT.replace(mean_image=np.zeros((8, 8, 3), np.float32))
    assert "mean image" in refused(ContractError, small(), tmp_path / "m.onnx", image)
    refused(ContractError, small(), tmp_path / "m.onnx", CONTRACT.replace(channels="GRAY"))


def test_a_place_that_is_no_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with (
        pytest.raises(StorageError, match="cannot be written"),
        onnx_file.checked_file(tmp_path / "no" / "m.onnx", onnx.ModelProto()),
    ):
        pytest.fail("nothing was written")
