"""Temporary folders that do not stay: those of a killed process go with the next that needs one."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_core.files.exclusion import lock_descriptor
from cae_core.files.owners import Owner, is_own

__all__ = ["leave_scratch_folders", "scratch_folder", "sweep_scratch_folders"]

_LOCK = ".lock"

_HELD: set[Path] = set()
"""The folders that this process has now."""


@contextmanager
def scratch_folder(under: Path | None = None) -> Generator[Path]:
    """Give an empty folder, for this user alone, that is deleted afterwards.

    Args:
        under: the folder in which it lies, hidden; None: among the system's temporary ones.

    Raises:
        OSError: it cannot be made.
    """
    sweep_scratch_folders(under)
    name = Owner.present().new_name()
    outer = Path(tempfile.gettempdir()) / name if under is None else under / f".{name}"
    _HELD.add(outer)  # before it is there: a signal that ends the process may come in between
    lock = -1
    try:
        outer.mkdir(mode=0o700)
        lock = os.open(outer / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        lock_descriptor(lock)
        inner = outer / "files"
        inner.mkdir(mode=0o700)
        yield inner
    finally:
        if os.name == "nt" and lock >= 0:  # which deletes no open file
            os.close(lock)
            lock = -1
        _delete(outer)
        if lock >= 0:
            os.close(lock)


def sweep_scratch_folders(under: Path | None = None) -> None:
    """Delete what killed processes of this user have left; what cannot be deleted stays.

    Args:
        under: in which folder; None: among the system's temporary ones.
    """
    with suppress(OSError), os.scandir(tempfile.gettempdir() if under is None else under) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(("cae-", ".cae-"))]
        for path in found:
            if _is_litter(path):
                shutil.rmtree(path, ignore_errors=True)


def leave_scratch_folders() -> None:
    """Delete the folders that this process has, which is about to end without a word."""
    for path in list(_HELD):
        for _ in range(3):  # another thread may be writing there
            _delete(path)


def _delete(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    _HELD.discard(path)


def _is_litter(path: Path) -> bool:
    owner = Owner.of_name(path.name)
    try:
        if owner is None or not path.is_dir() or not is_own(path):
            return False
        if owner.may_live(touched=path.stat().st_mtime):
            return False
        lock = os.open(path / _LOCK, os.O_RDWR)
    except FileNotFoundError:  # killed before it had one
        return True
    except OSError:
        return False
    try:
        return lock_descriptor(lock)
    finally:
        os.close(lock)
