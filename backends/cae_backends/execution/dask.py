"""The workers of a Dask cluster, on other machines or on this one."""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from cae_backends.execution.crew import Crew, Shared
from cae_core.errors import BackendMissing, ExecutionError

__all__ = ["cluster"]

_ANSWER_SECONDS = 5
_WORKER_SECONDS = 30
_RECONNECT_SECONDS = 30
_RESULT_SECONDS = 120
_POLL_SECONDS = 0.2
_RETRIES = 3

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _DaskCrew:
    """The workers of a Dask cluster, through its client; see `Crew`. They need no folder of ours.

    Where the connection to the scheduler is lost, Dask cancels what was in flight, and takes further work as if nothing
    had happened; so nothing is given to it before the connection is there again.
    """

    def __init__(self, client: Any, address: str, resources: Mapping[str, float]) -> None:  # noqa: ANN401 - imported lazily
        self._client, self._address = client, address
        self._options = {"resources": dict(resources)} if resources else {}
        self._shared: Shared[Any] | None = None
        self._packed = b""
        self._data: Any = None
        self._limit = 2

    @property
    def limit(self) -> int:
        """Two for each thread, so that no worker waits for us; workers may come and go."""
        with contextlib.suppress(OSError):  # the scheduler does not answer: `submit` sees to that
            threads: dict[str, int] = self._client.nthreads()
            self._limit = max(2, 2 * sum(threads.values()))
        return self._limit

    def share(self, shared: Shared[Any]) -> None:
        """Send the data as a task's argument: unlike scattered data, they outlive every worker that holds them."""
        self._shared, self._packed = shared, shared.pack()
        self._send(shared)

    def submit(self, work: Callable[[_Item, Any], _Result], item: _Item) -> "Future[_Result]":
        """See `Crew.submit`.

        Raises:
            ExecutionError: the scheduler cannot be reached any more.
        """
        self._reach()
        if self._shared is not None and self._data.cancelled():  # with the connection: a new scheduler has no data
            self._send(self._shared)
        future: Future[_Result] = Future()
        inner = self._client.submit(work, item, self._data, retries=_RETRIES, **self._options)
        inner.add_done_callback(lambda done: _pass_on(done, future))
        return future

    def restart(self) -> None:
        """The cluster's own business."""

    def _send(self, shared: Shared[Any]) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            self._data = self._client.submit(shared.unpack, self._packed, key=f"cae-data-{shared.name}")

    def _reach(self) -> None:
        """Wait while the client looks for its scheduler.

        Raises:
            ExecutionError: it has given up, or should have.
        """
        deadline = time.monotonic() + 1.5 * _RECONNECT_SECONDS
        while self._client.status != "running":
            if self._client.status in ("closing", "closed") or time.monotonic() > deadline:
                raise ExecutionError(f"The Dask scheduler at {self._address} has ended, or cannot be reached any more.")
            time.sleep(_POLL_SECONDS)


def _pass_on(done: Any, future: "Future[Any]") -> None:  # noqa: ANN401 - a future of Dask
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
    told = ExecutionError(
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
        resources: that an item takes of a worker, such as ``{"GPU": 1}``; workers are started with ``--resources``.

    Raises:
        BackendMissing: distributed is not installed.
        ExecutionError: nobody answers there, or the cluster has no workers.
    """
    client = _client(address)
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        client.close(timeout=_ANSWER_SECONDS)
        raise ExecutionError(
            f"The cluster at {address} has no workers. Start some with `dask worker {address} --nthreads 1`."
        ) from error
    try:
        yield _DaskCrew(client, address, resources or {})
    finally:
        client.close(timeout=_ANSWER_SECONDS)


def _client(address: str) -> Any:  # noqa: ANN401 - imported lazily
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
        raise ExecutionError(
            f"No Dask scheduler answers at {address} within {_ANSWER_SECONDS} s. "
            "Start one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`."
        ) from error
    client._timeout = _RECONNECT_SECONDS  # how long it looks for a scheduler that it has lost
    return client
