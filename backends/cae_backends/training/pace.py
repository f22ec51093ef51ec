"""How long the rest of a pool will take: from epochs that have been trained, each weighed by what it trains."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cae_backends.training.jobs import PoolJob
from cae_backends.training.kinds.table import KINDS

__all__ = ["Pace", "Running"]

_Make: TypeAlias = tuple[str, ...]

_KNOWN = 0.75
"""No time is told before the pace is known of this share of the epochs that are left."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A job in progress.

    Attributes:
        job: which.
        epochs: that are behind it.
        seconds: since it was started.
    """

    job: PoolJob
    epochs: int
    seconds: float


@dataclass
class Pace:
    """Seconds and epochs so far, by what was trained.

    An epoch of one architecture says little about one of another. What a kind takes besides, such as a teacher that is
    asked about each batch, is known once a job of the kind has run, and is that of the architecture before.
    """

    _finished: dict[_Make, tuple[float, float]] = field(default_factory=dict[_Make, tuple[float, float]])

    def learn(self, job: PoolJob, seconds: float) -> None:
        """Remember a job that has ended after so many seconds."""
        _add(self._finished, job, seconds, _epochs(job))

    def left(self, waiting: Iterable[PoolJob], running: Sequence[Running], *, workers: int) -> float | None:
        """Return the seconds until the last job ends; None where nobody can say yet.

        Args:
            waiting: jobs that are not started.
            running: those in progress.
            workers: how many run at a time.
        """
        known = dict(self._finished)
        for one in running:
            _add(known, one.job, one.seconds, one.epochs * one.job.recipe.share)
        todo = [(job, _epochs(job)) for job in waiting]
        todo += [(one.job, max(0.0, _epochs(one.job) - one.epochs * one.job.recipe.share)) for one in running]
        todo = [(job, epochs) for job, epochs in todo if epochs]
        paces = [(job, epochs, _pace(known, job)) for job, epochs in todo]
        if sum(epochs for _, epochs, pace in paces if pace) < _KNOWN * sum(epochs for _, epochs in todo):
            return None
        found = [pace for *_, pace in paces if pace]
        usual = sum(found) / len(found) if found else 0.0
        return _spread([(job, epochs * (pace or usual)) for job, epochs, pace in paces], workers)


def _spread(seconds: Sequence[tuple[PoolJob, float]], workers: int) -> float:
    """Return how long jobs of so many seconds take together: all wait for the source, none is shared by two workers."""
    source = sum(time for job, time in seconds if job.relation == "source")
    others = [time for job, time in seconds if job.relation != "source"]
    return source + max([sum(others) / workers, *others])


def _epochs(job: PoolJob) -> float:
    """Return the epochs of a job, each for as much as it sees of the images."""
    return job.recipe.epochs * job.recipe.share if KINDS[job.kind].trained and job.origin is None else 0.0


def _makes(job: PoolJob) -> tuple[_Make, _Make]:
    """Return what a job trains, and the same without how: the first that is known counts."""
    return (job.trainer, job.architecture, job.kind), (job.trainer, job.architecture)


def _add(known: dict[_Make, tuple[float, float]], job: PoolJob, seconds: float, epochs: float) -> None:
    if epochs:
        for make in _makes(job):
            before = known.get(make, (0.0, 0.0))
            known[make] = before[0] + seconds, before[1] + epochs


def _pace(known: dict[_Make, tuple[float, float]], job: PoolJob) -> float:
    """Return the seconds of one epoch; 0 where nothing like it was trained."""
    make = next((make for make in _makes(job) if make in known), None)
    return known[make][0] / known[make][1] if make else 0.0
