"""Worker processes of this machine, with one thread each."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Event

from cae_backends.execution.crew import Crew
from cae_backends.execution.executor import ExecutorCrew
from cae_backends.execution.stopping import obey
from cae_core.files.scratch import leave_scratch_folders

__all__ = ["local_processes"]


class _LocalCrew(ExecutorCrew):
    """Spawned processes with one thread each."""

    def __init__(self, workers: int) -> None:
        self._context = multiprocessing.get_context("spawn")  # a fork of a process that runs threads can hang
        self.stop = self._context.Event()
        super().__init__(self._start(workers), workers)

    def _start(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, self._context, initializer=_start_worker, initargs=(self.stop,))

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
    with _orderly_termination():
        crew = _LocalCrew(workers)
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


def _start_worker(stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides what it means
    signal.signal(signal.SIGTERM, lambda number, _frame: _end(128 + number))
    obey(stop)
    os.environ["OMP_NUM_THREADS"] = "1"  # before a framework is imported: two such processes beat one with two threads
    threading.Thread(target=_end_with_parent, daemon=True).start()


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
