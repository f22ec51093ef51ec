"""How a long job says how far it is."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

__all__ = ["Progress", "StageProgress", "silent", "stage"]

StageProgress: TypeAlias = Callable[[int, int], None]
"""Told how far one stage is: how many units are done, and of how many."""


class Progress(Protocol):
    """Told how far a long job is."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """``done`` of ``total`` units of ``stage`` are finished."""
        ...


def stage(progress: Progress, name: str) -> Callable[..., None]:
    """Return what tells ``progress`` of the one stage ``name``; what a job tells beyond done and total is dropped.

    Example:
        >>> stage(lambda *told: print(*told), "asking models")(2, 5)
        asking models 2 5
    """

    def told(done: int, total: int, *_more: object) -> None:
        progress(name, done, total)

    return told


def silent(*_told: object) -> None:
    """Tell nobody; it serves as a `Progress` and as a `StageProgress`."""
