"""Whose a temporary file is: its name says which process of which machine made it, and a lock whether that lives."""

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from cae_core.files.exclusion import is_same_file, lock_descriptor

__all__ = ["Owner", "is_own", "remove_litter", "sweep_drafts"]

_OTHER_MACHINE_S = 7 * 24 * 3600.0
"""What another machine, or this one before a restart, has not touched for so long is litter, if it is not locked."""

_NAME = re.compile(r"\.?cae-(?P<machine>[0-9a-f]{8})-(?P<pid>[0-9a-f]+)-(?P<start>[0-9a-f]+)-[0-9a-f]{8}(\..*)?")


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        machine: where it runs, and since when that machine does.
        pid: its number, in the eyes of its own container.
        start: when it started, in the machine's ticks; 0 where the system does not say.
    """

    machine: str
    pid: int
    start: int

    @classmethod
    def present(cls) -> Self:
        """Return this process."""
        return cls(_machine(), os.getpid(), _start_of(os.getpid()) or 0)

    @classmethod
    def of_name(cls, name: str) -> Self | None:
        """Return the process that a temporary file is named after; None where it is no such name."""
        found = _NAME.fullmatch(name)
        return cls(found["machine"], int(found["pid"], 16), int(found["start"], 16)) if found else None

    def new_name(self) -> str:
        """Return a name that no other file has."""
        return f"cae-{self.machine}-{self.pid:x}-{self.start:x}-{secrets.token_hex(4)}"

    def may_live(self, *, touched: float) -> bool:
        """Return whether it may still run, which a lock that is free does not exclude everywhere.

        Args:
            touched: when its file was last written, in seconds since 1970.
        """
        if self.machine != _machine():
            return time.time() - touched < _OTHER_MACHINE_S
        if os.name == "nt":  # asking would end it; the lock alone tells
            return False
        if Path("/proc/self/stat").exists():
            return _start_of(self.pid) == self.start
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True


def sweep_drafts(folder: Path) -> None:
    """Delete the drafts in ``folder`` that killed processes of this user have left; what cannot be deleted stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".cae-") and Owner.of_name(entry.name) is not None:
                remove_litter(Path(entry.path))


def remove_litter(path: Path) -> bool:
    """Delete a temporary file if its owner is dead and its lock is free; return whether it was.

    A link, another user's file and a file without an owner's name are left alone.
    """
    owner = Owner.of_name(path.name)
    try:
        if owner is None or not is_own(path) or owner.may_live(touched=path.stat(follow_symlinks=False).st_mtime):
            return False
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        free = lock_descriptor(descriptor) and is_same_file(descriptor, path)
        if free and os.name != "nt":
            path.unlink()  # while it is locked
    except OSError:
        free = False
    finally:
        os.close(descriptor)
    if free and os.name == "nt":
        with suppress(OSError):
            path.unlink()
    return free


def is_own(path: Path) -> bool:
    """Return whether this user owns what ``path`` names, and it is no link.

    Raises:
        OSError: there is nothing.
    """
    found = path.stat(follow_symlinks=False)
    return not path.is_symlink() and (not hasattr(os, "geteuid") or found.st_uid == os.geteuid())


@cache
def _machine() -> str:
    """Return 8 digits for this machine since it started: the containers on it share them, as they share its locks."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        import platform

        text = platform.node()
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _start_of(pid: int) -> int | None:
    """Return when a process started, in ticks; None where there is none, or where it has ended and is not mourned yet.

    A number is given out again; with its start it is not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
