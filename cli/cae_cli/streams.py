r"""What stdout and stderr take: every text, whatever their encoding; and a stream that takes nothing says so.

What a console cannot write is escaped, as \xe9 or \u043c, instead of ending the command after its work is done.
"""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from cae_core.foreign_text import harmless

__all__ = ["complain", "escape_what_cannot_be_written", "flush_output", "give_up_output", "say"]

_ESCAPED = "backslashreplace"

_INDENT = "  "


def escape_what_cannot_be_written() -> None:
    """Make stdout and stderr take every text, whatever their encoding. A closed stderr forgets, a closed stdout fails.

    A result that nobody can read must not pass for one that was printed.
    """
    _occupy_standard_numbers()
    sys.stdout = _Closed() if sys.stdout is None else _tolerant(sys.stdout)  # pyright: ignore[reportUnnecessaryComparison]
    sys.stderr = _nowhere() if sys.stderr is None else _tolerant(sys.stderr)  # pyright: ignore[reportUnnecessaryComparison]


def say(text: str) -> None:
    """Print lines of ours on stdout; what a stranger has named in them is `harmless`.

    Raises:
        OSError: stdout takes nothing.
    """
    sys.stdout.write(harmless(text) + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print a message on stderr, as far as there is one: what a stranger has named in it is `harmless`.

    Lines after the first are indented, so that none of them, written into a name, can pass for a message of its own.
    The same holds of those that a terminal would make of a long one.
    """
    first, *more = harmless(text).split("\n")
    lines = [first, *(line if line.startswith(_INDENT) or not line else _INDENT + line for line in more)]
    with suppress(OSError, ValueError):  # full, or closed since
        if sys.stderr.isatty():
            lines = [part for line in lines for part in _fitted(line)]
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()


def _fitted(line: str) -> list[str]:
    """Divide a line between its words, as wide as the terminal is; a word stays whole, so that a path can be copied."""
    import shutil
    import textwrap

    words = line.lstrip(" ")
    margin = line[: len(line) - len(words)]
    parts = textwrap.wrap(
        words,
        max(shutil.get_terminal_size().columns, 20),
        initial_indent=margin,
        subsequent_indent=margin or _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return parts or [line]


def flush_output() -> OSError | None:
    """Write what stdout still holds; return the error where it cannot be written, after which nothing more is tried."""
    try:
        sys.stdout.flush()
    except OSError as error:
        give_up_output()
        return error
    except ValueError:  # closed by somebody
        return None
    return None


def give_up_output() -> None:
    """Let the rest of what is written to stdout vanish: the interpreter would try to write it again at its end."""
    if isinstance(sys.stdout, _Closed):
        sys.stdout = _nowhere()
        return
    with suppress(OSError, ValueError):  # not a file's stream, such as a test's
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


class _Ascii(io.TextIOWrapper):
    """A stream of ASCII. Its user is told of a wider encoding, because typer writes UTF-8 to one that says ASCII."""

    @property
    def encoding(self) -> str:  # type: ignore[override] # io's is a read-only attribute as well
        return "latin-1"


class _Closed(io.TextIOBase):
    """A stdout that was closed before the start: whatever is written fails, as it would for the system."""

    encoding = "utf-8"  # pyright: ignore[reportIncompatibleVariableOverride]

    def write(self, _text: str, /) -> int:
        """Refuse it.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _tolerant(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Ascii):
        return stream
    if codecs.lookup(stream.encoding).name == "ascii":
        return _Ascii(stream.buffer, "ascii", _ESCAPED, line_buffering=stream.line_buffering)
    stream.reconfigure(errors=_ESCAPED)
    return stream


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8", errors=_ESCAPED)  # noqa: PTH123 - no path


def _occupy_standard_numbers() -> None:
    """Give the numbers of closed standard streams to nothing: the file that is opened next would get one of them.

    A library that complains on stderr would write into a ledger.
    """
    number = 0
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
