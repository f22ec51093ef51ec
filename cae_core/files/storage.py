"""Files that are either the old one or the new one, whatever happens while they are written."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cae_core.errors import StorageError
from cae_core.files.outputs import refuse_irregular

__all__ = ["replacing", "write_atomically"]


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Generator[Path]:
    """Give a temporary path beside ``path``, with its suffix, that takes its place once the body is through.

    A process killed at any moment leaves the old file or the new one, never a broken one. Where the body raises, the
    temporary file is deleted and ``path`` stays as it was.

    Args:
        path: the file; its folder is made where it is missing.
        mode: its permissions; a secret takes 0o600.

    Raises:
        StorageError: the disk is full, the folder cannot be written, or ``path`` is a link, a device or a folder.
    """
    refuse_irregular(path)
    draft = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). "
            "Free some space or name another place; what was there before is unchanged."
        ) from error
    finally:
        with suppress(OSError):  # an interruption leaves nothing behind either
            draft.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` to ``path``; see `replacing`.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """

    # the mode from the start: nobody else may read a secret, not even while it is written
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    with replacing(path, mode=mode) as draft, open(draft, "xb", opener=opener) as file:
        file.write(content)
