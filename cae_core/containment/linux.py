"""System calls of Linux for which Python has no function."""

import ctypes
import os
import signal
from pathlib import Path

__all__ = [
    "SYSCALLS",
    "clear_environment_block",
    "die_with_parent",
    "drop_capabilities",
    "gain_no_privileges",
    "give_up_first",
    "prctl",
    "syscall",
    "threads_here",
]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

_CAPABILITY_VERSION = 0x20080522
_READ_ANY_FILE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: the superuser's child may read what he could."""

SYSCALLS = {"seccomp": {"x86_64": 317, "aarch64": 277}}
"""Numbers of the calls below that differ between machines."""

_CAPSET = {"x86_64": 126, "aarch64": 91}

_LIBC = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: object) -> int:
    """Make a system call.

    Raises:
        OSError: it failed.
    """
    widened = [ctypes.c_long(x) if isinstance(x, int) else x for x in arguments]
    result = int(_LIBC.syscall(ctypes.c_long(number), *widened))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process.

    Raises:
        OSError: it failed.
    """
    if _LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(parent: int) -> None:
    """Have this process killed when the thread that started it ends; at once where ``parent`` has ended already.

    Raises:
        OSError: it failed.
    """
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def gain_no_privileges() -> None:
    """Give up, for ever, what a program with other rights would give; the layers below take it for granted.

    Raises:
        OSError: it failed.
    """
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities(machine: str) -> None:
    """Keep of the superuser's rights that of reading files; an ordinary user has none to lose.

    Raises:
        OSError: it failed.
    """
    keep = _READ_ANY_FILE if os.geteuid() == 0 else 0
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(keep, keep, 0, 0, 0, 0)  # effective, permitted, inheritable; the upper halves
    syscall(_CAPSET[machine], ctypes.byref(header), ctypes.byref(sets))


def give_up_first() -> None:
    """Have the kernel end this process before others where memory runs out; where it does not listen, it does not."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return


def clear_environment_block() -> None:
    """Overwrite the environment that this process was started with: a fork has its parent's, secrets and all.

    Python and the C library have copied what they use; ``os.environ`` is another copy, and stays as it is.

    Raises:
        OSError, ValueError: where it lies is not told.
    """
    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # env_start and env_end, the 50th and 51st of all
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def threads_here() -> int:
    """Return how many threads this process has, those of C libraries included.

    Raises:
        OSError: it is not told.
    """
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - the names are not wanted
