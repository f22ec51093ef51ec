"""Kill trainings at random moments: ``python -m tests.backends.killing [--rounds N]``; the tests do it some times.

The networks are linear and in NumPy, from a trainer that is installed as a third party's would be; so a run takes a
second, most of which is spent between a job's first and last file.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np

__all__ = ["JOBS", "DaskCluster", "Killer", "Site", "children", "kill_run", "kill_workers"]

Killer: TypeAlias = Callable[["subprocess.Popen[str]"], int]
"""Kills processes while a run lasts, or the run, and returns how many."""

JOBS = 12

TRAINER = """
from tests.backends.third_party import LinearTrainer

TRAINER = LinearTrainer(pause=0.01)

def export(model, path, contract, image_shape):
    path.write_bytes(b"linear" + model.w.tobytes())
"""

RUNNER = """
import sys
from pathlib import Path
from cae_backends.execution import dask
from cae_backends.training.jobs import PoolJob
from cae_backends.training.pool_jobs import PoolData, train_pool
from cae_backends.training.recipe import Recipe
from tests.backends.blobs import blobs

def jobs(count):
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=0.1)
    common = {"architecture": "linear", "trainer": "linear", "recipe": recipe}
    yield PoolJob(name="source", role="source", kind="source", seed=0, **common)
    for seed in range(1, count):
        kind, parent = ("hard labels", "source") if seed % 2 else ("independent", "")
        yield PoolJob(name=f"model-{seed:02}", role="test", kind=kind, seed=seed, parent=parent, **common)

if __name__ == "__main__":
    folder, count, address = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    dask._RECONNECT_SECONDS = float(sys.argv[4]) if len(sys.argv) > 4 else 30
    crew = dask.cluster(address) if address else None
    def tell(done, total, name):
        print(done, total, name, flush=True)
    train_pool(list(jobs(count)), PoolData(blobs(), blobs(20, seed=1)), folder / "pool.toml",
               workers=2, crew=crew, progress=tell)
"""


class Site:
    """A folder with the trainer, the runner, and pools below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "linear_trainer.py").write_text(TRAINER)
        (folder / "runner.py").write_text(textwrap.dedent(RUNNER))
        installed = folder / "linear-0.dist-info"
        installed.mkdir(exist_ok=True)
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: linear\nVersion: 0\n")
        (installed / "entry_points.txt").write_text(
            "[cae.trainers]\nlinear = linear_trainer:TRAINER\n[cae.exporters]\nlinear = linear_trainer:export\n"
        )
        roots = [str(Path(__file__).parents[2] / part) for part in (".", "backends", "converters", "cli")]
        path = os.pathsep.join([str(folder), *roots, os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def start(
        self, pool: str, address: str = "", *, patience: float | None = None, scratch: Path | None = None
    ) -> "subprocess.Popen[str]":
        """Start a run in a process of its own, the first of a group.

        Args:
            pool: the name of its folder.
            address: of a Dask scheduler, if any.
            patience: the seconds that it looks for a lost scheduler.
            scratch: where its temporary folders are; None: where everybody's are.
        """
        (self.folder / pool).mkdir(exist_ok=True)
        command = [sys.executable, str(self.folder / "runner.py"), str(self.folder / pool), str(JOBS)]
        command += [address] if address else []
        command += [str(patience)] if patience is not None else []
        return subprocess.Popen(
            command,
            env=self.environment if scratch is None else {**self.environment, "TMPDIR": str(scratch)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextmanager
    def stopped_at_work(
        self, pool: str, scratch: Path, done: int = 0
    ) -> "Iterator[tuple[subprocess.Popen[str], list[Path]]]":
        """Start a run, and stop it and its workers (SIGSTOP) while there are temporary folders of theirs.

        Args:
            pool: the name of its folder.
            scratch: where its temporary folders are.
            done: how many jobs are to be finished first.

        Yields:
            (process, list of paths): the run, which does not go on before SIGCONT, and the folders.
        """
        with self.start(pool, scratch=scratch) as run:
            assert run.stdout is not None
            while int(run.stdout.readline().split()[0]) < done:
                pass
            while run.poll() is None:
                os.killpg(run.pid, signal.SIGSTOP)
                time.sleep(0.01)  # a signal reaches a process that runs elsewhere a moment later
                if folders := list(scratch.glob("cae-*")):
                    yield run, folders
                    return
                os.killpg(run.pid, signal.SIGCONT)
                time.sleep(0.003)
            raise AssertionError("the run ended, and had no temporary folder at any time")

    def finished(self, pool: str) -> dict[str, int]:
        """Return when each record was written: a job that is done again has a new one."""
        records = (self.folder / pool / "state").glob("[!.]*.json")  # with a dot: a draft that was interrupted
        return {path.name: path.stat().st_mtime_ns for path in records}

    def digest(self, pool: str) -> str:
        """Return a digest of the manifest, the models, the weights and, but for their times, the records."""
        folder, digest = self.folder / pool, hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            whole = not path.name.startswith(".")  # a name with a dot in front is a draft that was interrupted
            if whole and path.suffix in (".toml", ".onnx", ".safetensors"):
                digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
        return digest.hexdigest()

    def complete(self, pool: str, address: str = "") -> None:
        """Run to the end, and see that nothing that was finished is done again."""
        before = self.finished(pool)
        process = self.start(pool, address)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        after = self.finished(pool)
        assert len(after) == JOBS
        assert {name: after[name] for name in before} == before

    def disturb(self, pool: str, kill: "Killer", address: str = "") -> int:
        """Start a run and let ``kill`` do its work once the run trains; return how many processes it has killed."""
        before = self.finished(pool)
        process = self.start(pool, address)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[0]) >= len(before):
                break
        killed = kill(process)
        process.communicate(timeout=120)
        after = self.finished(pool)
        assert {name: after[name] for name in before} == before, "a finished job was done again"
        return killed


def children(pid: int, mark: str) -> list[int]:
    """Return the processes below ``pid`` whose command line contains ``mark``."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            try:
                command = Path(f"/proc/{child}/cmdline").read_bytes().decode()
            except OSError:
                continue
            found += [child] if mark in command else []
            found += children(child, mark)
    return found


def kill_run(rng: np.random.Generator) -> Killer:
    """Kill the run itself, soon."""

    def kill(process: "subprocess.Popen[str]") -> int:
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        return int(process.returncode == -signal.SIGKILL)

    return kill


def kill_workers(rng: np.random.Generator) -> Killer:
    """Kill one worker of the run after the other while it lasts, at most three."""

    def kill(process: "subprocess.Popen[str]") -> int:
        killed = 0
        while process.poll() is None and killed < 3:
            time.sleep(rng.uniform(0.05, 0.6))
            workers = children(process.pid, "spawn_main")
            if workers and process.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(int(rng.choice(workers)), signal.SIGKILL)
                    killed += 1
        return killed

    return kill


class DaskCluster:
    """A scheduler and two workers on the loopback; a worker that is killed is replaced, as a supervisor would."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._scheduler, self.address = self._start_scheduler("0")
        self._workers = [self._start_worker(), self._start_worker()]

    def _start_scheduler(self, port: str) -> "tuple[subprocess.Popen[bytes], str]":
        file = self._site.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", port, "--no-dashboard", "--scheduler-file", str(file)]
        started = self._start("scheduler", *options)
        deadline = time.monotonic() + 60
        while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return started, str(json.loads(file.read_text())["address"])

    def lose_scheduler(self) -> None:
        """Kill the scheduler, and nothing else."""
        self._scheduler.kill()
        self._scheduler.wait()

    def replace(self) -> None:
        """Start a scheduler at the same address, and workers that it knows."""
        for process in self._workers:
            process.kill()
            process.wait()
        self._scheduler, found = self._start_scheduler(self.address.rpartition(":")[2])
        assert found == self.address
        self._workers = [self._start_worker(), self._start_worker()]

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            env=self._site.environment,
            cwd=self._site.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _start_worker(self) -> "subprocess.Popen[bytes]":
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        return self._start("worker", self.address, *options, "--local-directory", str(self._site.folder))

    def killer(self, rng: np.random.Generator) -> Killer:
        """Kill one of the workers after the other while the run lasts, at most three."""

        def kill(process: "subprocess.Popen[str]") -> int:
            killed = 0
            while process.poll() is None and killed < 3:
                time.sleep(rng.uniform(0.05, 0.6))
                if process.poll() is None:
                    place = int(rng.integers(len(self._workers)))
                    self._workers[place].kill()
                    self._workers[place].wait()
                    self._workers[place] = self._start_worker()
                    killed += 1
            return killed

        return kill

    def close(self) -> None:
        """End all three processes."""
        for process in (*self._workers, self._scheduler):
            process.kill()
            process.wait()


def main() -> None:
    """Kill runs, workers and Dask workers ``--rounds`` times each and see that every pool ends the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.backends.killing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        site = Site(Path(name))
        site.complete("undisturbed")
        expected, total = site.digest("undisturbed"), 0
        with closing(DaskCluster(site)) as dask:
            for number in range(options.rounds):
                for victim, kill, where in (
                    ("run", kill_run(rng), ""),
                    ("worker", kill_workers(rng), ""),
                    ("dask", dask.killer(rng), dask.address),
                ):
                    pool = f"{victim}-{number}"
                    total += site.disturb(pool, kill, where)
                    site.complete(pool, where)
                    assert site.digest(pool) == expected, pool
                sys.stderr.write(f"round {number + 1}: {total} processes killed, every pool is the undisturbed one\n")


if __name__ == "__main__":
    main()
