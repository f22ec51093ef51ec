"""Which loader opens a model: by suffix or scheme, and by whether gradients are asked for."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from cae_core import loaders
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import Model
from cae_core.opening.opened import open_model
from cae_core.testing import LinearModel


class BlackBox:
    """A model without gradients."""

    def __init__(self, opened_by: str) -> None:
        self.opened_by = opened_by
        self.predict = LinearModel.random((2, 2, 1), classes=3, seed=0).predict


class WhiteBox(BlackBox):
    """A model with them."""

    def __init__(self, opened_by: str) -> None:
        super().__init__(opened_by)
        self.vjp = LinearModel.random((2, 2, 1), classes=3, seed=0).vjp


@dataclass(frozen=True)
class FakeLoader:
    name: str
    suffixes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = False
    honest: bool = True

    def open(self, spec: str, *, contract: Contract | None, device: str) -> Model:  # noqa: ARG002 - the protocol
        return WhiteBox(self.name) if self.gradients and self.honest else BlackBox(self.name)


RUNTIME = FakeLoader("runtime", suffixes=(".onnx",))
FRAMEWORK = FakeLoader("framework", suffixes=(".onnx", ".pt2"), gradients=True)
SERVER = FakeLoader("server", schemes=("http", "https"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[FakeLoader]:
    present = [FRAMEWORK, RUNTIME, SERVER]
    monkeypatch.setattr(loaders, "installed_loaders", lambda: iter(present))
    return present


@pytest.fixture
def onnx_file(tmp_path: Path) -> str:
    path = tmp_path / "Model.ONNX"
    path.touch()
    return str(path)


def opened_by(model: Model) -> str:
    assert isinstance(model, BlackBox)
    return model.opened_by


def test_without_gradients_the_plain_runtime_is_preferred(installed: list[FakeLoader], onnx_file: str) -> None:
    assert opened_by(open_model(onnx_file)) == "runtime"
    installed.remove(RUNTIME)
    assert opened_by(open_model(onnx_file)) == "framework"


def test_with_gradients_a_loader_that_has_them_is_taken(installed: list[FakeLoader], onnx_file: str) -> None:
    assert opened_by(open_model(onnx_file, gradients=True)) == "framework"


def test_an_address_needs_no_file(installed: list[FakeLoader]) -> None:
    assert opened_by(open_model("https://example.org/models/x.onnx")) == "server"


def test_a_missing_file_is_said_so(installed: list[FakeLoader]) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: no such model file"):
        open_model("absent.onnx")


def test_an_unknown_suffix_names_the_known_ones(installed: list[FakeLoader], tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.touch()
    with pytest.raises(ModelError, match=r"known: \.onnx, \.pt2, http, https"):
        open_model(str(path))
    with pytest.raises(ModelError, match=r"with gradients \(known: \.onnx, \.pt2\)"):
        open_model(str(path), gradients=True)


def test_a_loader_that_breaks_its_promise_is_named(installed: list[FakeLoader], onnx_file: str) -> None:
    installed[:] = [FakeLoader("liar", suffixes=(".onnx",), gradients=True, honest=False)]
    with pytest.raises(ModelError, match="the backend liar promises gradients"):
        open_model(onnx_file, gradients=True)


def test_backends_are_found_by_their_entry_points() -> None:
    loaders._entry_points.cache_clear()
    assert {"onnxruntime", "torch"} <= {point.name for point in loaders._entry_points()}


def test_the_border_knows_how_to_open_a_model() -> None:
    assert loaders.open_model is open_model
    with pytest.raises(AttributeError, match="has no attribute 'open_models'"):
        _ = loaders.open_models
