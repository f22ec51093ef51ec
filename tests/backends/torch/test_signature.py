"""The tensors of a network that does not say what it takes are found by asking it."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from cae_backends.torch import LOADER
from cae_backends.torch.trying import tried
from cae_core.errors import ModelError
from cae_core.signature import Signature

pytestmark = pytest.mark.usefixtures("one_thread")


def convolutions(channels: int, *end: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), *end)


FREE = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def shapes(found: Signature) -> tuple[object, object]:
    (taken,), (given,) = found.inputs, found.outputs
    return taken.shape, given.shape


@pytest.mark.parametrize(
    ("network", "taken"),
    [
        (convolutions(3, *FREE), (None, 3, None, None)),
        (convolutions(1, nn.Flatten(), nn.Linear(4 * 26 * 26, 10)), (None, 1, 28, 28)),
        (convolutions(3, nn.Flatten(), nn.Linear(4 * 30 * 30, 10)), (None, 3, 32, 32)),
        (convolutions(2, nn.Flatten(), nn.Linear(4 * 6 * 6, 10)), (None, 2, 8, 8)),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (None, 1, 8, 8)),
        (nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), (None, 3, 32, 32)),
        (nn.Sequential(nn.Unflatten(1, (8, 8)), nn.Flatten(), nn.Linear(64, 10)), (None, 64)),
        (nn.Sequential(nn.Linear(13, 20), nn.ReLU(), nn.Linear(20, 10)), (None, 13)),
    ],
)
def test_the_shape_that_a_network_takes(network: nn.Module, taken: tuple[int | None, ...]) -> None:
    assert shapes(tried(network, origin="net")) == (taken, (None, 10))


@pytest.mark.parametrize(
    ("end", "ending"), [(nn.Softmax(1), "softmax"), (nn.LogSoftmax(1), "log_softmax"), (nn.Identity(), None)]
)
def test_the_ending(end: nn.Module, ending: str | None) -> None:
    assert tried(convolutions(3, *FREE, end), origin="net").outputs[0].ending == ending


def test_a_network_that_takes_nothing_is_said() -> None:
    with pytest.raises(ModelError, match=r"^net: it fails on images of all sizes.*\(8, 16, 20.*State its contract"):
        tried(convolutions(3, nn.Flatten(), nn.Linear(7, 10)), origin="net")


def test_programs_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = convolutions(3, *FREE).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net), tmp_path / "m.pt")
    torch.export.save(torch.export.export(net, (torch.rand(2, 3, 8, 8),)), tmp_path / "m.pt2")
    torch.save({"0.weight": torch.zeros(10, 64), "0.bias": torch.zeros(10)}, tmp_path / "w.pth")
    (tmp_path / "my_linear.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(64, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert shapes(LOADER.signature("m.pt")) == ((None, 3, None, None), (None, 10))
    assert shapes(LOADER.signature("m.pt2")) == ((2, 3, 8, 8), (None, 10))
    assert shapes(LOADER.signature("torch:my_linear:net=w.pth")) == ((None, 64), (None, 10))
