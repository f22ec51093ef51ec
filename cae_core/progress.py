"""How a long job says how far it is."""

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Told how far a long job is."""

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """``done`` of ``total`` units of ``stage`` are finished."""
        ...
