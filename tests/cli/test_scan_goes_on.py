"""Scans that are killed at random moments, and scans on a Dask cluster: the same deciding fields as of any other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.backends.killing import DaskCluster, Site
from tests.benchmarks.scan import write_models
from tests.cli.test_scan import command, deciding, lines

pytestmark = pytest.mark.slow

MODELS, KILLS = 24, 30


def run(arguments: list[str], environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "cae_cli", *arguments],
        env=environment or {**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(arguments: list[str], environment: dict[str, str] | None = None) -> None:
    process = run(arguments, environment)
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told.decode()


def test_killed_thirty_times(calibrated: Path, tmp_path: Path) -> None:
    """The run alone is killed, or its whole group at once; what it has started ends by itself."""
    write_models(tmp_path / "models", MODELS)
    (tmp_path / "models" / "broken.onnx").write_bytes(b"no model")
    output, ledger = tmp_path / "scan.jsonl", tmp_path / "ledger.jsonl"
    arguments = command(tmp_path / "models", calibrated, output, "--workers", "2", "--ledger", str(ledger))
    random, kills, before = np.random.default_rng(5), 0, b""
    while kills < KILLS:
        process = run(arguments)
        time.sleep(random.uniform(0.3, 4.0))
        ended = process.poll() is not None
        (os.killpg if random.integers(2) else os.kill)(process.pid, signal.SIGKILL) if not ended else None
        process.communicate()
        found = output.read_bytes() if output.exists() else b""
        assert found.startswith(before[: before.rfind(b"\n") + 1])  # what was ended stays
        before, kills = found, kills + (not ended)
        if ended and kills < KILLS:  # all are judged: begin again with the same nonce
            head = found.partition(b"\n")[0] + b"\n"
            output.write_bytes(head)
            before = head
    finished(arguments)
    whole = deciding(output)
    assert len(whole) == MODELS + 1
    output.write_bytes(output.read_bytes().partition(b"\n")[0] + b"\n")
    finished(arguments)
    assert deciding(output) == whole
    assert len({line["id"] for line in lines_that_are_whole(ledger)}) == MODELS


def lines_that_are_whole(ledger: Path) -> list[dict[str, str]]:
    """Return the lines that a kill has not cut."""
    import json

    found: list[dict[str, str]] = []
    for line in ledger.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in found if line["event"] == "begun"]


def test_on_a_cluster(calibrated: Path, tmp_path: Path) -> None:
    """Fresh interpreters, the same outcome: the nonce is given to both."""
    write_models(tmp_path / "models", 5)
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    finished(command(tmp_path / "models", calibrated, here, "--workers", "1", "--ledger", str(tmp_path / "a.jsonl")))
    there.write_bytes(here.read_bytes().partition(b"\n")[0] + b"\n")
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    cluster = DaskCluster(site)
    try:
        more = ("--cluster", cluster.address, "--ledger", str(tmp_path / "b.jsonl"))
        finished(command(tmp_path / "models", calibrated, there, *more), site.environment)
    finally:
        cluster.close()
    assert deciding(there) == deciding(here)
    assert {line["containment"] for line in lines(there)[1:]} == {line["containment"] for line in lines(here)[1:]}
