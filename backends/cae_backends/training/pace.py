"""How long the rest of a pool will take: from epochs that have been trained, each weighed by what it trains."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cae_backends.training.jobs import PoolJob
from cae_backends.training.kinds.table import find_kind

__all__ = ["Pace", "Running"]

_Make: TypeAlias = tuple[str, ...]

_KNOWN = 0.75
"""No time is told before the pace is known of this share of the epochs that are left."""


@dataclass
class Running:
    """A job in progress, looked at now and then.

    Attributes:
        job: which.
        epochs: number of finished epochs.
        of: how many there are; 0 where it has told nothing yet.
        timed: epochs whose time was taken: the first one holds the start of the process as well.
        seconds: seconds that the timed epochs took.
    """

    job: PoolJob
    epochs: int = 0
    of: int = 0
    timed: int = 0
    seconds: float = 0.0
    _since: tuple[float, int] | None = None

    def look(self, now: float, epochs: int, of: int) -> None:
        """Take down how far it is at the time ``now``, in seconds."""
        if epochs > self.epochs:
            since, first = self._since = self._since or (now, epochs)
            self.seconds, self.timed = now - since, epochs - first
        self.epochs, self.of = epochs, of

    def words(self) -> str:
        """Return the job's name and what it is at."""
        if not self.of:
            return f"{self.job.name} (starting)"
        if self.epochs >= self.of:
            return f"{self.job.name} (writing)"
        return f"{self.job.name} (epoch {self.epochs + 1} of {self.of})"


@dataclass
class Pace:
    """Seconds and epochs so far, by what was trained, and what jobs take besides their epochs.

    An epoch of one architecture says little about one of another. What a kind takes more, such as a teacher that is
    asked about each batch, is known once a job of the kind has run; before, the architecture has to do.
    """

    _finished: dict[_Make, tuple[float, float]] = field(default_factory=dict[_Make, tuple[float, float]])
    _besides: list[float] = field(default_factory=list[float])

    def learn(self, job: PoolJob, seconds: float, running: Running | None) -> None:
        """Remember a job that has ended after so many seconds, and what was seen of it while it ran."""
        epochs = _epochs(job)
        if running is not None and running.timed:
            timed = running.timed * job.recipe.share
            _add(self._finished, job, running.seconds, timed)
            self._besides.append(max(0.0, seconds - running.seconds / timed * epochs))
        else:
            _add(self._finished, job, seconds, epochs)

    def left(self, waiting: Iterable[PoolJob], running: Sequence[Running], *, workers: int) -> float | None:
        """Return the seconds until the last job ends; None where nobody can say yet.

        Args:
            waiting: jobs that are not started.
            running: those in progress.
            workers: how many run at a time.
        """
        known = dict(self._finished)
        for one in running:
            _add(known, one.job, one.seconds, one.timed * one.job.recipe.share)
        todo = [(job, _epochs(job)) for job in waiting]
        todo += [(one.job, max(0.0, _epochs(one.job) - one.epochs * one.job.recipe.share)) for one in running]
        paces = [(job, epochs, _pace(known, job)) for job, epochs in todo]
        told = [pace for *_, pace in paces if pace]
        if not told or sum(n for _, n, pace in paces if pace) < _KNOWN * sum(n for _, n, _ in paces):
            return None
        usual, besides = sum(told) / len(told), sum(self._besides) / max(len(self._besides), 1)
        return _spread([(job, epochs * (pace or usual) + besides) for job, epochs, pace in paces], workers)


def _spread(seconds: Sequence[tuple[PoolJob, float]], workers: int) -> float:
    """Return how long jobs of so many seconds take together: thieves wait for the source, and no two share a job."""
    source = sum(time for job, time in seconds if job.relation == "source")
    thieves = sum(time for job, time in seconds if job.relation == "surrogate")
    everyone = sum(time for _, time in seconds)
    longest = max(time for _, time in seconds)
    return max(everyone / workers, source + thieves / workers, longest)


def _epochs(job: PoolJob) -> float:
    """Return the epochs of a job, each for as much as it sees of the images."""
    return job.recipe.epochs * job.recipe.share if find_kind(job.kind).trained and job.origin is None else 0.0


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
