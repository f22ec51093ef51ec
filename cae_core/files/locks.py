"""A file that one process at a time reads and adds to."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["locked"]

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 40  # there nobody reads or writes: a lock of Windows keeps others from the bytes themselves

    def _lock(descriptor: int) -> None:
        while True:
            os.lseek(descriptor, _FAR, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != 36:  # EDEADLOCK: it gave up after ten seconds
                    raise
            else:
                return

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(descriptor: int) -> Generator[None]:
    """Hold an open file for this process alone, as far as others ask for it so; wait until it is free.

    The system gives the lock back where the process dies. The place in the file may be another one afterwards.

    Raises:
        OSError: the file system knows no locks.
    """
    _lock(descriptor)
    try:
        yield
    finally:
        _unlock(descriptor)
