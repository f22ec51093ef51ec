"""Graphs that are filled in instead of traced: the same answers, the same bytes in any order, or no reuse at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cae_backends.architectures.small_torch import ARCHITECTURES, build
from cae_backends.onnxruntime import LOADER
from cae_converters import torch_graphs, torch_to_onnx
from cae_converters.torch_to_onnx import TOLERANCE, export_torch
from cae_core.contract import Contract

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY")
SHAPE = (16, 16, 1)


@pytest.fixture(autouse=True)
def _nothing_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_graphs, "_GRAPHS", {})


def network(name: str, seed: int) -> nn.Module:
    """A network whose batch norms have seen images."""
    module = build(name, image_shape=SHAPE, classes=10, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module(torch.rand(64, 1, 16, 16))
    return module.eval()


def written(module: nn.Module, path: Path) -> bytes:
    assert export_torch(module, path, contract=CONTRACT, image_shape=SHAPE, reuse_graph=True) <= TOLERANCE
    return path.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "cnn-small",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("resnet8-quarter", "mobile-quarter", "mlp")),
    ],
)
def test_one_trace_serves_all_weights(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    trace = torch_to_onnx.trace_torch

    def counted(*arguments: object) -> object:
        nonlocal count
        count += 1
        return trace(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(torch_to_onnx, "trace_torch", counted)
    one, two = network(name, 1), network(name, 2)
    first, second = written(one, tmp_path / "1.onnx"), written(two, tmp_path / "2.onnx")
    assert count == 1
    assert first != second
    monkeypatch.setattr(torch_graphs, "_GRAPHS", {})
    assert written(two, tmp_path / "3.onnx") == second  # whichever came first
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
    model = LOADER.open(str(tmp_path / "2.onnx"), contract=None, device="cpu")
    with torch.no_grad():
        expected = two(torch.from_numpy(CONTRACT.to_input(images))).softmax(1)
    found = model.predict(images).probabilities
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_architecture_is_another_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_graphs, "_traced", lambda *_: None)
    for name in ARCHITECTURES:
        assert torch_graphs.filled_graph(network(name, 0), torch_to_onnx.trace_torch, key="") is None  # type: ignore[arg-type]
    assert len(torch_graphs._GRAPHS) == len(ARCHITECTURES)


class Branching(nn.Module):
    """Control flow: no graph without tracing."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 4 or x.shape[2] != 16:
            return x
        scores: torch.Tensor = self.linear(x.flatten(1))
        return scores


class Shared(nn.Module):
    """A weight that the exporter changes: it is folded into another one."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 10)
        self.norm = nn.BatchNorm1d(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.norm(self.linear(x.flatten(1)))
        return scores


@pytest.mark.parametrize("kind", [Branching, Shared])
def test_what_cannot_be_reused_is_exported_all_the_same(kind: type[nn.Module], tmp_path: Path) -> None:
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = kind().eval()
        written(module, tmp_path / "m.onnx")
