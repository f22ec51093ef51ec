"""What Windows has for a child process: a job object that ends with its owner and limits memory and processes."""

import ctypes
import sys
from typing import Any

__all__ = ["Job", "bytes_waiting", "machine_memory"]

_EXTENDED_LIMITS = 9
_ONE_PROCESS, _OF_PROCESS_MEMORY, _DIE_ON_FAULT, _END_ON_CLOSE = 0x8, 0x100, 0x400, 0x2000


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("largest_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class _Limits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class _MemoryStatus(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("sizes", ctypes.c_uint64 * 7))


def _kernel() -> Any:  # noqa: ANN401 - a library
    if sys.platform != "win32":
        raise OSError("not on Windows")
    return ctypes.WinDLL("kernel32", use_last_error=True)


class Job:
    """Holds a process, which ends when the job is closed, or when its owner ends."""

    def __init__(self) -> None:
        """Make a job for one process, which dies of a fault without asking anybody.

        Raises:
            OSError: it cannot be made.
        """
        self._kernel = _kernel()
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._kernel.CreateJobObjectW(None, None))
        self.limit_memory(None)

    def limit_memory(self, memory: int | None) -> None:
        """Limit what the process may commit, in bytes.

        Raises:
            OSError: it cannot be limited.
        """
        limits = _Limits()
        limits.basic.flags = _ONE_PROCESS | _DIE_ON_FAULT | _END_ON_CLOSE
        limits.basic.processes = 1
        if memory is not None:
            limits.basic.flags |= _OF_PROCESS_MEMORY
            limits.process_memory = memory
        size = ctypes.sizeof(limits)
        if not self._kernel.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), size):
            raise OSError("the job object takes no limits")

    def hold(self, process_handle: int) -> None:
        """Put a process into the job.

        Raises:
            OSError: it cannot be put there.
        """
        if not self._kernel.AssignProcessToJobObject(self._handle, ctypes.c_void_p(process_handle)):
            raise OSError("the process cannot be put into a job object")


def bytes_waiting(descriptor: int) -> bool:
    """Return whether something can be read from a pipe, its end included."""
    if sys.platform != "win32":
        raise OSError("not on Windows")
    import msvcrt

    waiting = ctypes.c_uint32(0)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    peeked = _kernel().PeekNamedPipe(handle, None, 0, None, ctypes.byref(waiting), None)
    return not peeked or waiting.value > 0


def machine_memory() -> int:
    """Return the machine's memory in bytes."""
    status = _MemoryStatus()
    status.length = ctypes.sizeof(status)
    _kernel().GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.sizes[0])
