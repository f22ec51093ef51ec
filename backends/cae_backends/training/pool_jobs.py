"""Train a pool from a list of jobs, in worker processes, and write its manifest.

A second run does only what is missing; a failed job does not stop the others; an interruption stops after the
epochs in progress and keeps what is finished.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeAlias

from cae_backends.training.job_runner import (
    EstimatorExporter,
    ModuleExporter,
    PoolData,
    Record,
    Task,
    finished,
    model_path,
    run_job,
    stored_data,
)
from cae_backends.training.jobs import PoolJob, check_jobs, job_digest
from cae_core.errors import CaeError, PoolError
from cae_core.storage import replacing

__all__ = ["PoolData", "PoolProgress", "train_pool"]

PoolProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with the members done, their number, and the name of the last one; at the start with 0 and no name."""


def train_pool(
    jobs: Sequence[PoolJob],
    data: PoolData,
    folder: Path,
    *,
    export: ModuleExporter,
    export_estimator: EstimatorExporter | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: PoolProgress | None = None,
) -> Path:
    """Train what is missing of a pool and return the path of its manifest, ``folder/pool.toml``.

    Args:
        jobs: in the manifest's order; see `check_jobs` for what they must fulfil.
        data: the images to train on and to measure the accuracy on.
        folder: of the pool; made where it does not exist.
        export: writes a module as ONNX; picklable.
        export_estimator: writes a scikit-learn estimator as ONNX; needed where a job asks for one.
        workers: jobs at a time, each in a process with one thread; None: as many as there are processors.
        executor: runs the jobs instead of local processes; its workers must see ``folder``.
        progress: called for each finished member, those of earlier runs included; see `PoolProgress`.

    Raises:
        PoolError: the jobs do not fit together, or some failed; it lists them. The others are kept.
        StorageError: the folder cannot be written.
    """
    limit = workers or os.cpu_count() or 1
    run = _Run(check_jobs(jobs), data, folder.resolve(), export, export_estimator, progress)
    with contextlib.nullcontext(executor) if executor is not None else _local_processes(limit) as chosen:
        run.drive(chosen, limit)
    if run.failures:
        lines = "".join(f"\n  {name}: {_reason(error)}" for name, error in run.failures.items())
        kept = f"{len(run.failures)} of {len(jobs)} jobs failed; the results of the other {len(run.records)} are kept."
        raise PoolError(f"{kept} Run again once the cause is removed:{lines}") from next(iter(run.failures.values()))
    path = folder / "pool.toml"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_row(job, run.records[job.name]) for job in jobs), encoding="utf-8")
    return path


@dataclass
class _Run:
    """One call of `train_pool`: what waits, what is being computed, what is done and what failed, by job name."""

    waiting: dict[str, PoolJob]
    data: PoolData
    folder: Path
    export: ModuleExporter
    export_estimator: EstimatorExporter | None
    progress: PoolProgress | None
    flying: dict[Future[Record], str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, BaseException] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.jobs = dict(self.waiting)
        self.data_digest = self.data.sha256()
        self.data_path = stored_data(self.data, self.folder)

    def drive(self, executor: Executor, limit: int) -> None:
        """Keep up to ``limit`` jobs in flight until none is left."""
        if self.progress is not None:
            self.progress(0, len(self.jobs), "")
        # No more than that are submitted: what an executor has taken over can no longer be cancelled.
        self._launch(executor, limit)
        while self.flying:
            for future in wait(self.flying, return_when=FIRST_COMPLETED).done:
                self._land(self.flying.pop(future), future)
            self._launch(executor, limit)

    def _launch(self, executor: Executor, limit: int) -> None:
        for name, job in list(self.waiting.items()):  # parents stand before their children
            if len(self.flying) >= limit:
                return
            if job.parent in self.failures:
                self.failures[self.waiting.pop(name).name] = PoolError(f"its parent {job.parent} failed")
            elif not job.parent or job.parent in self.records:
                self._start(self.waiting.pop(name), executor)

    def _start(self, job: PoolJob, executor: Executor) -> None:
        parent = self.records[job.parent].weights_sha256 if job.parent else ""
        digest = job_digest(job, data=self.data_digest, parent=parent)
        record = finished(self.folder, job, digest)
        if record is not None:
            self._note(job.name, record)
            return
        task = Task(
            job=job,
            parent=self.jobs.get(job.parent),
            digest=digest,
            folder=self.folder,
            data=self.data_path,
            export=self.export,
            export_estimator=self.export_estimator,
        )
        try:
            self.flying[executor.submit(_work, task)] = job.name
        except BrokenExecutor as error:  # a worker was killed: every job that is left ends here, and is listed
            self.failures[job.name] = error

    def _land(self, name: str, future: Future[Record]) -> None:
        error = future.exception()
        if error is not None:
            self.failures[name] = error
        else:
            self._note(name, future.result())

    def _note(self, name: str, record: Record) -> None:
        self.records[name] = record
        if self.progress is not None:
            self.progress(len(self.records), len(self.jobs), name)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, CaeError) else f"{type(error).__name__}: {error}"


def _row(job: PoolJob, record: Record) -> str:
    """Return the ``[[model]]`` table of one member."""
    row: dict[str, Any] = {
        "path": model_path(Path(), job).as_posix(),
        "role": job.role,
        "relation": job.relation,
        "kind": job.kind,
        "architecture": job.architecture,
        "parent": job.parent,
        "seed": job.seed,
        "accuracy": round(record.accuracy, 6),
        "sha256": record.model_sha256,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in row.items() if value != ""]
    contract = [f"contract = {_inline(record.contract)}"] if record.contract else []  # else the file's own applies
    return "\n".join(["[[model]]", *lines, *contract, ""])


def _inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {_toml(value)}" for name, value in table.items()) + " }"


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and lists of them look the same in TOML


_STOPS: list[Event] = []
"""In a local worker process: the one event that tells it to stop."""


class _StoppedError(Exception):
    """The run was interrupted; nobody waits for this job's result."""


def _work(task: Task) -> Record:
    def check(_done: int, _epochs: int) -> None:
        if any(stop.is_set() for stop in _STOPS):
            raise _StoppedError

    return run_job(task, check)


@contextlib.contextmanager
def _local_processes(workers: int) -> Iterator[Executor]:
    """Give a pool of spawned processes; whatever is raised inside stops their jobs after the epoch in progress."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that runs threads can hang
    stop = context.Event()
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(stop,))
    try:
        yield executor
    except BaseException:
        stop.set()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides what it means
    _STOPS.append(stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """A worker whose runner was killed would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
