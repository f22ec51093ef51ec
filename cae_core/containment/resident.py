"""How much memory a child takes, and how many threads: looked at from outside, whatever it does."""

import ctypes
import os
import sys
from pathlib import Path

__all__ = ["MOST_THREADS", "resident_bytes", "scratch_bytes", "threads_of"]

MOST_THREADS = 2048
"""More than any runtime starts on a machine of hundreds of cores."""

_DARWIN_TASK_INFO = 4  # PROC_PIDTASKINFO


def resident_bytes(process: int) -> int:
    """Return the bytes of memory that a process has; 0 where nobody says, or where it has ended."""
    if sys.platform == "linux":
        try:
            pages = int(Path(f"/proc/{process}/statm").read_bytes().split()[1])
        except (OSError, IndexError, ValueError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        return _resident_on_darwin(process)
    return 0  # Windows: the job object has the limit


def threads_of(process: int) -> int:
    """Return how many threads a process has; 0 where nobody says, or where it has ended."""
    if sys.platform != "linux":
        return 0
    try:
        return os.stat(f"/proc/{process}/task").st_nlink - 2  # noqa: PTH116 - one link for each
    except OSError:
        return 0


def scratch_bytes(folder: Path) -> int:
    """Return the bytes of the files in a folder and below."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118
            except OSError:  # it has gone in the meantime
                continue
    return total


def _resident_on_darwin(process: int) -> int:
    info = (ctypes.c_uint64 * 12)()  # struct proc_taskinfo: virtual size, resident size, …
    try:
        library = ctypes.CDLL("/usr/lib/libproc.dylib")
        size = int(library.proc_pidinfo(process, _DARWIN_TASK_INFO, ctypes.c_uint64(0), info, ctypes.sizeof(info)))
    except (OSError, AttributeError):
        return 0
    return int(info[1]) if size > 0 else 0
