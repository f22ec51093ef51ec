"""How long something takes, and how much memory it takes at most."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "measured"]

_PROC = Path("/proc")


@dataclass
class Cost:
    """What something took.

    Attributes:
        seconds: wall-clock time.
        peak_mb: the most memory that this process and those that it has started held meanwhile, each by itself, in 10⁶
            bytes; None where the system does not say.
    """

    seconds: float = 0.0
    peak_mb: float | None = None


@contextmanager
def measured() -> Generator[Cost]:
    """Give a `Cost` that is filled in when the body is through.

    Models of others run in a process of their own, which counts; one that has ended by then does not. Memory is told by
    Linux only.
    """
    cost, began = Cost(), time.perf_counter()
    forgot = [_forget_peak(process) for process in _family()]
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - began
        cost.peak_mb = sum(map(_peak_mb, _family())) if any(forgot) else None


def _family() -> list[int]:
    """Return this process and all that descend from it."""
    parents: dict[int, int] = {}
    with suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                parents[int(entry.name)] = int(_status(int(entry.name)).get("PPid", 0))
    family = [os.getpid()]
    for process in family:  # it grows meanwhile
        family += [child for child, parent in parents.items() if parent == process]
    return family


def _forget_peak(process: int) -> bool:
    try:
        (_PROC / str(process) / "clear_refs").write_text("5")  # proc(5): resets the peak of the resident set
    except OSError:
        return False
    return True


def _peak_mb(process: int) -> float:
    return int(_status(process).get("VmHWM", 0)) * 1024 / 1e6


def _status(process: int) -> dict[str, str]:
    """Return the first word of each line of what the system says of a process; nothing where it has ended."""
    try:
        lines = (_PROC / str(process) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: words.split()[0] for name, _, words in (line.partition(":") for line in lines) if words.split()}
