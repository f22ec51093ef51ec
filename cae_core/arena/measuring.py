"""How long something takes, and how much memory it takes at most."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cost", "measured"]

_RESET, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass
class Cost:
    """What something took.

    Attributes:
        seconds: wall-clock time.
        peak_mb: the most memory that the process held meanwhile, in 10⁶ bytes; None where the system does not say.
    """

    seconds: float = 0.0
    peak_mb: float | None = None


@contextmanager
def measured() -> Generator[Cost]:
    """Give a `Cost` that is filled in when the body is through.

    The peak is of this process: models that run in a process of their own are not in it. It is told by Linux only.
    """
    cost, began = Cost(), time.perf_counter()
    forgot = _forget_peak()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - began
        cost.peak_mb = _peak_mb() if forgot else None


def _forget_peak() -> bool:
    try:
        _RESET.write_text("5")  # proc(5): resets the peak of the resident set
    except OSError:
        return False
    return True


def _peak_mb() -> float | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    held = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if held is None else int(held) * 1024 / 1e6
