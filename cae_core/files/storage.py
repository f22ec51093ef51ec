"""Files that are either the old one or the new one, whatever happens while they are written.

What is being written is a draft beside the file, locked by who writes it. Whoever writes into the same folder next
takes away the drafts of processes that were killed.
"""

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_core.errors import OverwriteError, StorageError, renaming
from cae_core.files.outputs import refuse_irregular

__all__ = ["creating", "replacing", "write_atomically", "write_new"]

_LONGEST_SUFFIX = 32


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Generator[Path]:
    """Give a temporary path beside ``path``, with its suffix, that takes its place once the body is through.

    An empty file is there to be written over, mode 0600. A process killed at any moment leaves the old file or the new
    one, never a broken one. Where the body raises, the temporary file is deleted and ``path`` stays as it was; an error
    of the project's that names the temporary file is told by the name of ``path``.

    Args:
        path: the file; its folder is made where it is missing.
        mode: its permissions; a secret takes 0o600.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or ``path`` is a link, a device or a folder.
    """
    refuse_irregular(path)
    with _written(path, mode, _replace) as draft:
        yield draft


@contextmanager
def creating(path: Path, *, mode: int = 0o644) -> Generator[Path]:
    """Give a temporary path as `replacing` does, which becomes ``path`` only if nothing is there by then.

    Of several processes that create one file at once, one does and the others are refused.

    Raises:
        OverwriteError: there is a file, or a link; it stays as it is.
        StorageError: see `replacing`.
    """
    with _written(path, mode, _link) as draft:
        yield draft


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` to ``path``; see `replacing`.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    with replacing(path, mode=mode) as draft:
        draft.write_bytes(content)


def write_new(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` to ``path``, which must not be there; see `creating`.

    Raises:
        OverwriteError: it is.
        StorageError: the disk is full, or the folder cannot be written.
    """
    with creating(path, mode=mode) as draft:
        draft.write_bytes(content)


@contextmanager
def _written(path: Path, mode: int, put: Callable[[Path, Path], None]) -> Generator[Path]:
    from cae_core.files.owners import sweep_drafts  # a verification, which writes no file, starts without it

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_drafts(path.parent)
        with _draft(path) as (draft, lock):
            with renaming({str(draft): str(path)}):  # it has gone by the time that a message is read
                yield draft
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.chmod(mode)
            if os.name == "nt":  # which moves no open file
                os.close(lock.pop())
            put(draft, path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). "
            "Free some space or name another place; what was there before is unchanged."
        ) from error


@contextmanager
def _draft(path: Path) -> Generator[tuple[Path, list[int]]]:
    """Give an empty file beside ``path`` that is locked by this process, and the descriptor that locks it."""
    draft, lock = _new_draft(path)
    held = [lock]
    try:
        yield draft, held
    finally:
        if os.name == "nt" and held:  # which deletes no open file
            os.close(held.pop())
        with suppress(OSError):  # an interruption leaves nothing behind either
            draft.unlink(missing_ok=True)
        for descriptor in held:
            os.close(descriptor)


def _new_draft(path: Path) -> tuple[Path, int]:
    from cae_core.files.exclusion import is_same_file, lock_descriptor
    from cae_core.files.owners import Owner

    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX else ""  # a name has its longest length
    while True:
        draft = path.with_name(f".{Owner.present().new_name()}{suffix}")
        # nobody else may read a secret, not even while it is written
        lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if lock_descriptor(lock) and is_same_file(lock, draft):
            return draft, lock
        os.close(lock)  # taken for litter before it was locked


def _replace(draft: Path, path: Path) -> None:
    draft.replace(path)


def _link(draft: Path, path: Path) -> None:
    try:
        _place_once(draft, path)
    except FileExistsError as error:
        raise OverwriteError(
            f"{path}: there is a file already, and it is never overwritten. Name another place."
        ) from error


def _place_once(draft: Path, path: Path) -> None:
    if os.name == "nt":
        draft.rename(path)  # which replaces nothing there
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # a file system without links: the name is taken first, by an empty file
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        draft.replace(path)
