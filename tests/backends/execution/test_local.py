"""Functions that know nothing of pools, run on items by processes of this machine and by a thread of this process."""

import os
import time
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cae_backends.execution.crew import Crew, Shared
from cae_backends.execution.executor import this_process
from cae_backends.execution.local import local_processes
from cae_backends.execution.stopping import StoppedError, check_stopped


def repeated(times: int, text: str | None) -> str:
    return (text or "nothing ") * times


def read(packed: bytes | Path) -> str:
    return packed.decode() if isinstance(packed, bytes) else packed.read_text()


def die(_item: int, _data: str | None) -> None:
    os._exit(9)


def work_until_stopped(seconds: int, _data: str | None) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check_stopped()
        time.sleep(0.01)
    return "nobody stopped it"


def process_of(_item: int, _data: str | None) -> int:
    return os.getpid()


@pytest.mark.parametrize("crew", [local_processes(1), this_process()], ids=["a process", "a thread"])
def test_items_are_run_with_the_data_that_they_share(crew: AbstractContextManager[Crew], tmp_path: Path) -> None:
    def store() -> Path:
        path = tmp_path / "shared"
        path.write_text("so ")
        return path

    with crew as workers:
        assert workers.submit(repeated, 2).result(timeout=60) == "nothing nothing "
        workers.share(Shared(name="so", store=store, pack=lambda: b"so ", unpack=read))
        (first, second) = (workers.submit(repeated, times) for times in (1, 3))
        assert (first.result(timeout=60), second.result(timeout=60)) == ("so ", "so so so ")


def test_a_process_that_dies_is_replaced() -> None:
    with local_processes(1) as crew:
        with pytest.raises(BrokenExecutor):
            crew.submit(die, 0).result(timeout=60)
        with pytest.raises(BrokenExecutor):
            crew.submit(process_of, 0)
        crew.restart()
        assert crew.submit(process_of, 0).result(timeout=60) != os.getpid()


def test_what_is_raised_stops_the_work_in_progress() -> None:
    def interrupted() -> None:
        with local_processes(1) as crew:
            working.append(crew.submit(work_until_stopped, 60))
            while not working[0].running():
                time.sleep(0.01)
            raise KeyboardInterrupt

    working: list[Future[str]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(working[0].exception(timeout=0), StoppedError)


def test_nothing_is_stopped_outside_of_a_worker() -> None:
    check_stopped()
