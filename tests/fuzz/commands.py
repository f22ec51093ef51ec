"""The command line in this process, for files that a reader has accepted: what do the commands make of them?"""

import io
import sys
from pathlib import Path

from cae_cli.main import main

__all__ = ["command"]


def command(*arguments: str | Path) -> str:
    """Run ``cae`` with these arguments, and return what it has printed; its own exit codes are no failure."""
    before = sys.argv, sys.stdout, sys.stderr
    printed, complained = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    sys.argv, sys.stdout, sys.stderr = ["cae", *map(str, arguments)], printed, complained
    try:
        main()
    except SystemExit as ended:
        if ended.code not in (None, 0, 1, 2, 3, 4):
            raise RuntimeError(f"exit code {ended.code}") from ended
    finally:
        sys.argv, sys.stdout, sys.stderr = before
    for stream in (printed, complained):
        stream.flush()
    content = printed.buffer.getvalue() if isinstance(printed.buffer, io.BytesIO) else b""
    return content.decode()
