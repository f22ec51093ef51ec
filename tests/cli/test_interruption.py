"""A killed or interrupted generation loses at most a moment, and ends in the same file."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cae_core.files.tensor_file import pack_tensors
from cae_core.fingerprint.file import load_fingerprint
from cae_core.workflows import checkpoint_of
from tests.cli.conftest import Pool, Run

# Long enough to be interrupted in the middle: every image is searched for all its iterations, in small batches.
LONG = ("--iterations", "400", "--batch", "10", "--count", "60", "--check-every", "0")


def start(pool: Pool, output: Path) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "cae_cli", *pool.generate_arguments(output, *LONG)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(program, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def undisturbed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    output = tmp_path_factory.mktemp("undisturbed") / "f.safetensors"
    process = start(pool, output)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.read_bytes()


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.long
def test_kill_9_leaves_the_old_file_or_the_new_one_and_the_run_resumes(
    pool: Pool, fingerprint: Path, undisturbed: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "f.safetensors"
    shutil.copy(fingerprint, output)
    old = output.read_bytes()
    moments = np.random.default_rng(11)
    killed = 0
    for _ in range(3):
        process = start(pool, output)
        wait_for(checkpoint_of(output), process)
        time.sleep(moments.uniform(0.0, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        assert output.read_bytes() in (old, undisturbed)
    assert killed, "every run ended before it could be killed"
    process = start(pool, output)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output.read_bytes() == undisturbed
    assert not checkpoint_of(output).exists()


@pytest.mark.long
def test_ctrl_c_says_how_to_go_on(pool: Pool, undisturbed: bytes, tmp_path: Path) -> None:
    output = tmp_path / "f.safetensors"
    process = start(pool, output)
    wait_for(checkpoint_of(output), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "cae: interrupted; the same command goes on where it was."
    assert checkpoint_of(output).exists()
    process = start(pool, output)
    told, errors = process.communicate(timeout=300)
    assert "interrupted" not in told  # once is enough
    assert errors.count("interrupted run") == 1
    assert "cae: an interrupted run goes on: " in errors
    assert output.read_bytes() == undisturbed
    assert len(load_fingerprint(output)) == 60


def test_the_state_of_another_run_is_given_up_with_replace_only(pool: Pool, run_cae: Run, tmp_path: Path) -> None:
    output = tmp_path / "f.safetensors"
    state = pack_tensors({}, {"run_id": "another"})
    checkpoint_of(output).write_bytes(state)
    refused = run_cae(*pool.generate_arguments(output))
    assert (refused.code, refused.out) == (1, "")
    assert "the state of an interrupted run with other settings, models or images is kept here" in refused.err
    assert checkpoint_of(output).read_bytes() == state
    assert not output.exists()
    replaced = run_cae(*pool.generate_arguments(output, "--replace"))
    assert (replaced.code, "goes on" in replaced.err) == (0, False)
    assert not checkpoint_of(output).exists()
