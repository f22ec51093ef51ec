"""`cae doctor` names a remedy that works."""

import importlib.metadata
import subprocess
import tomllib
from pathlib import Path

import pytest

from cae_cli import checkup
from cae_cli.checkup import PartReport, check_up

REMEDY = "pip uninstall -y onnxruntime onnxruntime-gpu, and then pip install onnxruntime"


def examined(monkeypatch: pytest.MonkeyPatch, *installed: str) -> PartReport:
    """The part that opens suspects, where the packages ``installed`` are there."""

    def version(package: str) -> str:
        if package not in installed:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.2.3"

    monkeypatch.setattr(checkup, "version", version)
    monkeypatch.setattr(checkup, "_ALWAYS", [part for part in checkup._ALWAYS if "onnx" in part.packages])
    monkeypatch.setattr(checkup, "requires", lambda _: [])
    (finding,) = check_up()
    return finding


def optional(monkeypatch: pytest.MonkeyPatch, *declared: str) -> list[PartReport]:
    """The optional parts of an installation that declares these requirements."""
    monkeypatch.setattr(checkup, "_ALWAYS", [])
    monkeypatch.setattr(checkup, "requires", lambda _: list(declared))
    return check_up()


def test_the_parts_are_the_extras_that_the_package_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = optional(
        monkeypatch,
        "numpy>=2.0",
        "onnxruntime>=1; sys_platform == 'darwin'",
        "pooch>=1.8; extra == 'all'",
        "pytest>=8; extra == 'dev'",
        "no-such-package[more]>=1; extra == 'other'",
        'numpy>=2.0; python_version > "3" and extra == "new"',
        "no.such_package; extra == 'cluster'",
    )
    assert [(finding.part, finding.state) for finding in findings] == [
        ("training on a cluster", "missing"),
        ("other", "missing"),
        ("new", "ok"),
    ]
    assert findings[0].remedy == "pip install 'cae-fingerprint[cluster]'"
    assert findings[2].found.startswith("numpy ")


def test_every_declared_extra_has_words_and_a_probe() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(checkup._EXTRAS) == set(project["optional-dependencies"]) - set(checkup._NOT_PARTS)


def test_sources_that_were_never_installed_declare_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(package: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(checkup, "_ALWAYS", [])
    monkeypatch.setattr(checkup, "requires", requires)
    assert check_up() == []


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
