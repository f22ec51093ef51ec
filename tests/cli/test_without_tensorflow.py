"""TensorFlow is optional: without it everything else works, and its absence is one sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cli.conftest import Pool

HIDDEN = ("tensorflow", "keras", "tf2onnx", "h5py")

Cae: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cae(tmp_path: Path) -> Cae:
    """Run the command line where neither TensorFlow nor Keras can be imported, in its child processes neither."""
    folder = tmp_path / "site-packages"  # what else a child process may import from
    folder.mkdir()
    for name in HIDDEN:
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    paths = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "cae_cli", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}
        )

    return run


@pytest.mark.long
def test_generate_and_verify(pool: Pool, tmp_path: Path, cae: Cae) -> None:
    output = tmp_path / "fingerprint.safetensors"
    made = cae(*pool.generate_arguments(output))
    assert made.returncode == 0, made.stderr
    verdict = cae("verify", "--suspect", pool.source, "--fingerprint", output, "--json")
    assert verdict.returncode == 0, verdict.stderr
    assert json.loads(verdict.stdout)["verdict"] == "surrogate"


@pytest.mark.parametrize("name", ["suspect.keras", "suspect.h5"])
def test_a_keras_suspect_is_one_sentence(fingerprint: Path, tmp_path: Path, cae: Cae, name: str) -> None:
    suspect = tmp_path / name
    suspect.touch()
    suspect.with_suffix(".toml").write_text('layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\n')
    # in this process: another one would have it
    refused = cae("verify", "--trusted", "--suspect", suspect, "--fingerprint", fingerprint)
    assert refused.returncode == 1
    assert 'pip install "cae-fingerprint[tensorflow]"' in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
