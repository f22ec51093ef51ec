"""TensorFlow is optional: without it everything else works, and its absence is one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pool

PROGRAM = """
import sys
for name in ("tensorflow", "keras", "tf2onnx", "h5py"):
    sys.modules[name] = None
sys.argv = ["cae", *sys.argv[1:]]
from cae_cli.main import main
main()
"""


def cae(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line where neither TensorFlow nor Keras can be imported."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generate_and_verify(pool: Pool, tmp_path: Path) -> None:
    output = tmp_path / "fingerprint.safetensors"
    made = cae(*pool.generate_arguments(output))
    assert made.returncode == 0, made.stderr
    verdict = cae("verify", "--suspect", pool.source, "--fingerprint", output, "--json")
    assert verdict.returncode == 0, verdict.stderr
    assert json.loads(verdict.stdout)["verdict"] == "surrogate"


@pytest.mark.parametrize("name", ["suspect.keras", "suspect.h5"])
def test_a_keras_suspect_is_one_sentence(fingerprint: Path, tmp_path: Path, name: str) -> None:
    suspect = tmp_path / name
    suspect.touch()
    suspect.with_suffix(".toml").write_text('layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\n')
    # in this process: another one would have it
    refused = cae("verify", "--trusted", "--suspect", suspect, "--fingerprint", fingerprint)
    assert refused.returncode == 1
    assert 'pip install "cae-fingerprint[tensorflow]"' in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
