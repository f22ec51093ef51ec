"""What a child process does first: it lets go of its parent's things, and then of its own freedom.

Each layer that could be had is told by its name; one that this machine does not have is left out, and not fatal: the
record says which there were.
"""

import contextlib
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cae_core.containment.record import LANDLOCK, NETWORK, SECCOMP

if TYPE_CHECKING:
    from cae_core.containment.landlock import Readable

__all__ = ["BARE", "Born", "bare_environment", "let_go", "use_threads"]

BARE = (
    *("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "PATH"),
    *("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8", "TZ"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"),
    *("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND"),
)
"""What of its parent's environment a child keeps: where libraries are, how texts are encoded, how many threads."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")

_LOOK_S = 1.0

_ENDS = "ends with its parent"


def use_threads(count: int) -> None:
    """Tell the runtimes how many threads to have, and give them so many cores: not each of them listens."""
    os.environ.update(dict.fromkeys(_THREADS, str(count)))
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def bare_environment(threads: int | None = None) -> dict[str, str]:
    """Return the environment of a child."""
    kept = {name: os.environ[name] for name in BARE if name in os.environ}
    # libraries ask who runs them, and where his files are: nobody, and nowhere
    nobody = {"HOME": os.devnull, "USER": "cae", "LOGNAME": "cae", "CUDA_CACHE_DISABLE": "1", "PYTHONHASHSEED": "0"}
    # ONNX Runtime's reports to its maker have a thread, from the import on
    nobody |= {"ORT_DISABLE_TELEMETRY": "1"}
    # NumPy's linear algebra starts its threads at import, and whoever has several cannot be kept from files
    alone = {"OPENBLAS_NUM_THREADS": "1"}
    return kept | nobody | ({} if threads is None else dict.fromkeys(_THREADS, str(threads))) | alone


@dataclass
class Born:
    """A child process that has let go of its parent's things.

    Attributes:
        requests: a descriptor, from which questions come.
        answers: a descriptor, to which answers go.
        layers: those that are active.
        parent: number of the process that has started this one.
        watched: whether the kernel, or a job object, ends this one with its parent.
    """

    requests: int
    answers: int
    layers: list[str]
    parent: int
    watched: bool

    def lock(self, readable: "Callable[[], Readable]") -> None:
        """Refuse this process, for ever, other files, other processes and, unless it asks a service, the network.

        Args:
            readable: says what may be read, and whether the network is open; asked where it matters.
        """
        self.layers += _locked(readable)
        if not self.watched:  # a thread, and so the last thing
            _watch_parent(self.parent)
            self.layers.append(_ENDS)

    def limit(self, *, memory: int, files: int) -> None:
        """Limit the memory that this process can ask for, and the size of any file that it writes, in bytes."""
        self.layers += _limited(memory=memory, files=files)


def let_go(requests: int, answers: int, *, parent: int, main_thread: bool, forked: bool) -> Born:
    """Make this process its own, with the two ends of its pipes and nothing else.

    Args:
        requests: see `Born`.
        answers: see `Born`.
        parent: see `Born`.
        main_thread: whether the thread that has started it lives as long as that process.
        forked: whether this is a fork, that has its parent's memory, instead of a program of its own.
    """
    layers: list[str] = []
    if sys.platform == "win32":
        return Born(requests, answers, ["job object", "bare environment"], parent, watched=True)
    with _layer(layers, "own session"):
        if os.getsid(0) != os.getpid():  # a program of its own was started in one
            os.setsid()
    if main_thread:
        with _layer(layers, _ENDS):
            _end_with(parent)
    with _layer(layers, "closed descriptors"):
        _close_others(requests, answers)
    with _layer(layers, "bare environment"):
        _bare(forked=forked)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return Born(requests, answers, layers, parent, watched=_ENDS in layers)


def _bare(*, forked: bool) -> None:
    kept = bare_environment()
    os.environ.clear()
    os.environ.update(kept)
    if forked and sys.platform == "linux":
        from cae_core.containment.linux import clear_environment_block

        clear_environment_block()


def _end_with(parent: int) -> None:
    if sys.platform != "linux":
        raise OSError("the kernel does not tell a process that its parent has ended")
    from cae_core.containment.linux import die_with_parent

    die_with_parent(parent)


def _watch_parent(parent: int) -> None:
    """Look every second whether the parent lives."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _close_others(requests: int, answers: int) -> None:
    """Close every descriptor but the two; the usual three lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    for descriptor in _open_descriptors():
        if descriptor > 2 and descriptor not in (requests, answers):
            with contextlib.suppress(OSError):  # such as the one that the list was read by
                os.close(descriptor)


def _open_descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 - numbers, no paths
    except OSError:
        return list(range(3, min(os.sysconf("SC_OPEN_MAX"), 1 << 16)))


def _limited(*, memory: int, files: int) -> list[str]:
    """Address space is not limited: runtimes and drivers reserve far more of it than they use."""
    layers: list[str] = []
    if sys.platform == "win32":
        return layers
    import resource

    if sys.platform == "linux":
        from cae_core.containment.linux import give_up_first

        give_up_first()
        with _layer(layers, "memory limit"):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with _layer(layers, "small files" if files else "no files"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (files, files))
    with _layer(layers, "no core dumps"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return layers


def _locked(readable: "Callable[[], Readable]") -> list[str]:
    layers: list[str] = []
    if sys.platform != "linux":
        return layers
    from cae_core.containment import landlock, linux, seccomp

    machine = platform.machine()
    try:
        linux.gain_no_privileges()
    except OSError:
        return layers
    allowed = readable()
    with _layer(layers, LANDLOCK):
        _check_one_thread()
        landlock.allow_files(allowed)
    with _layer(layers, "no privileges"):
        linux.drop_capabilities(machine)
    with _layer(layers, SECCOMP):
        seccomp.refuse_system_calls(machine, sockets=allowed.ports is not None)
    if allowed.ports is not None:
        layers.append(NETWORK)
    return layers


def _check_one_thread() -> None:
    """Landlock binds the thread that calls it: any other one would go free."""
    from cae_core.containment.linux import threads_here

    if threads_here() > 1:
        raise OSError("other threads would go free")


@contextlib.contextmanager
def _layer(layers: list[str], name: str) -> Generator[None]:
    """Add a layer's name, unless it cannot be had here."""
    try:
        yield
    except (OSError, ValueError, KeyError, AttributeError, ImportError):
        return
    layers.append(name)
