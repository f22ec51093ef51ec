"""Judging many suspects on workers: a few at a time, and results are handed on as soon as they are there.

Those that are there at once are handed on together: whoever waits for the disk after each would keep workers waiting.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from itertools import islice
from typing import Any, Protocol

from cae_core.dataset import ImageSet
from cae_core.errors import CaeError
from cae_core.scan.judging import Task, forget_worker, judge

__all__ = ["Here", "Workers", "judged"]

_TRIES = 3
"""How often a suspect is given to a worker that dies, before the suspect is said to be at fault."""


class Workers(Protocol):
    """Where suspects are judged; a crew of `cae_backends.execution` is one."""

    @property
    def limit(self) -> int:
        """How many suspects they should be given at a time."""
        ...

    def submit(self, work: Callable[[Task, Any], dict[str, Any]], item: Task, /) -> "Future[dict[str, Any]]":
        """Run ``work(item, ...)``."""
        ...

    def restart(self) -> None:
        """Replace workers that have died."""
        ...

    def share(self, shared: Any, /) -> None:  # noqa: ANN401 - `SharedImages`, or what else a crew takes
        """Give them what all tasks need."""
        ...


class Here:
    """This very thread."""

    limit = 1

    def __init__(self) -> None:
        self._shared: ImageSet | None = None

    def share(self, shared: Any, /) -> None:  # noqa: ANN401 - as workers take it
        """See `Workers.share`."""
        self._shared = shared.images

    def submit(self, work: Callable[[Task, Any], dict[str, Any]], item: Task, /) -> "Future[dict[str, Any]]":
        """Run it before this returns."""
        future: Future[dict[str, Any]] = Future()
        try:
            future.set_result(work(item, self._shared))
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asks for the result gets it
            future.set_exception(error)
        return future

    def restart(self) -> None:
        """Nothing has died."""


def judged(tasks: Iterable[Task], workers: Workers) -> Iterator[list[tuple[Task, dict[str, Any]]]]:
    """Yield tasks with what `judge` says of each, as they finish: all that have finished by then.

    Args:
        tasks: read as they are needed.
        workers: that judge them.

    Raises:
        CaeError: what is no fault of a suspect, such as of the ledger; those that were judged are yielded before.
    """
    try:
        yield from _judged(tasks, workers)
    finally:
        forget_worker()


def _judged(tasks: Iterable[Task], workers: Workers) -> Iterator[list[tuple[Task, dict[str, Any]]]]:
    waiting, again = iter(tasks), deque[Task]()
    running: dict[Future[dict[str, Any]], Task] = {}
    died = Counter[str]()
    while True:
        for task in _next(waiting, again, workers.limit, len(running)):
            running[_submitted(workers, task)] = task
        if not running:
            return
        found: list[tuple[Task, dict[str, Any]]] = []
        failed: CaeError | None = None
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            try:
                found.append((task, future.result()))
            except (BrokenExecutor, CancelledError):
                died[task.name] += 1
                if died[task.name] < _TRIES:
                    again.append(task)
                else:
                    found.append((task, {"error": f"{task.name}: the worker that judged it died, {_TRIES} times."}))
            except CaeError as error:
                failed = error
        if found:
            yield found
        if failed is not None:
            raise failed


def _next(waiting: Iterator[Task], again: deque[Task], limit: int, running: int) -> Iterator[Task]:
    """Yield what is to be started now: so many that no worker waits for us.

    What was with a worker that died is tried alone: where that worker dies too, no other suspect was the reason.
    """
    if again:
        if not running:
            yield again.popleft()
        return
    yield from islice(waiting, (2 * limit if limit > 1 else 1) - running)


def _submitted(workers: Workers, task: Task) -> "Future[dict[str, Any]]":
    try:
        return workers.submit(judge, task)
    except BrokenExecutor:
        workers.restart()
        return workers.submit(judge, task)
