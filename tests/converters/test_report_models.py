"""The report's models go from Keras to ONNX and on to torch, and nothing changes on the way."""

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from cae_backends.architectures import REPORT_ARCHITECTURES
from cae_converters.parity import GRADIENTS, OUTPUTS
from tests.benchmarks.pools import digits_32

EXAMPLE = Path(__file__).parents[2] / "examples" / "parity_of_report_models.py"
LARGE = ("resnet50v1", "densenet121-top", "mobilenetv2")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in REPORT_ARCHITECTURES],
)
def test_keras_to_onnx_to_torch(example: ModuleType, name: str, tmp_path: Path) -> None:
    data = digits_32("test")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__", category=DeprecationWarning)  # Keras under NumPy 2
        row = example.measure(name, data, tmp_path)
    compared = {(parity["runtime"], parity["images"]) for parity in row["parity"]}
    assert compared == {
        (runtime, images)
        for runtime in ("ONNX Runtime", "onnx2torch", "torch")
        for images in ("random", "digits at 32x32")
    }
    for parity in row["parity"]:
        assert parity["outputs"] <= OUTPUTS * parity["scale"]
        assert parity["scale"] > 1  # answers that are next to nothing would agree in any case
        if parity["runtime"] == "onnx2torch":
            assert parity["gradients"] <= GRADIENTS
    assert row["slope"] < 0.1
    written = tmp_path / f"{name}.onnx"
    before = written.stat().st_mtime_ns
    assert example.measure(name, data, tmp_path) == row
    assert written.stat().st_mtime_ns == before
