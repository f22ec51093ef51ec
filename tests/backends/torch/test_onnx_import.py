"""ONNX files as white boxes: a model's way from torch and back, contracts, and what is refused."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from cae_backends.contract_files import find_contract
from cae_backends.torch import LOADER
from cae_backends.torch.model import TorchModel
from cae_backends.torch.onnx_import import convert_onnx, image_input, read_onnx
from cae_core.contract import Contract, metadata_of
from cae_core.errors import BackendMissing, ContractError, ModelError
from cae_core.models import DifferentiableModel
from cae_core.testing import check_differentiable, check_model
from tests.backends.onnx_cases import SHAPE, model_of, run_onnx, unary

pytestmark = pytest.mark.usefixtures("one_thread")

NCHW = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")


def test_an_unknown_operator_is_named_with_its_opset_and_node() -> None:
    node = helper.make_node("Hardmax", ["x"], ["y"], name="head/Hardmax")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, SHAPE)], [value("y", TensorProto.FLOAT, None)]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(ModelError, match=r"model\.onnx: operator Hardmax \(opset 17, node 'head/Hardmax'\) cannot"):
        convert_onnx(proto, origin="model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07\x12\x04test\x3a\xff"])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: this is not an ONNX model"):
        read_onnx(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_onnx(tmp_path / "model.onnx")


def test_several_inputs_are_refused() -> None:
    proto = model_of(unary("Relu"), 17)
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelError, match="one input; found x, mask"):
        image_input(proto, origin="model.onnx")


def test_an_onnx2torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(BackendMissing, match="onnx2torch cannot be imported"):
        convert_onnx(model_of(unary("Relu"), 17), origin="case")


class Residual(nn.Module):
    """What today's exporter writes for a residual block, a pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU())
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d((2, 2)), nn.Dropout(0.5), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.hardtanh(self.norm(self.stem(x)), -3, 3)
        x = self.drop(self.pool(x + self.body(x)))
        answer: torch.Tensor = self.head(x.reshape(x.shape[0], -1))
        return answer


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    path, net = tmp_path_factory.mktemp("onnx") / "net.onnx", Residual().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, of this version
        dynamic = ({0: torch.export.Dim("n")},)
        program = torch.onnx.export(net, (torch.zeros(2, 3, 8, 8),), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    assert program is not None
    program.save(str(path))
    return path, net


IMAGES: NDArray[np.uint8] = np.random.default_rng(4).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def white_box(path: Path, contract: Contract | None) -> DifferentiableModel:
    return LOADER.open(str(path), contract=contract, device="cpu")


def test_a_model_survives_the_way_through_onnx(exported: tuple[Path, nn.Module]) -> None:
    path, net = exported
    opened, original = white_box(path, NCHW), TorchModel(net, contract=NCHW, device="cpu")
    x = IMAGES.astype(np.float32) / np.float32(255)
    (logits, pullback), (expected, expected_pullback) = opened.vjp(x), original.vjp(x)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(logits, run_onnx(read_onnx(path), NCHW.to_input(x)), atol=1e-5)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(pullback(v), expected_pullback(v), atol=1e-5)
    check_model(opened, IMAGES, classes=5)
    check_differentiable(opened, IMAGES)


def test_no_contract_shows_what_to_write(exported: tuple[Path, nn.Module]) -> None:
    path, _ = exported
    with pytest.raises(ContractError) as caught:
        white_box(path, None)
    message = str(caught.value)
    assert "float32 with shape (n, 3, 8, 8)" in message
    assert 'layout = "NCHW"' in message
    example = path.parent / "example.toml"
    example.write_text(message.partition("\n\n")[2])
    assert find_contract(example.with_suffix(".onnx"), {}, [], None).size == (8, 8)


def test_the_order_of_contracts(tmp_path: Path) -> None:
    """The caller's, then the metadata's, then the sidecar's."""
    path = tmp_path / "model.onnx"
    metadata = metadata_of(NCHW)
    assert find_contract(path, metadata, [], None) == NCHW
    path.with_suffix(".toml").write_text('layout = "NHWC"\nrange = [0, 255]\noutput = "labels"\n')
    assert find_contract(path, metadata, [], None) == NCHW
    assert find_contract(path, {}, [], None).layout == "NHWC"
    assert find_contract(path, metadata, [], NCHW) is NCHW


@pytest.mark.parametrize(
    ("shape", "dtype", "lines"),
    [
        (["n", 32, 32, 3], "uint8", ['layout = "NHWC"', "range = [0, 255]", "size = [32, 32]", 'dtype = "uint8"']),
        ([None, 1, "h", "w"], "float32", ['layout = "NCHW"', "shape (?, 1, h, w)", "range = [0, 1]"]),
    ],
)
def test_the_example_fits_the_input(shape: list[int | str | None], dtype: str, lines: list[str]) -> None:
    with pytest.raises(ContractError) as caught:
        find_contract(Path("m.onnx"), {}, shape, None, dtype=dtype)
    assert all(line in str(caught.value) for line in lines)


def test_the_contract_module_imports_no_framework() -> None:
    code = "import sys, cae_backends.contract_files; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
