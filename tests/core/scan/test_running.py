"""Suspects on workers that die: the others are judged, and the one at fault is told."""

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cae_core.containment.limits import GENEROUS
from cae_core.errors import StorageError
from cae_core.scan import judging, running
from cae_core.scan.judging import Job, Task, entry_of, nonce_of, take_cores
from cae_core.scan.running import Here, judged
from cae_core.verification.options import DEFAULT

JOB = Job(
    fingerprint=Path("f"),
    sha256="",
    nonce=b"",
    options=DEFAULT,
    ledger=None,
    device="cpu",
    limits=GENEROUS,
    full=False,
    forks=False,
)
TASKS = [Task(job=JOB, name=name, sha256="00") for name in "abcdefgh"]


class Dying:
    """Workers of which all die with the one that judges a bad suspect, as those of a process pool do."""

    limit = 2

    def __init__(self, bad: str) -> None:
        self.bad, self.broken, self.restarts, self.most = bad, False, 0, 0
        self.running: list[Future[dict[str, Any]]] = []

    def submit(self, _work: Callable[..., dict[str, Any]], item: Task, /) -> "Future[dict[str, Any]]":
        if self.broken:
            raise BrokenExecutor
        future: Future[dict[str, Any]] = Future()
        self.running = [other for other in self.running if not other.done()] + [future]
        self.most = max(self.most, len(self.running))
        if item.name in self.bad:
            self.broken = True
            for other in self.running:
                with suppress(InvalidStateError):
                    other.set_exception(BrokenExecutor())
        else:
            threading.Timer(0.02, _end, (future, item)).start()
        return future

    def restart(self) -> None:
        self.broken, self.restarts = False, self.restarts + 1

    def share(self, _shared: Any, /) -> None:  # noqa: ANN401
        raise AssertionError("nothing is shared")


def _end(future: "Future[dict[str, Any]]", task: Task) -> None:
    with suppress(InvalidStateError):
        future.set_result({"verdict": task.name})


class Honest(Here):
    def submit(self, _work: Callable[..., dict[str, Any]], item: Task, /) -> "Future[dict[str, Any]]":
        return super().submit(lambda task, _: {"verdict": task.name}, item)


def test_here_each_is_judged_before_the_next_begins() -> None:
    begun: list[str] = []

    def tasks() -> Any:  # noqa: ANN401
        for task in TASKS:
            begun.append(task.name)
            yield task

    for place, together in enumerate(judged(tasks(), Honest()), start=1):
        assert [(task.name, found) for task, found in together] == [(begun[-1], {"verdict": begun[-1]})]
        assert len(begun) == place


def test_one_whose_workers_die_is_told_and_no_other_one() -> None:
    workers = Dying("c")
    found = {task.name: told for together in judged(TASKS, workers) for task, told in together}
    assert found.pop("c") == {"error": "c: the worker that judged it died, 3 times."}
    assert found == {name: {"verdict": name} for name in "abdefgh"}
    assert workers.restarts >= 2
    assert workers.most <= 4


def test_what_is_no_suspects_fault_ends_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "judge", _full)
    with pytest.raises(StorageError, match="the disk is full"):
        list(judged(TASKS, Here()))


def test_nonces_and_entries_follow_from_scan_and_model() -> None:
    drawn = [(nonce_of(scan, model), entry_of(scan, model)) for scan in (b"a", b"b") for model in ("00", "01")]
    assert len({nonce for nonce, _ in drawn}) == len({entry for _, entry in drawn}) == 4
    assert drawn[0] == (nonce_of(b"a", "00"), entry_of(b"a", "00"))
    assert {len(nonce) for nonce, _ in drawn} == {16}
    assert {len(bytes.fromhex(entry)) for _, entry in drawn} == {16}


def test_what_is_there_at_once_is_handed_on_together_before_a_fault_ends_the_scan() -> None:
    class Full(Here):
        """Both are given to it before the first one is waited for, and the second one fails."""

        limit = 2

        def submit(self, _work: Callable[..., dict[str, Any]], item: Task, /) -> "Future[dict[str, Any]]":
            if item.name == "b":
                return super().submit(_full, item)
            return super().submit(lambda task, _: {"verdict": task.name}, item)

    found = judged(TASKS[:4], Full())
    assert sorted(task.name for task, _ in next(found)) == ["a", "c", "d"]
    with pytest.raises(StorageError, match="the disk is full"):
        next(found)


def _full(_task: Task, _shared: object) -> dict[str, Any]:
    raise StorageError("the disk is full")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes keep to no cores here")
@pytest.mark.parametrize(
    ("name", "threads", "forks", "taken"),
    [
        ("SpawnProcess-1", 1, True, {2}),
        ("SpawnProcess-2", 1, True, {3}),
        ("SpawnProcess-5", 1, True, {2}),
        ("SpawnProcess-2", 3, True, {5, 2, 3}),
        ("SpawnProcess-2", 4, True, None),
        ("SpawnProcess-2", None, True, None),
        ("SpawnProcess-2", 1, False, None),
        ("MainProcess", 1, True, None),
    ],
)
def test_workers_keep_to_cores_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    threads: int | None,
    forks: bool,  # noqa: FBT001
    taken: set[int] | None,
) -> None:
    set_to: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5, 4, 3, 2})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _pid, cores: set_to.append(cores))
    monkeypatch.setattr(judging, "current_process", lambda: SimpleNamespace(name=name))
    take_cores(dataclasses.replace(JOB, limits=dataclasses.replace(GENEROUS, threads=threads), forks=forks))
    assert set_to == ([] if taken is None else [taken])
