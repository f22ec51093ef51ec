"""Starting a child process: a fork of a process that has read nothing yet, or a fresh interpreter."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cae_core.containment.birth import Born, bare_environment, let_go
from cae_core.errors import ModelError

__all__ = [
    "Forked",
    "Process",
    "Program",
    "born_as_program",
    "fork",
    "kill_group",
    "make_scratch",
    "may_fork",
    "run_interpreter",
    "run_program",
    "waited",
]

_BOOT = (
    "import sys; sys.path[:] = sys.argv[4:]; "
    "from importlib import import_module; import_module(sys.argv[1]).main(*map(int, sys.argv[2:4]))"
)
"""What a fresh interpreter runs: it gets its parent's import paths, and no other of its parent's settings."""

_STARTED_WITHOUT = ("torch", "tensorflow", "onnxruntime")
"""Whatever has imported one of these has threads, or devices, of which a fork has copies that do not work."""


_SCRATCH = "cae-child-"


class Process(Protocol):
    """A child process, as its parent holds it.

    Attributes:
        number: by which the system knows it.
        requests: a descriptor to which questions are written.
        answers: a descriptor from which answers are read.
    """

    number: int
    requests: int
    answers: int

    def poll(self) -> int | None:
        """Return how it has ended, a negative signal or an exit code; None while it runs."""
        ...

    def limit_memory(self, memory: int) -> bool:
        """Limit its memory from outside, where that can be done; return whether it was."""
        ...

    def kill(self) -> None:
        """End it and all that it has started, and wait for it."""
        ...


def may_fork() -> bool:
    """Return whether this process can be forked: on Linux, with one thread, and with nothing of a framework's in it."""
    if sys.platform != "linux" or threading.active_count() > 1 or any(name in sys.modules for name in _STARTED_WITHOUT):
        return False
    from cae_core.containment.linux import threads_here

    try:
        return threads_here() == 1
    except OSError:
        return False


class Forked:
    """A fork of this process; see `Process`."""

    def __init__(self, number: int, requests: int, answers: int) -> None:
        self.number, self.requests, self.answers = number, requests, answers
        self._ended: int | None = None

    def poll(self) -> int | None:
        """See `Process`."""
        if self._ended is None:
            self._ended = waited(self.number, os.WNOHANG)
        return self._ended

    def limit_memory(self, memory: int) -> bool:  # noqa: ARG002 - it limits itself
        """See `Process`."""
        return False

    def kill(self) -> None:
        """See `Process`."""
        if self._ended is None:
            kill_group(self.number)
            self._ended = waited(self.number, 0)


def waited(number: int, options: int) -> int | None:
    """Return how a child ended; None while it runs. Where this process was started to ignore its children: killed."""
    try:
        found, status = os.waitpid(number, options)
    except ChildProcessError:
        return -signal.SIGKILL
    return os.waitstatus_to_exitcode(status) if found else None


def fork(main: Callable[[Born], None]) -> Forked:
    """Fork this process; the child runs ``main``, and ends.

    Raises:
        OSError: no process can be made.
    """
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    parent = os.getpid()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # inherited, and then nobody learns how a child ends
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number:
        os.close(theirs_in)
        os.close(theirs_out)
        return Forked(number, ours_out, ours_in)
    try:
        main(let_go(theirs_in, theirs_out, parent=parent, main_thread=True, forked=True))
    finally:  # whatever happens, what follows in the parent's program is none of the child's
        os._exit(0)


class Program:
    """A fresh interpreter; see `Process`."""

    def __init__(self, process: "subprocess.Popen[bytes]", job: Any) -> None:  # noqa: ANN401 - of Windows only
        if process.stdin is None or process.stdout is None:
            raise ModelError("A child process was started without its pipes.")
        self._process, self._job, self._streams = process, job, (process.stdin, process.stdout)
        self.number = process.pid
        self.requests, self.answers = os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
        for stream in self._streams:
            stream.close()

    def poll(self) -> int | None:
        """See `Process`."""
        return self._process.poll()

    def limit_memory(self, memory: int) -> bool:
        """See `Process`."""
        if self._job is None:
            return False
        self._job.limit_memory(memory)
        return True

    def kill(self) -> None:
        """See `Process`."""
        if self._process.poll() is None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                kill_group(self.number)
            self._process.wait()


def run_program(module: str, *, threads: int | None = None) -> Program:
    """Start a fresh interpreter that runs ``main(parent, main_thread)`` of ``module``, with this one's import paths.

    Raises:
        ModelError: it cannot be started.
    """
    process = run_interpreter(module, threads=threads, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return Program(process, _job_of(process))


def run_interpreter(
    module: str, *, threads: int | None, stdin: int, stdout: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start what `run_program` does, with these two streams.

    Raises:
        ModelError: it cannot be started.
    """
    in_main = threading.current_thread() is threading.main_thread()
    arguments = [module, str(os.getpid()), str(int(in_main)), *_import_paths()]
    try:
        return subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-I", "-B", "-c", _BOOT, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=bare_environment(threads),
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        raise ModelError(
            f"A process for the model cannot be started ({error.strerror or error}). If the model's file is your own, "
            "say so with --trusted: it then runs in this one."
        ) from error


def _job_of(process: "subprocess.Popen[bytes]") -> Any:  # noqa: ANN401 - of Windows only
    if sys.platform != "win32":
        return None
    from cae_core.containment.windows import Job

    job = Job()
    job.hold(int(process._handle))
    return job


def _import_paths() -> list[str]:
    """Return where this process imports from; the working folder last: a model's own folder is no place of modules."""
    given = [path for path in sys.path if path]
    return [*map(os.path.abspath, given), *([str(Path.cwd())] if "" in sys.path and _needs_working_folder() else [])]


def _needs_working_folder() -> bool:
    return Path(__file__).resolve().is_relative_to(Path.cwd().resolve())


def born_as_program(parent: int, *, main_thread: bool) -> Born:
    """Be the program of `run_program`: take the pipes from where they are, and let go of the rest."""
    requests, answers = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (requests, answers):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return let_go(requests, answers, parent=parent, main_thread=main_thread, forked=False)


def kill_group(number: int) -> None:
    """End a process and all that it has started."""
    for kill in (os.killpg, os.kill):
        try:
            kill(number, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # no group yet, or it has ended
            continue


def make_scratch() -> Path:
    """Return a new folder for a child that has to write; those of owners that were killed go on this occasion."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdecimal() and not _lives(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-"))


def _lives(number: int) -> bool:
    if sys.platform == "win32":  # where a signal would end it
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
