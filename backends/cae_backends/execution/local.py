"""Worker processes of this machine, with one thread each."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

from cae_backends.execution.complaints import collected, print_to
from cae_backends.execution.crew import Crew
from cae_backends.execution.executor import ExecutorCrew
from cae_backends.execution.stopping import obey
from cae_backends.execution.telling import Slots, take_slot, told
from cae_core.files.scratch import leave_scratch_folders

__all__ = ["local_processes"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_SPAWNING = multiprocessing.get_context("spawn")
"""A fork of a process that runs threads can hang."""

_SLOTS: list[Slots] = []
"""In a worker process: the one array in which it tells how far it is."""


class _LocalCrew(ExecutorCrew):
    """Spawned processes with one thread each."""

    def __init__(self, workers: int, complaints: Connection | None) -> None:
        self.stop, self._complaints = _SPAWNING.Event(), complaints
        self._slots: Slots = _SPAWNING.RawArray("q", 2 * workers)
        self._free = list(range(workers))
        self._taken: dict[Future[Any], int] = {}
        super().__init__(self._start(workers), workers)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        given = (self.stop, self._slots, self._complaints)
        return ProcessPoolExecutor(workers, _SPAWNING, initializer=_start_worker, initargs=given)

    def submit(self, work: Callable[[_Item, Any], _Result], item: _Item) -> "Future[_Result]":
        """See `Crew.submit`."""
        self._free += [self._taken.pop(future) for future in list(self._taken) if future.done()]
        if not self._free:  # more than the limit: it does not tell how far it is
            return super().submit(work, item)
        slot = self._free[-1]
        self._slots[2 * slot] = self._slots[2 * slot + 1] = 0
        future: Future[_Result] = self.executor.submit(_run_telling, slot, work, item, self._data)
        self._taken[future] = self._free.pop()
        return future

    def how_far(self, future: "Future[Any]") -> tuple[int, int]:
        """Return what work in progress told last: units done, and of how many; both 0 where it has told nothing."""
        return told(self._slots, self._taken[future]) if future in self._taken else (0, 0)

    def restart(self) -> None:
        """A process pool ends with the first worker that dies; start another."""
        self.executor.shutdown(wait=True, cancel_futures=True)
        self.executor = self._start(self.limit)


@contextlib.contextmanager
def local_processes(workers: int) -> Iterator[Crew]:
    """Give ``workers`` processes of this machine; whatever is raised inside stops their work, see `check_stopped`.

    SIGTERM ends the workers at once and then this process with `SystemExit`, so that nothing is left behind.
    """
    others = set(multiprocessing.active_children())
    with _orderly_termination(), collected(_SPAWNING) as complaints:
        crew = _LocalCrew(workers, complaints)
        try:
            yield crew
        except BaseException as error:
            crew.stop.set()
            if isinstance(error, SystemExit):  # whoever asks for it does not wait for the end of an epoch
                for worker in set(multiprocessing.active_children()) - others:
                    worker.terminate()
            raise
        finally:
            crew.executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _orderly_termination() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit`, unless the program has its own idea of what it means."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows takes a moment
    raise SystemExit(128 + number)


def _start_worker(stop: Event, slots: Slots, complaints: Connection | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides what it means
    signal.signal(signal.SIGTERM, lambda number, _frame: _end(128 + number))
    print_to(complaints)
    obey(stop)
    _SLOTS[:] = [slots]
    os.environ["OMP_NUM_THREADS"] = "1"  # before a framework is imported: two such processes beat one with two threads
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _run_telling(slot: int, work: Callable[[_Item, Any], _Result], item: _Item, data: Callable[[], Any]) -> _Result:
    take_slot(_SLOTS[0], slot)
    return work(item, data())


def _end_with_parent() -> None:
    """A worker whose runner was killed would wait for its next item for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        _end(1)


def _end(code: int) -> None:
    """End this process now, and leave no temporary folder of its own."""
    leave_scratch_folders()
    os._exit(code)
