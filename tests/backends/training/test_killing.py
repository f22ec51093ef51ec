"""kill -9 of runs, workers and Dask workers at random moments: the pool is completed, and is the undisturbed one."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.backends.killing import JOBS, DaskCluster, Site, children, kill_run, kill_workers

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("site"))
    made.complete("undisturbed")
    return made


@pytest.fixture(scope="module")
def dask(site: Site) -> Iterator[DaskCluster]:
    with closing(DaskCluster(site)) as cluster:
        yield cluster


def test_kill_9_of_the_run(site: Site) -> None:
    rng = np.random.default_rng(1)
    killed = 0
    for number in range(4):
        killed += sum(site.disturb(f"run-{number}", kill_run(rng)) for _ in range(2))
        site.complete(f"run-{number}")
        assert site.digest(f"run-{number}") == site.digest("undisturbed")
    assert killed >= 3, "the runs ended before they could be killed"


def test_kill_9_of_workers(site: Site) -> None:
    rng = np.random.default_rng(2)
    killed = 0
    for number in range(3):
        killed += site.disturb(f"worker-{number}", kill_workers(rng))
        site.complete(f"worker-{number}")
        assert site.digest(f"worker-{number}") == site.digest("undisturbed")
    assert killed >= 3


def test_kill_9_of_dask_workers(site: Site, dask: DaskCluster) -> None:
    rng = np.random.default_rng(3)
    killed = 0
    for number in range(3):
        killed += site.disturb(f"dask-{number}", dask.killer(rng), dask.address)
        site.complete(f"dask-{number}", dask.address)
        assert site.digest(f"dask-{number}") == site.digest("undisturbed")
    assert killed >= 3


def test_a_lost_scheduler_ends_the_run_and_keeps_what_is_finished(site: Site) -> None:
    with closing(DaskCluster(site)) as dask:
        with site.start("lost", dask.address, patience=2) as lost:
            assert lost.stdout is not None
            while int(lost.stdout.readline().split()[0]) < 2:
                pass
            dask.lose_scheduler()
            _, errors = lost.communicate(timeout=40)
        assert lost.returncode == 1
        assert f"PoolError: The Dask scheduler at {dask.address} has ended, or cannot be reached any more." in errors
        assert "are kept" in errors
        assert 2 <= len(site.finished("lost")) < len(site.finished("undisturbed"))
        dask.replace()
        site.complete("lost", dask.address)
    assert site.digest("lost") == site.digest("undisturbed")


def test_a_scheduler_that_comes_back_is_used_again(site: Site) -> None:
    with closing(DaskCluster(site)) as dask, site.start("back", dask.address, patience=40) as run:
        assert run.stdout is not None
        while int(run.stdout.readline().split()[0]) < 2:
            pass
        dask.lose_scheduler()
        dask.replace()
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    assert site.digest("back") == site.digest("undisturbed")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_runs_leave_no_workers(number: signal.Signals, site: Site, tmp_path: Path) -> None:
    pool = f"stopped-{number}"
    with site.start(pool) as stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == f"0 {JOBS} \n"
        assert stopped.stdout.readline().split()[0] == "1"
        assert children(stopped.pid, "spawn_main")
        stopped.send_signal(number)
        # The pipes end only once the workers, which inherited them, are gone too.
        _, errors = stopped.communicate(timeout=30)
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert not (site.folder / pool / "pool.toml").exists()
    site.complete(pool)
    assert site.digest(pool) == site.digest("undisturbed")


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_terminated_run_leaves_nothing_and_says_nothing(site: Site, tmp_path: Path, *, whole_group: bool) -> None:
    """As a scheduler ends a job, or a supervisor a service; a shell's `kill %1` reaches the workers as well."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    pool = f"terminated-{whole_group}"
    with site.stopped_at_work(pool, scratch, done=2) as (stopped, _):
        if whole_group:
            os.killpg(stopped.pid, signal.SIGTERM)
        else:
            stopped.terminate()
        os.killpg(stopped.pid, signal.SIGCONT)
        _, errors = stopped.communicate(timeout=30)
    assert (stopped.returncode, errors) == (128 + signal.SIGTERM, "")
    assert not list(scratch.iterdir())
    assert not list((site.folder / pool).rglob(".*"))
    site.complete(pool)
    assert site.digest(pool) == site.digest("undisturbed")


def test_what_a_killed_run_leaves_goes_with_the_next(site: Site, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "somebody-elses").mkdir(parents=True)
    for _ in range(2):
        with site.stopped_at_work("litter", scratch) as (run, left):
            os.killpg(run.pid, signal.SIGKILL)
            run.communicate(timeout=30)
        assert any(path.exists() for path in left), "nothing was left that could go"
    with site.start("litter", scratch=scratch) as run:
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert [path.name for path in scratch.iterdir()] == ["somebody-elses"]
    assert not list((site.folder / "litter").rglob(".*"))
    assert site.digest("litter") == site.digest("undisturbed")
