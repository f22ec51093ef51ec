"""Workers behind any executor of the standard library's interface, such as one thread of this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from cae_backends.execution.crew import Crew, Shared

__all__ = ["ExecutorCrew", "this_process"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ExecutorCrew:
    """Any executor whose workers see this machine's files; see `Crew`."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.executor, self.limit = executor, limit
        self._data: Callable[[], Any] = _nothing

    def share(self, shared: Shared[Any]) -> None:
        """See `Crew.share`."""
        self._data = partial(_read, shared.unpack, shared.store())

    def submit(self, work: Callable[[_Item, Any], _Result], item: _Item) -> "Future[_Result]":
        """See `Crew.submit`."""
        return self.executor.submit(_run, work, item, self._data)

    def restart(self) -> None:
        """The executor's owner sees to that."""


@contextmanager
def this_process() -> Iterator[Crew]:
    """Give one thread of this process, where starting another process would not pay."""
    with ThreadPoolExecutor(1) as executor:
        yield ExecutorCrew(executor, limit=1)


def _run(work: Callable[[_Item, Any], _Result], item: _Item, data: Callable[[], Any]) -> _Result:
    return work(item, data())


def _nothing() -> None:
    """Stand for data where none are shared."""


@lru_cache(maxsize=1)
def _read(unpack: Callable[[Path], Any], path: Path) -> Any:  # noqa: ANN401 - whatever is shared
    """Read the file once in each process, and not for each item."""
    return unpack(path)
