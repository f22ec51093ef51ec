"""A terminal: what a command sends to one, and what somebody who sits before it sees."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Session", "screen", "sequences", "session"]

_PART = re.compile(r"\x1b\[([0-9;?]*)([@-~])|\x1b\][^\x07]*\x07|(.)", re.DOTALL)
_NO_TEXT = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[^\[]|[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
WIDTH = 100


@dataclass(frozen=True)
class Session:
    """A command that has ended.

    Attributes:
        code: its exit code.
        sent: everything that it sent to its terminal.
    """

    code: int
    sent: str

    @property
    def lines(self) -> list[str]:
        """What stands on the screen at the end."""
        return screen(self.sent)


def session(arguments: Iterable[str | Path], **environment: str) -> Session:
    """Run `cae` in a terminal of 100 columns."""
    leading, following = pty.openpty()
    command = [sys.executable, "-m", "cae_cli", *map(str, arguments)]
    given = {**os.environ, "TERM": "xterm", "COLUMNS": str(WIDTH), "OMP_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(command, stdout=following, stderr=following, stdin=following, env=given)
    os.close(following)
    sent = b""
    try:
        while block := os.read(leading, 65536):
            sent += block
    except OSError:  # the other end is closed
        pass
    os.close(leading)
    return Session(process.wait(timeout=60), sent.decode("utf-8", "replace"))


def sequences(text: str) -> set[str]:
    """Return what moves, colours or turns something, and whatever else is no plain text; a line's end is none."""
    return set(
        re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[^\[]|[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e]", text)
    )


def screen(sent: str) -> list[str]:
    """Return the lines of a screen without end: cursor up and down, to the margin, erasing, and what is too long.

    Example:
        >>> screen("REJECTED\\r\\nreason\\x1b[1A\\r\\x1b[JUPHELD")
        ['UPHELD']
        >>> screen("one\\n\\rtwo\\r\\n"), screen("x" * 101)[1]
        (['one', 'two'], 'x')
    """
    rows, row, column = [""], 0, 0
    for found in _PART.finditer(sent):
        argument, command, character = found.groups()
        if command is not None:
            row, column = _moved(rows, row, column, command, argument)
        elif character == "\n":
            row += 1
        elif character == "\r":
            column = 0
        elif character is not None and character.isprintable():
            row, column = (row + 1, 0) if column == WIDTH else (row, column)
            rows.extend([""] * (row + 1 - len(rows)))
            rows[row] = rows[row].ljust(column)[:column] + character + rows[row][column + 1 :]
            column += 1
        rows.extend([""] * (row + 1 - len(rows)))
    return [line.rstrip() for line in rows if line.strip()]


def _moved(rows: list[str], row: int, column: int, command: str, argument: str) -> tuple[int, int]:
    """Do what a sequence says; return the place of the cursor."""
    count = int(argument) if argument.isdigit() else 0
    if command == "K":
        rows[row] = "" if count == 2 else rows[row][:column]
    elif command == "J":
        rows[row:] = [rows[row][:column]] if count == 0 else [""]
    elif command == "H":
        return 0, 0
    moves = {"A": (-max(count, 1), 0), "B": (max(count, 1), 0), "C": (0, max(count, 1)), "D": (0, -max(count, 1))}
    down, right = moves.get(command, (0, 0))
    return max(row + down, 0), max(column + right, 0)
