"""Train a pool from a list of jobs and write its manifest.

A second run does only what is missing; a failed job does not stop the others; a worker that dies costs its job in
progress, which is tried again; an interruption keeps what is finished.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cae_backends.contract_files import find_sidecar
from cae_backends.training.executors import Crew, ExecutorCrew, local_processes
from cae_backends.training.job_runner import Exporter, Parent, Task
from cae_backends.training.jobs import PoolJob, check_jobs, job_digest
from cae_backends.training.pool_rows import check_places, write_members
from cae_backends.training.pool_store import PoolData, PoolStore, Record, Result
from cae_core.errors import CaeError, PoolError, StorageError
from cae_core.files.digests import sha256_of_file

__all__ = ["PoolData", "PoolProgress", "train_pool"]

PoolProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with the jobs done, their number, and the name of the last one; at the start with 0 and no name."""

_ATTEMPTS = 3
_LISTED = 12


def train_pool(
    jobs: Sequence[PoolJob],
    data: PoolData,
    manifest: Path,
    *,
    export: Exporter,
    workers: int | None = None,
    crew: AbstractContextManager[Crew] | None = None,
    executor: Executor | None = None,
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
        export: writes a model as ONNX; picklable.
        workers: jobs at a time, each in a process with one thread; None: as many as there are processors.
        crew: runs the jobs instead of local processes; see `executors.cluster`.
        executor: likewise; its workers must see the manifest's folder.
        device: where a worker trains, see `Trainer.build`.
        replace: whether a job whose inputs have changed may overwrite its finished model.
        progress: called for each finished job, those of earlier runs included; see `PoolProgress`.

    Raises:
        PoolError: the jobs do not fit together, or not with what is there; or some failed, and it lists them. The
            others are kept.
        StorageError: the folder cannot be written.
    """
    if data.foreign is None and any(job.queries == "foreign" for job in jobs):
        raise PoolError("Some members ask about foreign images, and there are none. Name them, or leave these out.")
    limit = workers or os.cpu_count() or 1
    store = PoolStore(manifest.resolve().parent)
    ordered = check_jobs(jobs)
    check_places(ordered.values(), store, manifest)
    run = _Run(ordered, data, store, export, device, replace, progress)
    if crew is None:
        crew = local_processes(limit) if executor is None else contextlib.nullcontext(ExecutorCrew(executor, limit))
    run.find_finished()
    run.refuse_replacing()
    if run.waiting:
        with crew as chosen:
            run.drive(chosen)
    if run.failures:
        raise PoolError(_summary(run, len(jobs))) from next(iter(run.failures.values()))
    write_members(manifest, [(job, run.records[job.name]) for job in jobs], store, data.test)
    return manifest


@dataclass
class _Run:
    """One call of `train_pool`: what waits, what is being computed, what is done and what failed, by job name."""

    waiting: dict[str, PoolJob]
    data: PoolData
    store: PoolStore
    export: Exporter
    device: str
    replace: bool
    progress: PoolProgress | None
    flying: dict[Future[Result], str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.jobs = dict(self.waiting)
        self.data_digest = self.data.sha256()
        self.digests: dict[str, str] = {}
        # The source's are kept in any case: whatever a later plan adds most likely derives from it.
        self.keeping = {job.parent for job in self.jobs.values()} | {
            name for name, job in self.jobs.items() if job.relation == "source"
        }
        self.known = {} if self.replace else self.store.known_models()
        self._tell("")

    def find_finished(self) -> None:
        """Take over what earlier runs have made."""
        for name, job in list(self.waiting.items()):  # parents stand before their children
            if not job.parent or job.parent in self.records:
                record = self._finished(job)
                if record is not None:
                    del self.waiting[name]
                    self._note(name, record)

    def refuse_replacing(self) -> None:
        """Refuse to overwrite a finished model; where the parent is not there yet, `_start` sees to it."""
        for job in self.waiting.values():
            if not job.parent or job.parent in self.records:
                self._refuse_replacing(job)

    def _refuse_replacing(self, job: PoolJob) -> None:
        path = self.store.overwritten(job, self._digest(job), self.known)
        if path is not None:
            raise PoolError(
                f"{path}: this finished model was made with other settings, data or a parent that has changed; say "
                "--replace to make it anew in its place, or name another folder with --pool."
            )

    def drive(self, crew: Crew) -> None:
        """Keep the crew busy until no job is left."""
        crew.share(self.data, self.store)
        while self._launch(crew):
            for future in wait(self.flying, return_when=FIRST_COMPLETED).done:
                self._land(self.flying.pop(future), future)

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
            elif not job.parent or job.parent in self.records:
                self._start(self.waiting.pop(name), crew)
        return bool(self.flying)

    def _start(self, job: PoolJob, crew: Crew) -> None:
        record = self._finished(job)
        if record is not None:
            self._note(job.name, record)
            return
        try:
            self._refuse_replacing(job)
            weights = job.weights.content() if job.weights is not None else b""
        except PoolError as error:
            self.failures[job.name] = error
            return
        task = Task(
            job=job,
            parent=self._parent(self.jobs[job.parent]) if job.parent else None,
            export=self.export,
            device=self.device,
            keep_weights=job.name in self.keeping,
            origin=self._parent(job) if job.origin is not None else None,
            weights=weights,
        )
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.flying[crew.submit(task)] = job.name
            except BrokenExecutor as error:
                if attempt == _ATTEMPTS:
                    self.failures[job.name] = error
                crew.restart()
            else:
                return

    def _finished(self, job: PoolJob) -> Record | None:
        """Return the record of ``job`` where nothing is left to do; a parent needs its weights, too."""
        record = self.store.finished(job, self._digest(job))
        lacking = record is not None and job.origin is None and job.name in self.keeping and not record.weights_sha256
        return None if lacking else record

    def _parent(self, job: PoolJob) -> Parent:
        if job.origin is not None:
            return Parent(job, job.origin.read_bytes(), find_sidecar(job.origin))
        return Parent(job, self.store.weights_path(self._digest(job)).read_bytes())

    def _digest(self, job: PoolJob) -> str:
        if job.name not in self.digests:
            origin = sha256_of_file(job.origin) if job.origin is not None else ""
            parent = self._inherited(self.records[job.parent]) if job.parent else origin
            self.digests[job.name] = job_digest(job, data=self.data_digest, parent=parent)
        return self.digests[job.name]

    def _inherited(self, record: Record) -> str:
        return record.weights_sha256 or record.models_sha256[0]

    def _land(self, name: str, future: "Future[Result]") -> None:
        self.suspects.discard(name)
        # a future of Dask is cancelled where the worker that held its result has died
        error = CancelledError() if future.cancelled() else future.exception()
        if isinstance(error, BrokenExecutor | CancelledError):
            self._retry(name, error)
        elif error is not None:
            self.failures[name] = error
        else:
            try:
                self._note(name, self.store.keep(self.jobs[name], self._digest(self.jobs[name]), future.result()))
            except StorageError as full:
                self.failures[name] = full

    def _retry(self, name: str, error: BaseException) -> None:
        self.attempts[name] = self.attempts.get(name, 0) + 1
        if self.attempts[name] < _ATTEMPTS:
            self.suspects.add(name)
            self.waiting[name] = self.jobs[name]
        else:
            ended = PoolError(f"its process ended {_ATTEMPTS} times without a word (killed, or out of memory?)")
            ended.__cause__ = error
            self.failures[name] = ended

    def _note(self, name: str, record: Record) -> None:
        self.records[name] = record
        self._tell(name)

    def _tell(self, name: str) -> None:
        if self.progress is not None:
            self.progress(len(self.records), len(self.jobs), name)


def _summary(run: _Run, total: int) -> str:
    """Say what failed and why; jobs with the same reason are listed together."""
    reasons: dict[str, list[str]] = {}
    for name, error in run.failures.items():
        reason = str(error) if isinstance(error, CaeError) else f"{type(error).__name__}: {error}"
        reasons.setdefault(reason, []).append(name)
    lines = []
    for reason, names in reasons.items():
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        lines.append(f"\n  {', '.join(names[:_LISTED])}{more}: {reason}")
    kept = f"{len(run.failures)} of {total} jobs failed; the results of the other {len(run.records)} are kept."
    return f"{kept} Run again once the cause is removed:{''.join(lines)}"
