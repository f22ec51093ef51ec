"""How work that runs in a process of this machine says how far it is, without a lock that a killed one could hold."""

from typing import Protocol

__all__ = ["Slots", "take_slot", "tell", "told"]


class Slots(Protocol):
    """Whole numbers that processes share: two a slot, how many units are done and of how many."""

    def __getitem__(self, index: int, /) -> int:
        """Return one."""
        ...

    def __setitem__(self, index: int, value: int, /) -> None:
        """Set one."""
        ...


_OWN: list[tuple[Slots, int]] = []
"""In a worker process: where the work in progress tells. Elsewhere there is none."""


def take_slot(slots: Slots, slot: int) -> None:
    """Let `tell` in this process write into this slot."""
    _OWN[:] = [(slots, slot)]


def tell(done: int, total: int) -> None:
    """Say that ``done`` of ``total`` units are behind; long work calls this now and then."""
    for slots, slot in _OWN:
        slots[2 * slot + 1] = total
        slots[2 * slot] = done


def told(slots: Slots, slot: int) -> tuple[int, int]:
    """Return what was told last: units done, and of how many; both 0 where nothing was."""
    return slots[2 * slot], slots[2 * slot + 1]
