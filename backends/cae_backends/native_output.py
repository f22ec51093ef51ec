"""What native code writes past Python's streams."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_stderr"]


@contextmanager
def without_stderr() -> Iterator[None]:
    """Drop whatever this process writes to its standard error meanwhile, native code included."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - no path, a device
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
