"""A measured ratio and its target, and the interleaved timing that it comes from."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

__all__ = ["Figure", "Scale", "cpu_seconds", "paired_cpu_seconds", "paired_seconds", "ratio_of_pairs"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        name: what is compared with what.
        value: the ratio, a median over interleaved pairs.
        spread: the smallest and the largest of the pairs.
        target: what is aimed at; None: there is no target.
        at_least: whether a larger value is better.
        detail: the absolute figures behind the ratio.
    """

    name: str
    value: float
    spread: tuple[float, float]
    target: float | None
    at_least: bool
    detail: str

    @classmethod
    def of_pairs(
        cls,
        name: str,
        pairs: Iterable[tuple[float, float]],
        detail: Callable[[float, float], str],
        *,
        target: float | None = None,
        at_least: bool = False,
    ) -> Self:
        """Return the ratio of interleaved pairs; ``detail`` words the medians of either side."""
        taken = list(pairs)
        value, spread = ratio_of_pairs(taken)
        medians = [statistics.median(pair[i] for pair in taken) for i in (0, 1)]
        told = detail(medians[0], medians[1])
        return cls(name=name, value=value, spread=spread, target=target, at_least=at_least, detail=told)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        return {**vars(self), "met": self.met}


@dataclass(frozen=True)
class Scale:
    """How much is run: the real sizes, or small ones that only show that everything works."""

    quick: bool

    def pick(self, full: int, quick: int) -> int:
        """Return the size that applies."""
        return quick if self.quick else full


def paired_seconds(
    sides: Sequence[Callable[[], object]], repeats: int, *, warm_up: bool = True
) -> list[tuple[float, ...]]:
    """Run the sides in turn, ``repeats`` times; return each round's seconds.

    Before that comes one round that does not count, except where a round is long enough not to notice it.

    A disturbance that lasts longer than one round hits every side of it alike, and the ratio less.
    """
    rounds = [tuple(_seconds(side) for side in sides) for _ in range(repeats + warm_up)]
    return rounds[int(warm_up) :]


def paired_cpu_seconds(commands: Sequence[Sequence[str]], repeats: int) -> list[tuple[float, ...]]:
    """Run the commands in turn, each in a fresh process, ``repeats`` times; return each round's CPU seconds.

    One round before that does not count: it compiles the modules and fills the disk's cache.
    """
    rounds = [tuple(cpu_seconds(command) for command in commands) for _ in range(repeats + 1)]
    return rounds[1:]


def ratio_of_pairs(pairs: Iterable[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """Return the median of first / second, and the extremes.

    Example:
        >>> ratio_of_pairs([(2.0, 1.0), (9.0, 3.0), (1.0, 1.0)])
        (2.0, (1.0, 3.0))
    """
    ratios = sorted(first / second for first, second in pairs)
    return statistics.median(ratios), (ratios[0], ratios[-1])


def _seconds(side: Callable[[], object]) -> float:
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def cpu_seconds(command: Sequence[str]) -> float:
    """Return user and system time of the process, threads included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # a start that compiles its modules is a development machine's, not a user's
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
