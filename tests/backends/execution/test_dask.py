"""A Dask cluster: what its futures come to, and what is said where nobody answers."""

from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

import pytest
from distributed.scheduler import KilledWorker

from cae_backends.execution import dask
from cae_backends.execution.dask import cluster
from cae_core.errors import ExecutionError


class TestCluster:
    def test_an_unreachable_one_is_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dask, "_ANSWER_SECONDS", 0.5)
        with (
            pytest.raises(ExecutionError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"),
            cluster("tcp://127.0.0.1:9"),
        ):
            pytest.fail("somebody answered")
        with pytest.raises(ExecutionError, match="No Dask scheduler answers at nonsense"), cluster("nonsense"):
            pytest.fail("somebody answered")

    def test_a_worker_that_dask_calls_killed_is_told_with_its_memory(self) -> None:
        worker: Any = type("Worker", (), {"address": "tcp://127.0.0.1:1"})()
        future = passed_on(Outcome("error", KilledWorker("task", worker, 3)))
        with pytest.raises(ExecutionError, match=r"died, 4 times: killed, or out of memory\? Give .*--memory-limit"):
            future.result(timeout=1)

    def test_other_outcomes_are_passed_on(self) -> None:
        made: Any = object()
        assert passed_on(Outcome("finished", made)).result(timeout=1) is made
        assert isinstance(passed_on(Outcome("error", ValueError("x"))).exception(timeout=1), ValueError)
        assert isinstance(passed_on(Outcome("error", OSError("its disk"))).exception(timeout=1), OSError)
        assert isinstance(passed_on(Outcome("finished", ValueError("x"))).exception(timeout=1), ValueError)

    @pytest.mark.parametrize("lost", [OSError("closed"), TimeoutError(), CancelledError()])
    def test_a_result_that_cannot_be_fetched_is_made_again(self, lost: Exception) -> None:
        future = passed_on(Outcome("finished", lost))
        assert future in wait([future], timeout=1).done
        assert future.cancelled()
        assert passed_on(Outcome("cancelled", None)).cancelled()
        assert passed_on(Outcome("lost", None)).cancelled()


@dataclass
class Outcome:
    """A future of Dask that is done."""

    status: str
    value: Any

    def exception(self) -> BaseException:
        error: BaseException = self.value
        return error

    def result(self, timeout: float) -> Any:  # noqa: ANN401, ARG002
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def passed_on(outcome: Outcome) -> "Future[Any]":
    future: Future[Any] = Future()
    dask._pass_on(outcome, future)
    return future
