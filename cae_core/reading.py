"""Reading somebody else's file: limits before it is read, and one border at which any failure becomes one sentence.

A foreign file is whatever its maker wants it to be: a pipe that never ends, a text nested ten thousand deep, a number
of a million digits. What is read here is a regular file of a bounded size, and `reading` is the place where what
parsers and foreign libraries raise about it ends; no list of that would be complete.
"""

import os
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from cae_core.errors import CaeError, first_line

__all__ = ["DEEPEST", "check_depth", "file_size", "parse_toml", "read_limited", "reading"]

DEEPEST = 64
"""Levels of lists and tables that a record may have; those that this project writes have at most ten."""

_POINTS = 100


@contextmanager
def reading(
    where: object, error: type[CaeError], *, fault: str, remedy: str = "", unread: str = "cannot be read"
) -> Generator[None]:
    """Turn whatever reading a foreign file raises into one sentence of the kind ``error``.

    An error of the project's own passes: it is a sentence already. So does what is no `Exception`, an interruption say.

    Args:
        where: the file, or what else is read, as messages name it.
        error: the kind that callers expect.
        fault: what is wrong, such as "this is no pool manifest".
        remedy: what to do, a sentence.
        unread: what is said where the system does not give the file.

    Example:
        >>> with reading("a.json", CaeError, fault="this is not JSON", remedy="Copy it again."):
        ...     int("x")
        Traceback (most recent call last):
        ...
        cae_core.errors.CaeError: a.json: this is not JSON (invalid literal for int() with base 10: 'x'). Copy it again.

    Raises:
        CaeError: of the kind ``error``, where anything else was raised.
    """
    try:
        yield
    except CaeError:
        raise
    except MemoryError as exc:
        raise error(_sentence(where, "this takes more memory than there is", remedy)) from exc
    except RecursionError as exc:
        raise error(_sentence(where, f"{fault} (it is nested too deeply)", remedy)) from exc
    except OSError as exc:
        raise error(_sentence(where, f"{unread} ({exc.strerror or first_line(exc)})", remedy)) from exc
    except Exception as exc:  # parsers read a foreign file here, and no list of what they raise is complete
        raise error(_sentence(where, f"{fault} ({first_line(exc)})", remedy)) from exc


def _sentence(where: object, fault: str, remedy: str) -> str:
    return f"{where}: {fault}. {remedy}".rstrip()


def file_size(path: Path) -> int:
    """Return the size of a regular file, links followed, in bytes.

    Raises:
        ValueError: it is a folder, a pipe or a device, on which a reader may wait for ever.
        OSError: there is no such file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    return found.st_size


def read_limited(path: Path, largest: int) -> bytes:
    """Return the content of a regular file of at most ``largest`` bytes.

    Raises:
        ValueError: it is larger, or a folder, a pipe or a device.
        OSError: it cannot be read.
    """
    # not waited for where somebody puts a pipe in the file's place between the two looks
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if found.st_size > largest:
            raise ValueError(f"it has {found.st_size} bytes, and such a file has at most {largest}")
        content = file.read(largest + 1)
    if len(content) > largest:  # it has grown, or says nothing of its size
        raise ValueError(f"it has more than {largest} bytes")
    return content


def parse_toml(content: bytes) -> dict[str, Any]:
    """Return the table of a TOML text in UTF-8.

    Raises:
        ValueError: it is none, nested more deeply than `check_depth` allows, or written to take long.
    """
    import tomllib  # most models carry their contract: a verification starts without it

    text = content.decode()
    # the time that a key of many parts takes grows with their square
    if any(line.count(".") > _POINTS for line in text.splitlines()):
        raise ValueError(f"a line has more than {_POINTS} points")
    table = tomllib.loads(text)
    check_depth(table)
    return table


def check_depth(value: object, deepest: int = DEEPEST) -> None:
    """Refuse a value of JSON or TOML whose lists and tables are nested more deeply than ``deepest`` levels.

    What is walked through later, to be digested, compared or printed, then never exhausts the stack.

    Example:
        >>> check_depth({"a": [1, 2, {"b": []}]})

    Raises:
        ValueError: it is.
    """
    level = [value]
    for _ in range(deepest + 1):
        level = [item for holder in level for item in _items(holder)]
        if not level:
            return
    raise ValueError(f"it is nested more than {deepest} levels deep")


def _items(holder: object) -> list[object]:
    """Return those items of a list or table, as parsers make them, that hold some in their turn."""
    if isinstance(holder, dict):
        items: Iterable[object] = cast("dict[object, object]", holder).values()
    else:
        items = cast("list[object]", holder) if isinstance(holder, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]
