"""Functions that know nothing of pools, run on items by processes of this machine and by a thread of this process."""

import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from cae_backends.execution.crew import Crew, Shared
from cae_backends.execution.executor import this_process
from cae_backends.execution.local import local_processes
from cae_backends.execution.stopping import StoppedError, check_stopped
from cae_backends.execution.telling import tell


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


def tell_two_of_three(_item: int, _data: str | None) -> None:
    tell(2, 3)
    while True:
        check_stopped()
        time.sleep(0.01)


def test_work_says_how_far_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), local_processes(2) as crew:
        _look_at_work(crew)
    tell(1, 2)  # nobody listens in this process


def _look_at_work(crew: Crew) -> None:
    first, second = crew.submit(tell_two_of_three, 0), crew.submit(repeated, 1)
    how_far: Callable[[Future[Any]], tuple[int, int]] = crew.how_far  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while how_far(first) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert how_far(first) == (2, 3)
    second.result(timeout=60)
    assert how_far(second) == (0, 0)  # it has told nothing
    third = crew.submit(repeated, 1)  # in the place of the second, and not of the first
    assert third.result(timeout=60) == "nothing "
    assert how_far(first) == (2, 3)
    unknown: Future[str] = Future()
    assert how_far(unknown) == (0, 0)
    raise KeyboardInterrupt


def complain_as_libraries_do(item: int, _data: str | None) -> None:
    warning = f"warning {item % 2}\x1b[2J"
    print(warning)  # noqa: T201 - as a library does
    os.write(2, b"from below, without an end")
    os.write(2, b"\n")


def test_what_workers_print_comes_home_once(capsys: pytest.CaptureFixture[str]) -> None:
    with local_processes(2) as crew:
        for future in [crew.submit(complain_as_libraries_do, item) for item in range(6)]:
            future.result(timeout=60)
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines.count("  worker: from below, without an end") == 1
    assert lines.count("  worker: warning 0\\x1b[2J") == 1
    assert "\x1b" not in told.err


def test_nothing_is_stopped_outside_of_a_worker() -> None:
    check_stopped()
