"""Workers that run a function on items, with data that all the items need: what every kind of workers offers."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Crew", "Shared"]

_Data_co = TypeVar("_Data_co", covariant=True)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Shared(Generic[_Data_co]):
    """Data that all items need: they are sent once, and not with each item.

    Attributes:
        name: the same for the same data, and another for others.
        store: puts them into a file, for workers that see this machine's files, and returns its path.
        pack: returns them as bytes, for workers that do not.
        unpack: reads either of the two; picklable.
    """

    name: str
    store: Callable[[], Path]
    pack: Callable[[], bytes]
    unpack: Callable[[bytes | Path], _Data_co]


class Crew(Protocol):
    """Workers that run a function on items."""

    @property
    def limit(self) -> int:
        """How many items they should be given at a time."""
        ...

    def share(self, shared: Shared[Any]) -> None:
        """Give them the data of all items; without, the function is called with None."""
        ...

    def submit(self, work: Callable[[_Item, Any], _Result], item: _Item) -> "Future[_Result]":
        """Run ``work(item, data)``, all of which is picklable.

        Raises:
            BrokenExecutor: a worker has died, and nothing more is taken before `restart`.
            ExecutionError: the workers cannot be reached any more.
        """
        ...

    def restart(self) -> None:
        """Replace workers that have died."""
        ...
