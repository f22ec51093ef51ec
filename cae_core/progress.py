"""How a long job says how far it is.

A function of three values is enough to be told. Whoever has two methods more, see `Reporter`, is told in words besides:
what is being done just now, and what stays worth knowing.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

__all__ = ["Progress", "Reporter", "StageProgress", "detail", "say", "silent", "stage"]

StageProgress: TypeAlias = Callable[[int, int], None]
"""Told how far one stage is: how many units are done, and of how many."""


class Progress(Protocol):
    """Told how far a long job is."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """``done`` of ``total`` units of ``stage`` are finished."""
        ...


class Reporter(Progress, Protocol):
    """A `Progress` that takes words as well; nobody has to be one."""

    def detail(self, stage: str, words: str, /) -> None:
        """``words`` say what ``stage`` is at now, until others do; it may come before the stage's first unit."""
        ...

    def say(self, words: str, /) -> None:
        """``words`` are a sentence that should be read, such as that an interrupted run goes on."""
        ...


def detail(progress: object, stage: str, words: str) -> None:
    """Tell ``progress``, a `Progress` or what `stage` returns, what a stage is at; who takes no words is not told.

    Example:
        >>> detail(lambda stage, done, total: None, "opening models", "a.onnx")
    """
    told: Callable[[str, str], None] | None = getattr(progress, "detail", None)
    if told is not None:
        told(stage, words)


def say(progress: object, words: str) -> None:
    """Tell ``progress`` a sentence that should be read; who takes no words is not told."""
    told: Callable[[str], None] | None = getattr(progress, "say", None)
    if told is not None:
        told(words)


class _Stage:
    """Tells of one stage of a job, whatever the stage calls itself."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def __call__(self, done: int, total: int, *_more: object) -> None:
        self._progress(self._name, done, total)

    def detail(self, _stage: str, words: str, /) -> None:
        detail(self._progress, self._name, words)

    def say(self, words: str, /) -> None:
        say(self._progress, words)


def stage(progress: Progress, name: str) -> Callable[..., None]:
    """Return what tells ``progress`` of the one stage ``name``; what a job tells beyond done and total is dropped.

    Example:
        >>> stage(lambda *told: print(*told), "asking models")(2, 5)
        asking models 2 5
    """
    return _Stage(progress, name)


def silent(*_told: object) -> None:
    """Tell nobody; it serves as a `Progress` and as a `StageProgress`."""
