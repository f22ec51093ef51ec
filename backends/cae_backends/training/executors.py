"""Where jobs run: worker processes of this machine, a Dask cluster, or any executor. One interface, one code path."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

from cae_backends.training.job_runner import Task, run_task
from cae_backends.training.pool_store import PoolData, PoolStore, Result, pack_data, unpack_data
from cae_core.errors import BackendMissing, PoolError

__all__ = ["Crew", "ExecutorCrew", "cluster", "local_processes"]

_ANSWER_SECONDS = 5
_WORKER_SECONDS = 30
_RECONNECT_SECONDS = 30
_RESULT_SECONDS = 120
_POLL_SECONDS = 0.2
_RETRIES = 3


class Crew(Protocol):
    """Workers that run tasks."""

    @property
    def limit(self) -> int:
        """How many tasks they should be given at a time."""
        ...

    def share(self, data: PoolData, store: PoolStore) -> None:
        """Give them the data of all tasks."""
        ...

    def submit(self, task: Task) -> "Future[Result]":
        """Run a task.

        Raises:
            BrokenExecutor: a worker has died, and no further task is taken before `restart`.
        """
        ...

    def restart(self) -> None:
        """Replace workers that have died."""
        ...


class ExecutorCrew:
    """Any executor whose workers see the pool's folder."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.executor, self.limit = executor, limit
        self._data = Path()

    def share(self, data: PoolData, store: PoolStore) -> None:
        """See `Crew.share`."""
        self._data = store.store_data(data)

    def submit(self, task: Task) -> "Future[Result]":
        """See `Crew.submit`."""
        return self.executor.submit(_work, task, self._data)

    def restart(self) -> None:
        """The executor's owner sees to that."""


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
    """Give ``workers`` processes of this machine; whatever is raised inside stops their jobs after the epoch."""
    crew = _LocalCrew(workers)
    try:
        yield crew
    except BaseException:
        crew.stop.set()
        raise
    finally:
        crew.executor.shutdown(wait=True, cancel_futures=True)


class _DaskCrew:
    """The workers of a Dask cluster, through its client. They need no folder of ours.

    Where the connection to the scheduler is lost, Dask cancels what was in flight, and takes further jobs as if nothing
    had happened; so no job is given to it before the connection is there again.
    """

    def __init__(self, client: Any, address: str, resources: Mapping[str, float]) -> None:  # noqa: ANN401 - imported lazily
        self._client, self._address = client, address
        self._options = {"resources": dict(resources)} if resources else {}
        self._packed, self._key = b"", ""
        self._data: Any = None
        self._limit = 2

    @property
    def limit(self) -> int:
        """Two for each thread, so that no worker waits for us; workers may come and go."""
        with contextlib.suppress(OSError):  # the scheduler does not answer: `submit` sees to that
            threads: dict[str, int] = self._client.nthreads()
            self._limit = max(2, 2 * sum(threads.values()))
        return self._limit

    def share(self, data: PoolData, store: PoolStore) -> None:  # noqa: ARG002 - the data travel
        """Send the data as a task's argument: unlike scattered data, they outlive every worker that holds them."""
        self._packed, self._key = pack_data(data), f"cae-data-{data.sha256()}"
        self._send()

    def submit(self, task: Task) -> "Future[Result]":
        """Run a task; see `Crew.submit`.

        Raises:
            PoolError: the scheduler cannot be reached any more.
        """
        self._reach()
        if self._data.cancelled():  # with the connection, of which a new scheduler knows nothing
            self._send()
        future: Future[Result] = Future()
        inner = self._client.submit(_work, task, self._data, retries=_RETRIES, **self._options)
        inner.add_done_callback(lambda done: _pass_on(done, future))
        return future

    def restart(self) -> None:
        """The cluster's own business."""

    def _send(self) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            self._data = self._client.submit(unpack_data, self._packed, key=self._key)

    def _reach(self) -> None:
        """Wait while the client looks for its scheduler.

        Raises:
            PoolError: it has given up, or should have.
        """
        deadline = time.monotonic() + 1.5 * _RECONNECT_SECONDS
        while self._client.status != "running":
            if self._client.status in ("closing", "closed") or time.monotonic() > deadline:
                raise PoolError(
                    f"The Dask scheduler at {self._address} has ended, or cannot be reached any more. The models that "
                    "are finished are kept: start it again, and give the same command."
                )
            time.sleep(_POLL_SECONDS)


def _pass_on(done: Any, future: "Future[Result]") -> None:  # noqa: ANN401 - a future of Dask
    """Give ``future`` the outcome of Dask's; where that is lost with a worker or with the scheduler, it is cancelled.

    The client's own executor does the same, but never says anything where fetching the result fails.
    """
    if done.status == "error":
        future.set_exception(_told_why(done.exception()))
        return
    try:
        if done.status == "finished":
            future.set_result(done.result(timeout=_RESULT_SECONDS))
            return
    except (OSError, CancelledError):
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
        future.set_exception(error)
        return
    future.cancel()
    future.set_running_or_notify_cancel()


def _told_why(error: BaseException) -> BaseException:
    """Return what Dask means by a killed worker; any other error as it is."""
    from distributed.scheduler import KilledWorker

    if not isinstance(error, KilledWorker):
        return error
    told = PoolError(
        f"the worker that ran it died, {error.allowed_failures + 1} times: killed, or out of memory? Give the workers "
        "more memory (`dask worker --memory-limit`), or one thread each (--nthreads 1)"
    )
    told.__cause__ = error
    return told


@contextlib.contextmanager
def cluster(address: str, *, resources: Mapping[str, float] | None = None) -> Iterator[Crew]:
    """Give the workers of the Dask cluster whose scheduler has this address.

    Args:
        address: such as ``tcp://10.0.0.5:8786``.
        resources: that a job takes of a worker, such as ``{"GPU": 1}``; workers are started with ``--resources``.

    Raises:
        BackendMissing: distributed is not installed.
        PoolError: nobody answers there, or the cluster has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        message = f"A cluster needs {error.name}: pip install 'cae-fingerprint[cluster]'."
        raise BackendMissing(message) from error
    for name in ("distributed", "distributed.client"):  # what matters is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client: Any = Client(address, timeout=_ANSWER_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise PoolError(
            f"No Dask scheduler answers at {address} within {_ANSWER_SECONDS} s. "
            "Start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`."
        ) from error
    client._timeout = _RECONNECT_SECONDS  # how long it looks for a scheduler that it has lost
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        client.close(timeout=_ANSWER_SECONDS)
        raise PoolError(
            f"The cluster at {address} has no workers. Start some with `dask worker {address} --nthreads 1`."
        ) from error
    try:
        yield _DaskCrew(client, address, resources or {})
    finally:
        client.close(timeout=_ANSWER_SECONDS)


_STOPS: list[Event] = []
"""In a local worker process: the one event that tells it to stop."""


class _StoppedError(Exception):
    """The run was interrupted; nobody waits for this job's result."""


def _work(task: Task, data: PoolData | Path) -> Result:
    def check(_done: int, _epochs: int) -> None:
        if any(stop.is_set() for stop in _STOPS):
            raise _StoppedError

    return run_task(task, data, check)


def _start_worker(stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides what it means
    _STOPS.append(stop)
    os.environ["OMP_NUM_THREADS"] = "1"  # before a framework is imported: two such processes beat one with two threads
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose runner was killed would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
