"""What a long command says on stderr: bars on a terminal, and now and then a line where stderr is none."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from cae_cli.streams import complain
from cae_core.foreign_text import visible
from cae_core.progress import Reporter

__all__ = ["duration", "interruptible", "progress_bar"]

_EVERY_S = 60.0
"""Between two lines where stderr is no terminal; a command that is done before prints none."""


@contextmanager
def interruptible(*, kept: Path | None = None) -> Iterator[None]:
    """Answer Ctrl-C by saying whether anything was kept, and exit with 130.

    Args:
        kept: what is there, a file or a folder with records in it, once something was kept; None: nothing ever is.
    """
    try:
        yield
    except KeyboardInterrupt:
        complain(f"cae: interrupted; {_what_goes_on(kept)}")
        raise typer.Exit(130) from None


@contextmanager
def progress_bar() -> Iterator[Reporter]:
    """Show one bar a stage on stderr, or tell it in lines where stderr is no terminal."""
    with _bars() if sys.stderr.isatty() else _lines() as reporter:
        yield reporter


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1:02:05'
    """
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def _what_goes_on(kept: Path | None) -> str:
    if kept is None:
        return "nothing was changed."
    if kept.is_file() or (kept.is_dir() and any(kept.glob("*.json"))):
        return "the same command goes on where it was."
    return "nothing had been kept yet, so that the same command begins anew."


@contextmanager
def _bars() -> Iterator[Reporter]:
    from cae_cli.bars import open_bars

    with open_bars() as bars:
        yield bars


@contextmanager
def _lines() -> Iterator[Reporter]:
    """Tell in lines, from a thread of their own: a stage may be silent for long."""
    lines, ended = _Lines(), threading.Event()

    def tell_now_and_then() -> None:
        while not ended.wait(_EVERY_S):
            lines.tell()

    thread = threading.Thread(target=tell_now_and_then, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


class _Lines:
    """The last that was told of each stage; printed when it is time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._stage, self._count, self._words = "at work", "", ""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        self._enter(stage)
        self._count = f" {done}/{total}"

    def detail(self, stage: str, words: str, /) -> None:
        self._enter(stage)
        self._words = f" ({visible(words)})" if words else ""

    def say(self, words: str, /) -> None:
        complain(f"cae: {words}")

    def tell(self) -> None:
        """Print where the command is."""
        complain(f"cae: {duration(self._clock() - self._start)} {self._stage}{self._count}{self._words}")

    def _enter(self, stage: str) -> None:
        if stage != self._stage:
            self._stage, self._count, self._words = stage, "", ""
