"""Train a pool from a list of jobs and write its manifest.

A second run does only what is missing; a failed job does not stop the others; a worker that dies costs its job in
progress, which is tried again; an interruption keeps what is finished.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from cae_backends.execution.crew import Crew
from cae_backends.execution.local import local_processes
from cae_backends.training.inventory import Inventory
from cae_backends.training.job_runner import Task, exporter_name, work
from cae_backends.training.jobs import PoolJob, check_jobs
from cae_backends.training.pace import Pace, Running
from cae_backends.training.pool_rows import check_places, write_members
from cae_backends.training.pool_store import PoolData, PoolStore, Result
from cae_backends.training.trainers import find_exporter
from cae_core.errors import CaeError, ExecutionError, PoolError, StorageError
from cae_core.progress import detail, say

__all__ = ["PoolData", "PoolProgress", "train_pool"]

PoolProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with the jobs done, their number, and the name of the last one; at the start with 0 and no name."""

_ATTEMPTS = 3
_LOOK_S = 1.0
"""Between two looks at how far the jobs are."""
_SHOWN = 2
_LISTED = 12


def train_pool(
    jobs: Sequence[PoolJob],
    data: PoolData,
    manifest: Path,
    *,
    workers: int | None = None,
    crew: AbstractContextManager[Crew] | None = None,
    device: str = "auto",
    replace: bool = False,
    progress: PoolProgress | None = None,
) -> Path:
    """Train what is missing of a pool, write its manifest and return the manifest's path.

    Members of an existing manifest that were added from elsewhere stay in it.

    Args:
        jobs: in the manifest's order; see `check_jobs` for what they must fulfil.
        data: the images to train on and to measure the accuracy on.
        manifest: the file; the models go into folders beside it.
        workers: jobs at a time, each in a process with one thread; None: as many as there are processors.
        crew: runs the jobs instead of local processes; see the modules of `cae_backends.execution`.
        device: where a worker trains, see `Trainer.build`.
        replace: whether a job whose inputs have changed may overwrite its finished model.
        progress: called for each finished job, those of earlier runs included; see `PoolProgress`. One that takes
            words too, see `cae_core.progress.Reporter`, is told which jobs run, and what an interruption waits for.

    Raises:
        PoolError: the jobs do not fit together, or not with what is there; or some failed, and it lists them. The
            others are kept.
        BackendMissing: nothing is installed that writes the models of a job's trainer.
        StorageError: the folder cannot be written.
    """
    if data.foreign is None and any(job.queries == "foreign" for job in jobs):
        raise PoolError("Some members ask about foreign images, and there are none. Name them, or leave these out.")
    store = PoolStore(manifest.resolve().parent)
    ordered = check_jobs(jobs)
    check_places(ordered.values(), store, manifest)
    inventory = Inventory(ordered, store, data=data.sha256(), replace=replace)
    run = _Run(inventory, device=device, progress=progress)
    run.find_finished()
    run.say_finished()
    run.check_waiting()
    if run.waiting:
        with crew or local_processes(workers or os.cpu_count() or 1) as chosen:
            chosen.share(store.shared(data))
            try:
                run.drive(chosen)
            except KeyboardInterrupt:
                run.say_stopping()
                raise
    if run.failures:
        raise PoolError(_summary(run.failures, inventory)) from next(iter(run.failures.values()))
    write_members(manifest, [(job, inventory.records[job.name]) for job in jobs], store, data)
    return manifest


class _Run:
    """One call of `train_pool`: what waits, what is being computed and what failed, by job name."""

    def __init__(self, inventory: Inventory, *, device: str, progress: PoolProgress | None) -> None:
        self.inventory, self.device, self.progress = inventory, device, progress
        self.waiting = dict(inventory.jobs)
        self.flying: dict[Future[Result], str] = {}
        self.failures: dict[str, BaseException] = {}
        self.attempts: dict[str, int] = {}
        self.suspects: set[str] = set()
        self.running: dict[str, Running] = {}
        self.pace = Pace()
        self._tell("")

    def find_finished(self) -> None:
        """Take over what earlier runs have made."""
        for name, job in list(self.waiting.items()):  # parents stand before their children
            if self.inventory.is_ready(job) and self.inventory.find(job):
                del self.waiting[name]
                self._tell(name)

    def check_waiting(self) -> None:
        """Refuse what cannot be exported, and to overwrite a finished model before hours are spent.

        Where a parent is not there yet, `_start` sees to the second.
        """
        for name in sorted({exporter_name(job) for job in self.waiting.values() if job.origin is None}):
            find_exporter(name)
        for job in self.waiting.values():
            if self.inventory.is_ready(job):
                self.inventory.refuse_replacing(job)

    def drive(self, crew: Crew) -> None:
        """Keep the crew, which has the data, busy until no job is left."""
        while self._launch(crew):
            detail(self.progress, "training", self._course(crew))
            done = wait(self.flying, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done
            for future in done:
                self._land(self.flying.pop(future), future)

    def say_finished(self) -> None:
        """Say what need not be done, where that is a part."""
        done, total = len(self.inventory.records), len(self.inventory.jobs)
        if 0 < done < total:
            say(self.progress, f"{done} of {total} jobs were done by earlier runs; the others are trained.")

    def say_stopping(self) -> None:
        """Say what an interruption still waits for."""
        count = sum(not future.done() for future in self.flying)
        if count:
            jobs = f"{count} job{'s' * (count > 1)}"
            say(self.progress, f"stopping; waiting for {jobs} to end an epoch, or to be written")

    def _course(self, crew: Crew) -> str:
        """Return which jobs run, in which epochs, and how long the rest will take where that is known."""
        how_far: Callable[[Future[Result]], tuple[int, int]] = getattr(crew, "how_far", _nothing_told)
        for future, name in self.flying.items():
            self.running[name].look(time.monotonic(), *how_far(future))
        running = [self.running[name] for name in self.flying.values()]
        words = [one.words() for one in running]
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        left = self.pace.left(self.waiting.values(), running, workers=crew.limit)
        at_most = any(job.recipe.patience for job in self.waiting.values())
        told = "" if left is None else f"; {'at most ' * at_most}about {_minutes(left)} left"
        return f"{', '.join(words[:_SHOWN])}{more}{told}"

    def _launch(self, crew: Crew) -> bool:
        """Start what can be started; return whether something is in flight."""
        # No more than the limit are submitted: what an executor has taken over can no longer be cancelled. After a
        # worker's death the jobs that were in flight run one by one, so that the guilty one is alone when it repeats.
        limit = 1 if self.suspects else crew.limit
        for name in sorted(self.waiting, key=lambda name: name not in self.suspects):
            job = self.waiting[name]
            if len(self.flying) >= limit:
                break
            if job.parent in self.failures:
                self.failures[self.waiting.pop(name).name] = PoolError(f"its parent {job.parent} was not made")
            elif self.inventory.is_ready(job):
                self._start(self.waiting.pop(name), crew)
        return bool(self.flying)

    def _start(self, job: PoolJob, crew: Crew) -> None:
        if self.inventory.find(job):
            self._tell(job.name)
            return
        try:
            self.inventory.refuse_replacing(job)
            task = self._task(job)
        except PoolError as error:
            self.failures[job.name] = error
        else:
            self._submit(task, crew)

    def _task(self, job: PoolJob) -> Task:
        content = self.inventory.content
        return Task(
            job=job,
            parent=content(self.inventory.jobs[job.parent]) if job.parent else None,
            device=self.device,
            keep_weights=self.inventory.keeps_weights(job),
            origin=content(job) if job.origin is not None else None,
            weights=job.weights.content() if job.weights is not None else b"",
        )

    def _submit(self, task: Task, crew: Crew) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.flying[crew.submit(work, task)] = task.job.name
                self.running[task.job.name] = Running(task.job)
            except BrokenExecutor as error:
                if attempt == _ATTEMPTS:
                    self.failures[task.job.name] = error
                crew.restart()
            except ExecutionError as error:
                kept = "The models that are finished are kept: start it again, and give the same command."
                raise PoolError(f"{error} {kept}") from error
            else:
                return

    def _land(self, name: str, future: "Future[Result]") -> None:
        self.suspects.discard(name)
        # a future of Dask is cancelled where the worker that held its result has died
        error = CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor | CancelledError):
            self._retry(name, error)
        elif error is not None:
            self.failures[name] = error
        else:
            self._keep(name, future.result())

    def _keep(self, name: str, result: Result) -> None:
        try:
            self.inventory.keep(self.inventory.jobs[name], result)
        except StorageError as full:
            self.failures[name] = full
        else:
            self.pace.learn(self.inventory.jobs[name], result.seconds, self.running.pop(name, None))
            self._tell(name)

    def _retry(self, name: str, error: BaseException) -> None:
        self.attempts[name] = self.attempts.get(name, 0) + 1
        if self.attempts[name] < _ATTEMPTS:
            self.suspects.add(name)
            self.waiting[name] = self.inventory.jobs[name]
        else:
            ended = PoolError(f"its process ended {_ATTEMPTS} times without a word (killed, or out of memory?)")
            ended.__cause__ = error
            self.failures[name] = ended

    def _tell(self, name: str) -> None:
        if self.progress is not None:
            self.progress(len(self.inventory.records), len(self.inventory.jobs), name)


def _nothing_told(_future: "Future[Result]") -> tuple[int, int]:
    return 0, 0


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} h" if minutes >= 60 else f"{max(minutes, 1)} min"


def _summary(failures: Mapping[str, BaseException], inventory: Inventory) -> str:
    """Say what failed and why; jobs with the same reason are listed together."""
    reasons: dict[str, list[str]] = {}
    for name, error in failures.items():
        reason = str(error) if isinstance(error, CaeError) else f"{type(error).__name__}: {error}"
        reasons.setdefault(reason, []).append(name)
    lines = []
    for reason, names in reasons.items():
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        lines.append(f"\n  {', '.join(names[:_LISTED])}{more}: {reason}")
    done, total = len(inventory.records), len(inventory.jobs)
    kept = f"{len(failures)} of {total} jobs failed; the results of the other {done} are kept."
    return f"{kept} Run again once the cause is removed:{''.join(lines)}"
