"""Locks on files, which end with the process that holds them, however it ends.

Where a file system has no locks, everything here goes on without: nothing is worse there than it would be otherwise.
"""

import hashlib
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_core.errors import StorageError

__all__ = ["exclusive", "is_same_file", "lock_descriptor", "locked"]

_POLL_S = 0.05
_FIRST_POLL_S = 0.001
"""Most locks are held for a line: who waits for one looks again soon, and then less and less often."""
_LONG_NAME = 200

if sys.platform == "win32":  # pragma: no cover - the other system's
    import msvcrt

    _BEYOND = 1 << 30  # no content reaches it: what is locked cannot be read or written

    def _lock_now(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock_now(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_descriptor(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False where another process holds it.

    The file must be open for writing: some network file systems lock nothing else.
    """
    try:
        _lock_now(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # ENOLCK, ENOTSUP and others: there are no locks here
        return True
    return True


@contextmanager
def locked(descriptor: int) -> Generator[None]:
    """Hold an open file for this process alone, as far as others ask for it so; wait until it is free.

    The system gives the lock back where the process dies. The place in the file may be another one afterwards.
    """
    pause = _FIRST_POLL_S
    while not lock_descriptor(descriptor):
        time.sleep(pause)
        pause = min(2 * pause, _POLL_S)
    try:
        yield
    finally:
        with suppress(OSError):
            _unlock(descriptor)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether ``path`` still names the open file, and not another one that has taken its place."""
    try:
        found, own = path.stat(follow_symlinks=False), os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Let one process at a time through that names ``path``; the others wait.

    A file beside ``path`` is locked and taken away afterwards; the one that a killed process leaves goes with the next
    that comes through, as do the drafts there, also where it then finds nothing to write.

    Raises:
        StorageError: the folder cannot be written.
    """
    from cae_core.files.owners import sweep_drafts

    try:
        place = _lock_of(path.resolve())
        place.parent.mkdir(parents=True, exist_ok=True)
        sweep_drafts(place.parent)
        descriptor = _locked(place)
    except OSError as error:
        raise StorageError(
            f"{path}: its folder cannot be written ({error.strerror}). Free some space or name another place."
        ) from error
    try:
        yield
    finally:
        _release(descriptor, place)


def _lock_of(path: Path) -> Path:
    name = path.name
    if len(os.fsencode(name)) > _LONG_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return path.with_name(f".cae-lock-{name}")


def _locked(place: Path) -> int:
    """Return a descriptor of the locked file ``place``, which is made where there is none."""
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            # whoever held it before has taken the file away: another one is the lock now
            if lock_descriptor(descriptor) and is_same_file(descriptor, place):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(_POLL_S)


def _release(descriptor: int, place: Path) -> None:
    with suppress(OSError):
        if os.name != "nt":
            place.unlink()  # while it is locked: nobody else takes it for theirs
    os.close(descriptor)
    if os.name == "nt":
        with suppress(OSError):  # refused where another process has it open, which then takes it away
            place.unlink()
