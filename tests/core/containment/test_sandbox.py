"""What a model that runs whatever code it likes can do in its process: answer, and next to nothing else."""

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.containment.limits import Limits
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.opening.party import Party
from tests.core.containment.hostile import program

linux = pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux")

IMAGES = np.zeros((3, 4, 4, 1), np.uint8)

TRIED = """
import os, socket, subprocess, sys, threading, ctypes, signal
from pathlib import Path

def tried(work):
    try:
        work()
    except BaseException as error:
        return 0
    return 1

what = {attempts}
found = [tried(work) for work in what]

def predict(images):
    return Predictions(np.array(found[: len(images)], np.int64))
"""


def held(path: Path, *attempts: str) -> list[int]:
    """Return for each attempt whether it succeeded, 1, or was refused, 0; in a process of its own."""
    program(path, TRIED.format(attempts="[" + ", ".join(f"lambda: {attempt}" for attempt in attempts) + "]"))
    party = Party()
    opened = party.black_box(str(path))
    assert opened.containment.kind == "sandbox"
    answers: list[int] = opened.model.predict(np.zeros((len(attempts), 4, 4, 1), np.uint8)).labels.tolist()
    party.end()
    return answers


@linux
def test_files(programs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "fingerprint.safetensors"
    secret.write_bytes(b"the labels")
    secret.chmod(0o600)
    beside = programs / "beside.txt"
    beside.write_text("another model of the folder")
    answers = held(
        programs / "m.program",
        f"open({str(programs / 'm.program')!r}).read()",  # its own file
        "open(os.devnull, 'w').write('x')",
        f"os.chmod({str(secret)!r}, 0o777)",  # answered as if it were done
        f"os.utime({str(secret)!r}, (0, 0))",
        f"open({str(secret)!r}, 'rb').read()",
        f"open({str(beside)!r}).read()",
        f"os.listdir({str(programs)!r})",
        "open('/etc/passwd').read()",
        "os.listdir('/')",
        "open('/proc/%d/mem' % os.getppid(), 'rb').read(1)",
        "open('/proc/%d/environ' % os.getppid(), 'rb').read(1)",
        "open('/proc/%d/cmdline' % os.getppid(), 'rb').read(1)",
        "open('/proc/self/root/etc/passwd').read()",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(programs / 'm.program')!r}, 'a')",
        f"os.truncate({str(secret)!r}, 0)",
        f"os.remove({str(secret)!r})",
        f"os.rename({str(secret)!r}, {str(tmp_path / 'moved')!r})",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"os.symlink('/etc', {str(tmp_path / 'link')!r})",
        f"os.link({str(secret)!r}, {str(programs / 'hard')!r})",
        f"os.setxattr({str(secret)!r}, 'user.x', b'x')",
        "os.write(os.memfd_create('x'), b'x')",
    )
    assert answers == [1] * 4 + [0] * (len(answers) - 4)
    assert secret.read_bytes() == b"the labels"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_mtime > 0


@linux
def test_the_network_and_other_processes(programs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        answers = held(
            programs / "m.program",
            "threading.Thread(target=print).start()",
            "os.kill(os.getpid(), 0)",
            f"socket.create_connection({address!r})",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "socket.socket(socket.AF_UNIX)",
            "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
            "os.fork()",
            "subprocess.run(['/bin/true'], check=True)",
            "os.execv('/bin/true', ['true'])",
            "os.kill(os.getppid(), 0)",
            "os.killpg(os.getpgid(os.getppid()), 0)",
            "os.kill(1, 0)",
            "os.kill(-1, 0)",
            "os.pidfd_open(os.getppid())",
            "__import__('resource').prlimit(os.getppid(), 7, (3, 3))",
            "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
            "os.setsid()",
            "os.unshare(0x10000000) if hasattr(os, 'unshare') else 1 / 0",
            "1 / (1 + ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0))",
            "1 / (1 + ctypes.CDLL(None).shmget(0, 4096, 0o1600))",
            "1 / (1 + ctypes.CDLL(None).syscall(425, 8, 0))",  # io_uring
            "1 / (1 + ctypes.CDLL(None).syscall(0x40000000 + 39))",  # of the x32 convention
        )
    assert answers == [1, 1] + [0] * (len(answers) - 2)


@linux
def test_its_environment_is_bare_and_no_other_descriptor_is_open(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_SECRET", "hunter2")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003
        answers = held(
            programs / "m.program",
            "1 / ('PATH' in os.environ)",
            "1 / ('SOME_SECRET' in os.environ)",
            "1 / (b'hunter2' in open('/proc/self/environ', 'rb').read())",
            f"1 / (os.readlink('/proc/self/fd/{file.fileno()}') == {str(tmp_path / 'open')!r})",
        )
    assert answers == [1, 0, 0, 0]


@linux
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", r"crashed \(SIGABRT\)"),
        ("import ctypes; ctypes.string_at(0)", r"crashed \(SIGSEGV\)"),
        ("import os; os._exit(7)", r"ended itself \(exit code 7\)"),
        ("import sys; sys.exit(3)", r"ended itself \(exit code 3\)"),
        ("raise SystemError('odd')", r"cannot be opened \(odd\)"),
        ("raise RecursionError", r"cannot be opened \(it is nested too deeply\)"),
        ("raise KeyboardInterrupt", r"crashed \(SIGINT\)"),
        ("b = bytearray(900 << 20)", "more memory than its process may have"),
        (
            "import mmap; m = mmap.mmap(-1, 900 << 20)\nwhile True: m.write(b'x' * 4096)",
            r"took more than 0.488 GB of memory",
        ),
        ("while True: pass", "did not answer in time"),
        ("import os; os.close(3)\nimport time; time.sleep(60)", "did not answer in time|stopped listening"),
        (
            "import threading\nwhile True: threading.Thread(target=lambda: __import__('time').sleep(99)).start()",
            "threads|memory|cannot be opened",
        ),
    ],
)
def test_whatever_ends_it_is_one_sentence(programs: Path, code: str, words: str) -> None:
    path = program(programs / "m.program", code)
    # what never ends need not be waited for long; what ends may take its time on a busy machine
    party = Party(limits=Limits(seconds=1.5 if "in time" in words else 8, memory=500 << 20))
    with pytest.raises(ModelError, match=words) as caught:
        party.black_box(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 700


@linux
def test_it_ends_with_its_parent(programs: Path, tmp_path: Path) -> None:
    path = program(programs / "m.program", "def predict(images):\n while True: pass")
    number = os.fork()
    if not number:
        try:
            child = Party()
            opened = child.black_box(str(path))
            (tmp_path / "number").write_text(str(opened.model.connection.child._process.number))  # type: ignore[attr-defined]
            opened.model.predict(IMAGES)
        finally:
            os._exit(0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "number").exists() or not (tmp_path / "number").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    theirs = int((tmp_path / "number").read_text())
    os.kill(number, signal.SIGKILL)
    os.waitpid(number, 0)
    while _runs(theirs):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_nothing_is_left_in_the_temporary_folder(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("hostile_programs.Loader.scratch", True, raising=False)  # the child's own says nothing of it
    left = temporary / "cae-child-999999999-abc"
    left.mkdir()
    text = "import pathlib, tempfile; (pathlib.Path(tempfile.mkdtemp()) / 'f').write_text('x' * 99)"
    party = Party()
    model = party.black_box(str(program(programs / "m.program", text))).model
    assert [path.name[:10] for path in temporary.iterdir()] == ["cae-child-"]  # of this one: the dead owner's has gone
    model.predict(IMAGES)
    party.end()
    assert not list(temporary.iterdir())


@linux
def test_threads_are_told_and_cores_given(programs: Path) -> None:
    text = "import os\ndef predict(images):\n return Predictions(np.array([len(os.sched_getaffinity(0)), "
    path = program(programs / "m.program", text + "int(os.environ['OMP_NUM_THREADS']), -1]))")
    model = Party(limits=Limits(threads=1)).black_box(str(path)).model
    assert model.predict(IMAGES).labels.tolist() == [1, 1, -1]


@linux
def test_one_party_has_one_process_unless_a_model_is_named_too_late(programs: Path) -> None:
    text = "import os\ndef predict(images):\n return Predictions(np.full(len(images), os.getpid()))"
    paths = [program(programs / f"{name}.program", text) for name in "abc"]
    party = Party()
    party.name(paths[:2])
    first, second, late = (party.black_box(str(path)).model.predict(IMAGES).labels[0] for path in paths)
    assert first == second != late
    assert os.getpid() not in (first, late)


@linux
def test_a_crash_ends_the_models_of_its_party_and_the_next_one_is_opened_anew(programs: Path) -> None:
    good = program(programs / "good.program", "")
    bad = program(programs / "bad.program", "import os; os.abort()")
    party = Party()
    party.name([good, bad])
    opened = party.black_box(str(good)).model
    with pytest.raises(ModelError, match=r"bad\.program: the process that ran it crashed"):
        party.black_box(str(bad))
    with pytest.raises(ModelError, match=r"good\.program: the process that ran it crashed"):
        opened.predict(IMAGES)
    assert party.black_box(str(good)).model.predict(IMAGES).labels.tolist() == [0, 0, 0]


@linux
def test_a_contract_from_the_child_is_checked(programs: Path) -> None:
    text = "from cae_core.contract import Contract\ncontract = Contract(layout='NHWC', range=(0, 1), output='logits')\n"
    honest = Party().black_box(str(program(programs / "m.program", text))).model
    assert honest.contract == Contract(layout="NHWC", range=(0, 1), output="logits")  # type: ignore[attr-defined]
    lying = program(programs / "l.program", text + "object.__setattr__(contract, 'layout', 'UPHELD')")
    with pytest.raises(ModelError, match=r"answered what no model answers \(a malformed description\)"):
        Party().black_box(str(lying))


WHITE = """
from cae_core.contract import Contract

contract = Contract(layout="NHWC", range=(0, 1), output="logits")
image_shape, runtime = (4, 4, 1), "programs 1.0"
weights = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)

def logits(images, *, plain=False):
    images = images / np.float32(255) if images.dtype == np.uint8 else images
    return images.reshape(len(images), -1) @ weights

def predict(images):
    scores = np.exp(logits(images))
    return Predictions(scores.argmax(axis=1), scores / scores.sum(axis=1, keepdims=True))

def vjp(images):
    return logits(images), lambda gradient: (gradient @ weights.T).reshape(images.shape)

class witness:
    name, resolution = "the formula", 2.0**-20
    logits = staticmethod(logits)
"""


@linux
def test_what_a_white_box_says_of_itself_travels(programs: Path) -> None:
    model: Any = Party().white_box(str(program(programs / "m.program", WHITE))).model
    assert model.contract == Contract(layout="NHWC", range=(0, 1), output="logits")
    assert (model.image_shape, model.runtime) == ((4, 4, 1), "programs 1.0")
    assert (model.witness.name, model.witness.resolution) == ("the formula", 2.0**-20)
    images = np.random.default_rng(1).random((5, 4, 4, 1), np.float32)
    logits, pullback = model.vjp(images)
    np.testing.assert_array_equal(model.witness.logits(images, plain=True), logits)
    np.testing.assert_array_equal(model.predict(images).labels, logits.argmax(axis=1))
    assert pullback(logits).shape == images.shape


@linux
def test_many_threads_of_linear_algebra_do_not_cost_the_sandbox(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy starts them when it is imported; whoever has several threads cannot be kept from files."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    assert held(programs / "m.program", "open('/etc/passwd').read()", "open(os.devnull).read()") == [0, 1]


@linux
def test_it_is_a_sandbox_however_many_threads_libraries_like(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread from before Landlock would go free."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    text = (
        "import os\ndef predict(images):\n return Predictions(np.full(len(images), len(os.listdir('/proc/self/task'))))"
    )
    opened = Party().black_box(str(program(programs / "m.program", text)))
    assert opened.containment.kind == "sandbox"
    assert opened.model.predict(IMAGES).labels.tolist() == [1, 1, 1]
