"""How long a foreign model may take, and how much memory: so much that honest ones never meet a limit."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cae_core.errors import OptionError, quoted

__all__ = ["GENEROUS", "Limits", "parse_limits"]

_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30

_OPENING_S, _OPENING_S_PER_MB = 120.0, 1.0
"""A framework that is read from a slow disk takes half a minute; a model's optimisation grows with its weights."""

_QUESTION_S, _IMAGE_S, _IMAGE_S_PER_MB = 60.0, 0.5, 0.05
"""What an image costs grows with the weights: 5 s for each 100 MB is a hundred times what one slow core takes."""

_GRADIENT_TIMES = 5.0
"""A backward pass, and what is compiled for it, beside a forward one."""

_MEMORY, _GRADIENT_MEMORY, _TIMES_SIZE = 4 * _GIGABYTE, 24 * _GIGABYTE, 10
"""Beside so many times the weights: an answer's activations are bounded by its batch, those of gradients are kept."""

_OF_MACHINE = 0.8
"""The share of the machine's memory that is never exceeded."""

_UNITS = {"kb": 1 << 10, "mb": _MEGABYTE, "gb": _GIGABYTE, "tb": 1 << 40}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a child process may take; None: so much as fits the model's size.

    Attributes:
        seconds: seconds for opening a model, and for each question, whatever its size.
        memory: bytes.
        threads: number of threads of the runtime; None: as many as it likes.
    """

    seconds: float | None = None
    memory: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "memory", "threads"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e15:
                raise OptionError(f"The limit {name} must be a positive number; found {quoted(value)}.")

    def opening_seconds(self, size: int) -> float:
        """Return how long a model of ``size`` bytes may take to open."""
        return self.seconds or _OPENING_S + _OPENING_S_PER_MB * size / _MEGABYTE

    def question_seconds(self, size: int, images: int, *, gradients: bool = False) -> float:
        """Return how long a model of ``size`` bytes may take to answer so many images."""
        each = _IMAGE_S + _IMAGE_S_PER_MB * size / _MEGABYTE
        return self.seconds or _QUESTION_S + images * each * (_GRADIENT_TIMES if gradients else 1.0)

    def bytes_of_memory(self, size: int, *, gradients: bool = False) -> int:
        """Return how much memory a process may take that holds models of ``size`` bytes together."""
        if self.memory is not None:
            return int(self.memory)
        wanted = (_GRADIENT_MEMORY if gradients else _MEMORY) + _TIMES_SIZE * size
        return min(wanted, int(_OF_MACHINE * _machine_memory()))


GENEROUS = Limits()
"""Those that honest models never meet."""


def _machine_memory() -> int:
    """Return the machine's memory in bytes; more than there is of it where nobody says."""
    if sys.platform == "win32":
        from cae_core.containment.windows import machine_memory

        return machine_memory()
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 62


def parse_limits(text: str) -> Limits:
    """Read limits as the command line takes them.

    Example:
        >>> parse_limits("seconds=600, memory=8GB")
        Limits(seconds=600.0, memory=8589934592, threads=None)

    Raises:
        OptionError: an unknown name, or no number.
    """
    values: dict[str, float | int] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = map(str.strip, part.partition("="))
        try:
            values[name] = _READERS[name](value)
        except (KeyError, ValueError, OverflowError) as error:
            raise OptionError(
                f"The limits must be such as seconds=600,memory=8GB,threads=2; found {quoted(part)}."
            ) from error
    return Limits(**values)  # type: ignore[arg-type] # each by its own reader


def _bytes(text: str) -> int:
    unit = text[-2:].lower()
    return int(float(text[:-2]) * _UNITS[unit]) if unit in _UNITS else int(text)


_READERS: dict[str, Callable[[str], float]] = {"seconds": float, "memory": _bytes, "threads": int}
