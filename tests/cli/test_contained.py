"""A hostile suspect before the command line: one sentence, nothing left, and a parent that lives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from cae_cli.early import fork_for_suspect
from tests.cli.conftest import Pool, Run, save_graph

linux = pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")

WEIGHTS = {"w": np.ones((64, 10), np.float32)}
NETWORK = [helper.make_node("Flatten", ["image"], ["flat"], axis=1), helper.make_node("MatMul", ["flat", "w"], ["l"])]


def endless(path: Path) -> Path:
    """Write a model whose loop has no end."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "l"], ["logits"], body=body)
    save_graph(path, [*NETWORK, loop], {**WEIGHTS, "turns": np.array(2**62), "yes": np.array(True)})  # noqa: FBT003
    return path


def aborting(path: Path) -> Path:
    """Write a model that ONNX Runtime 1.31 answers with an abort of the whole process."""
    random = helper.make_node("RandomUniformLike", ["l"], ["logits"], low=1.0, high=-1.0)
    save_graph(path, [*NETWORK, random], WEIGHTS)
    return path


def start(*arguments: str | Path, folder: Path) -> "subprocess.Popen[str]":
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment = {**free, "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "cae_cli", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@linux
def test_a_suspect_is_contained_and_the_verdict_says_so(
    pool: Pool, fingerprint: Path, run_cae: Run, tmp_path: Path
) -> None:
    told = start(
        "verify", "-s", pool.copy, "-f", fingerprint, "--no-ledger", "--json", "--nonce", "00", folder=tmp_path
    )
    out, err = told.communicate(timeout=120)
    assert told.returncode == 0, err
    trusted = run_cae(
        "verify", "-s", pool.copy, "-f", fingerprint, "--no-ledger", "--json", "--nonce", "00", "--trusted"
    )
    contained = parsed(out)
    assert contained.pop("containment")["kind"] == "sandbox"
    own = trusted.json()
    assert own.pop("containment") == {
        "kind": "none",
        "child": False,
        "layers": [],
        "reason": "its user says that the file is his own",
    }
    assert datetime.fromisoformat(contained.pop("date")) <= datetime.fromisoformat(own.pop("date"))
    assert contained == own
    assert not list(tmp_path.iterdir())


def parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


@linux
@pytest.mark.parametrize("trusted", [False, True])
def test_people_read_it(pool: Pool, fingerprint: Path, run_cae: Run, trusted: bool) -> None:  # noqa: FBT001
    words = ("verify", "-s", pool.copy, "-f", fingerprint, "--no-ledger")
    out = run_cae(*words, *(["--trusted"] if trusted else [])).out
    line = next(line for line in out.splitlines() if line.startswith("containment"))
    assert line.split()[1] == ("none:" if trusted else "sandbox:")


@linux
def test_ctrl_c_ends_an_endless_suspect_at_once(fingerprint: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start("verify", "-s", endless(tmp_path / "m.onnx"), "-f", fingerprint, "--no-ledger", folder=temporary)
    child = child_of(process, busy=True)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - asked < 10
    assert not runs(child)
    assert not list(temporary.iterdir())


@linux
def test_a_suspect_dies_with_its_judge(fingerprint: Path, tmp_path: Path) -> None:
    process = start("verify", "-s", endless(tmp_path / "m.onnx"), "-f", fingerprint, "--no-ledger", folder=tmp_path)
    child = child_of(process, busy=True)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(child)


def child_of(process: "subprocess.Popen[str]", *, busy: bool) -> int:
    """Return the number of the only child, once it has computed for a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if listed and (not busy or cpu_seconds(int(listed[0])) > 1):
            return int(listed[0])
        time.sleep(0.05)
    raise AssertionError("it has no child")


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (endless, "the process that ran it did not answer in time, and was ended"),
        (aborting, "the process that ran it crashed"),
    ],
)
def test_what_ends_a_suspect_is_one_sentence(
    make: Callable[[Path], Path], words: str, fingerprint: Path, run_cae: Run, tmp_path: Path
) -> None:
    path = make(tmp_path / "m.onnx")
    outcome = run_cae("verify", "-s", str(path), "-f", fingerprint, "--no-ledger", "--limits", "seconds=3")
    assert outcome.code == 1
    assert outcome.err.startswith(f"cae: {path}: {words}")
    assert outcome.err.count("\n") == 1


def test_odd_limits(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    outcome = run_cae("verify", "-s", pool.copy, "-f", fingerprint, "--no-ledger", "--limits", "hours=3")
    assert outcome.code == 2
    assert "The limits must be such as seconds=600,memory=8GB,threads=2; found 'hours=3'" in outcome.err


@linux
def test_a_program_that_starts_forks_before_it_reads(pool: Pool, fingerprint: Path) -> None:
    """And the fork has the parent's modules, one thread, and nothing of a framework's."""
    text = f"""
import sys
from pathlib import Path
from cae_cli.early import fork_for_suspect
fork_for_suspect(["-s", {str(pool.copy)!r}])
from cae_core.opening import early
assert "onnxruntime" not in sys.modules
(child,) = early._WAITING
from cae_core.workflows import verify_suspect
verdict = verify_suspect({str(pool.copy)!r}, Path({str(fingerprint)!r}))
assert not early._WAITING and not child.alive
assert "onnxruntime" not in sys.modules
print(verdict.containment.kind)
"""
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert run.stdout == "sandbox\n", run.stderr


def test_a_process_that_knows_numpy_is_not_forked(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fork", lambda: pytest.fail("it was forked"))
    assert "numpy" in sys.modules
    fork_for_suspect(["-s", str(pool.copy)])
    monkeypatch.delitem(sys.modules, "numpy")
    for words in (["--trusted"], ["--dry-run"], ["--replay", "x"], ["--help"]):
        fork_for_suspect(["--suspect", str(pool.copy), *words])
    fork_for_suspect(["-f", "x"])


def test_a_program_that_was_started_to_ignore_its_children_tells_its_verdict(pool: Pool, fingerprint: Path) -> None:
    """As some supervisors start programs: what a child ended with is then told to nobody."""
    command = [sys.executable, "-m", "cae_cli", "verify", "-s", str(pool.copy), "-f", str(fingerprint), "--no-ledger"]
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", ignoring, *command, "--json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "surrogate"), done.stderr
