"""`cae doctor` names a remedy that works."""

import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from cae_cli import checkup
from cae_cli.checkup import Finding, check_up

REMEDY = "pip uninstall -y onnxruntime onnxruntime-gpu, and then pip install onnxruntime"


def examined(monkeypatch: pytest.MonkeyPatch, *installed: str) -> Finding:
    """The part that opens suspects, where the packages ``installed`` are there."""

    def version(package: str) -> str:
        if package not in installed:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.2.3"

    monkeypatch.setattr(checkup, "version", version)
    monkeypatch.setattr(checkup, "_PARTS", [part for part in checkup._PARTS if "onnx" in part.packages])
    (finding,) = check_up()
    return finding


def test_two_runtimes_are_both_removed_before_one_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = examined(monkeypatch, "onnx", "onnxruntime", "onnxruntime-gpu")
    assert finding.state == "broken"
    assert "overwrite each other" in finding.remedy
    assert REMEDY in finding.remedy


@pytest.mark.parametrize("package", ["onnxruntime", "onnxruntime-gpu"])
def test_one_runtime_is_fine(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    assert (found := examined(monkeypatch, "onnx", package)).state == "ok", found
    assert not found.remedy


def test_a_runtime_that_lost_its_files_is_removed_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    finding = examined(monkeypatch, "onnx", "onnxruntime-gpu")
    assert finding.state == "broken"
    assert "most of it is missing" in finding.found
    assert finding.remedy.startswith(REMEDY)


def test_a_part_that_does_not_answer_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    finding = examined(monkeypatch, "onnx", "onnxruntime")
    assert finding.state == "broken"
    assert "no answer within 120 s" in finding.found
