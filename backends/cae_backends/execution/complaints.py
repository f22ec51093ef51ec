"""What worker processes print, brought home: each line once, and as one that a bar on the terminal makes room for."""

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext

from cae_core.foreign_text import visible

__all__ = ["collected", "print_to"]

_STANDARD = (1, 2)


@contextmanager
def collected(context: SpawnContext) -> Generator[Connection | None]:
    """Give what `print_to` takes in a worker; what comes is printed on this process's stderr.

    Two workers that warn of the same thing are one warning. None where a worker cannot take it (Windows), and prints
    as it likes.
    """
    if sys.platform == "win32":
        yield None
        return
    receiving, sending = context.Pipe(duplex=False)
    thread = threading.Thread(target=_print_all, args=(receiving.fileno(),), daemon=True)
    thread.start()
    try:
        yield sending
    finally:
        sending.close()  # the workers have ended: so has the pipe
        thread.join(timeout=5)
        receiving.close()


def print_to(sending: Connection | None) -> None:
    """Let everything that this process prints go there, be it Python or a library that writes by itself."""
    if sending is not None:
        for number in _STANDARD:
            os.dup2(sending.fileno(), number)


def _print_all(pipe: int) -> None:
    seen: set[bytes] = set()
    rest = b""
    with suppress(OSError):
        while block := os.read(pipe, 1 << 16):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                _print_once(line, seen)
        _print_once(rest, seen)


def _print_once(line: bytes, seen: set[bytes]) -> None:
    text = line.rstrip()
    if text and text not in seen:
        seen.add(text)
        with suppress(OSError, ValueError, AttributeError):  # full, closed, or none
            print(f"  worker: {visible(text.decode('utf-8', 'replace'), 500)}", file=sys.stderr, flush=True)  # noqa: T201
