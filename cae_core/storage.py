"""Files that are either the old one or the new one, whatever happens while they are written."""

import contextlib
import os
import tempfile
from pathlib import Path

from cae_core.errors import StorageError

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` to ``path`` through a temporary file in the same folder.

    A process killed at any moment leaves the old file or the new one, never a broken one.

    Args:
        path: the file; its folder is made where it is missing.
        content: everything that the file is to hold.
        mode: its permissions; a secret takes 0o600.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}; {len(content):,} bytes). "
            "Free some space or name another place; what was there before is unchanged."
        ) from error
    finally:
        if temporary is not None:  # an interruption leaves nothing behind either
            with contextlib.suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
