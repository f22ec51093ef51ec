"""The core is the method alone: importing it loads no framework, and nothing that only other layers need."""

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

FORBIDDEN = ("torch", "tensorflow", "keras", "onnx", "onnxruntime", "scipy", "sklearn", "typer", "rich")
OTHER_LAYERS = ("cae_backends", "cae_converters", "cae_report", "cae_study", "cae_cli")
SCRIPT = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_after(*names: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after importing ``names``."""
    command = [sys.executable, "-c", SCRIPT, *names]
    return set(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def core_modules() -> list[str]:
    core = importlib.import_module("cae_core")
    return ["cae_core", *(info.name for info in pkgutil.walk_packages(core.__path__, prefix="cae_core."))]


@pytest.mark.parametrize("names", [["cae_core"], core_modules()], ids=["the package", "every module"])
def test_the_core_loads_no_framework(names: list[str]) -> None:
    loaded = loaded_after(*names)
    assert "cae_core" in loaded
    assert not loaded & {*FORBIDDEN, *OTHER_LAYERS}


def test_finding_the_backends_loads_no_framework() -> None:
    """Their entry points are read, and their loaders imported, before anybody knows which one is needed."""
    found = "from cae_core.loaders import installed_loaders; names = [x.name for x in installed_loaders()]"
    script = f"import json, sys; {found}; print(json.dumps([names, sorted(sys.modules)]))"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    names, modules = json.loads(answer)
    assert {"onnxruntime", "tensorflow", "torch"} <= set(names)
    assert not {name.partition(".")[0] for name in modules} & set(FORBIDDEN)


def test_the_backends_loaders_load_no_framework() -> None:
    packages = (
        "cae_backends.onnxruntime.model",
        "cae_backends.tensorflow",
        "cae_backends.torch",
        "cae_backends.import_order",
    )
    loaded = loaded_after(*packages)
    assert "cae_backends" in loaded
    assert not loaded & {*FORBIDDEN, "triton", "h5py"}


def test_the_check_can_fail() -> None:
    assert "typer" in loaded_after("typer")
