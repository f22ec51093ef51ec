"""Published weights: their download by a framework's own means, and what is said where they cannot be had."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from cae_core.errors import ModelError, first_line

__all__ = ["bounded_download", "check_file", "download_failed"]

_TIMEOUT = 20.0
"""Seconds without a byte after which a connection is given up."""


@contextmanager
def bounded_download() -> Iterator[None]:
    """Give each connection opened inside a timeout, which no framework sets, and send to stderr what is printed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def download_failed(name: str, *, tried: str, file: str, exc: Exception) -> ModelError:
    """Return the error that says what was tried, why it failed, and which file to give instead."""
    return ModelError(
        f"The ImageNet weights of {name} could not be loaded from {tried} ({first_line(exc)}). "
        f"Without a network, fetch {file} elsewhere and give its path as weights."
    )


def check_file(path: Path) -> None:
    """Refuse a path where there is no file.

    Raises:
        ModelError: there is none.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights. Give the path of an existing one.")
