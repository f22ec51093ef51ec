r"""What a console cannot write is escaped, as \xe9 or \u043c, instead of ending the command after its work is done."""

import codecs
import io
import os
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["escape_what_cannot_be_written"]

_ESCAPED = "backslashreplace"


def escape_what_cannot_be_written() -> None:
    """Make stdout and stderr take every text, whatever their encoding; a closed one forgets it."""
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


class _Ascii(io.TextIOWrapper):
    """A stream of ASCII. Its user is told of a wider encoding, because typer writes UTF-8 to one that says ASCII."""

    @property
    def encoding(self) -> str:  # type: ignore[override] # io's is a read-only attribute as well
        return "latin-1"


def _tolerant(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed before the start; the file that is opened next would get its number
        return Path(os.devnull).open("w", encoding="utf-8", errors=_ESCAPED)
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Ascii):
        return stream
    if codecs.lookup(stream.encoding).name == "ascii":
        return _Ascii(stream.buffer, "ascii", _ESCAPED, line_buffering=stream.line_buffering)
    stream.reconfigure(errors=_ESCAPED)
    return stream
