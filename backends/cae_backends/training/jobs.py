"""What a pool consists of, as data: jobs, and the checks that a list of jobs must pass.

No framework is imported here, so that a command line can declare a pool without paying for torch.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cae_backends.training.adoption import find_adopter, suffixes_adopted
from cae_backends.training.kinds.record import Kind
from cae_backends.training.kinds.table import find_kind
from cae_backends.training.pretrained import Pretrained
from cae_backends.training.recipe import Recipe
from cae_core.errors import PoolError
from cae_core.pool.manifest import Relation, Role
from cae_core.pool.trained_on import Part

__all__ = [
    "PoolJob",
    "Recipe",
    "ancestor_of",
    "check_jobs",
    "job_digest",
]

_INDEPENDENT_ROLES = ("calibrate", "test")
"""The model is the unit of what is counted there, and two states of one training are not independent."""

_TRAINING_VERSION = 2
"""Part of every job's digest: raise it when the training code changes what a job results in."""


@dataclass(frozen=True, kw_only=True)
class PoolJob:
    """One member of a pool, to be trained.

    Attributes:
        name: the stem of its file; unique in the pool.
        role: what it may be used for.
        kind: name of the kind, as `kinds.table.find_kind` takes it; it also fixes the relation to the source.
        architecture: a name that the trainer knows, or of `estimators.ESTIMATORS` for scikit-learn.
        seed: random seed for initial weights, batches and augmentation.
        parent: name of the job that a surrogate is derived from; empty otherwise.
        recipe: how it is trained; of no effect on *8-bit weights* and *scikit-learn*.
        trainer: name of the trainer, see `trainers`.
        snapshots: how many states of the second half of the training become members as well.
        queries: what a thief asks about: images of the training data, or the pool's foreign ones.
        origin: a model file that is there already, instead of a training; for the source only.
        trusted: whether the ``origin`` is one's own file, so that a form whose opening runs code may be opened.
        weights: pretrained ones that a network trained from scratch starts from; None: random ones.
        images_seed: draws the recipe's share of the images instead of the seed; None: the seed does.
        part: the part of the training images that it is given, as its thief's queries too; None: all of them.
        recipe_name: what the plan calls the recipe; empty where there is no plan.
    """

    name: str
    role: Role
    kind: str
    architecture: str
    seed: int
    parent: str = ""
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    trainer: str = "torch"
    snapshots: int = 0
    queries: Literal["own", "foreign"] = "own"
    origin: Path | None = None
    trusted: bool = False
    weights: Pretrained | None = None
    images_seed: int | None = None
    part: Part | None = None
    recipe_name: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise PoolError(f"A job's name becomes a file's: letters, digits and . _ - only; found {self.name!r}.")
        try:
            find_kind(self.kind)
        except PoolError as error:
            raise PoolError(f"Job {self.name}: {error}") from error
        if (self.relation == "surrogate") != bool(self.parent):
            raise PoolError(f"Job {self.name}: a surrogate names its parent, and nothing else has one.")
        if (self.relation == "source") != (self.role == "source"):
            raise PoolError(f'Job {self.name}: role and kind are both "source", or neither is.')
        if self.origin is not None and self.relation != "source":
            raise PoolError(f"Job {self.name}: only the source may be a file that is there; see `cae pool add`.")
        if self.queries == "foreign" and not find_kind(self.kind).asks:
            raise PoolError(f"Job {self.name}: a {self.kind} model asks nothing, so there are no foreign queries.")
        if self.weights is not None and not self._starts_afresh:
            raise PoolError(
                f"Job {self.name}: pretrained weights are where a network's own training starts, and not for a copy, "
                "an estimator or a file that is there. Leave weights out."
            )
        self._check_snapshots()

    def _check_snapshots(self) -> None:
        if self.snapshots and (self.role in _INDEPENDENT_ROLES or self.relation == "source"):
            raise PoolError(
                f"Job {self.name}: snapshots of one training are not independent of one another and may only generate "
                f"and screen; found the role {self.role}."
            )
        if self.snapshots and not find_kind(self.kind).trained:
            raise PoolError(f"Job {self.name}: a {self.kind} model has no epochs to take snapshots of. Leave them out.")
        if self.snapshots and self.recipe.patience:
            raise PoolError(
                f"Job {self.name}: a recipe with patience may end before its snapshots; set patience or snapshots to 0."
            )
        if not 0 <= self.snapshots <= len(self.snapshot_epochs):
            raise PoolError(f"Job {self.name}: {self.recipe.epochs} epochs do not give {self.snapshots} snapshots.")

    @property
    def relation(self) -> Relation:
        """The member's relation to the source."""
        return find_kind(self.kind).relation

    @property
    def _starts_afresh(self) -> bool:
        kind = find_kind(self.kind)
        return kind.network and not kind.copies and self.origin is None

    @property
    def snapshot_epochs(self) -> tuple[int, ...]:
        """The epochs, from 1 and before the last, after which the weights become members."""
        last, parts = self.recipe.epochs, 2 * (self.snapshots + 1)
        found = {last * (parts // 2 + i) // parts for i in range(1, self.snapshots + 1)}
        return tuple(sorted(epoch for epoch in found if 0 < epoch < last))

    def member_names(self) -> tuple[str, ...]:
        """Return the file stems of its members: the job's own name, then those of its snapshots."""
        return (self.name, *(f"{self.name}.epoch-{epoch:03}" for epoch in self.snapshot_epochs))


def check_jobs(jobs: Sequence[PoolJob]) -> dict[str, PoolJob]:
    """Return ``jobs`` by name, in an order in which every parent stands before its children.

    Raises:
        PoolError: a name occurs twice; there is not exactly one source; a parent is missing, stands in a circle,
            has another role, or is no neural network; *other architecture* repeats its parent's.
    """
    by_name = {job.name: job for job in jobs}
    if len(by_name) != len(jobs):
        raise PoolError("Two jobs of the pool have the same name. Rename one.")
    sources = [job.name for job in jobs if job.relation == "source"]
    if len(sources) != 1:
        raise PoolError(f"A pool is trained from exactly one source; found {len(sources)}.")
    for job in jobs:
        if job.parent:
            _check_parent(job, by_name)
    ordered: dict[str, PoolJob] = {}
    while len(ordered) < len(by_name):
        ready = [j for n, j in by_name.items() if n not in ordered and (not j.parent or j.parent in ordered)]
        if not ready:
            circle = sorted(set(by_name) - set(ordered))
            raise PoolError(f"These jobs derive from one another in a circle: {', '.join(circle)}.")
        ordered |= {job.name: job for job in ready}
    return ordered


def _check_parent(job: PoolJob, by_name: dict[str, PoolJob]) -> None:
    parent = by_name.get(job.parent)
    if parent is None or not find_kind(parent.kind).network:
        raise PoolError(f"Job {job.name}: its parent {job.parent!r} is no neural network of this pool.")
    if parent.relation == "reference":
        raise PoolError(
            f"Job {job.name}: its parent {job.parent!r} is a reference; a surrogate descends from the source."
        )
    if parent.role not in ("source", job.role):  # a child tells about its parent: roles would no longer be disjoint
        raise PoolError(f"Job {job.name} ({job.role}) derives from {parent.name} ({parent.role}): roles must not mix.")
    if find_kind(parent.kind).copies and _from_file(parent, by_name):
        raise PoolError(
            f"Job {job.name}: its parent {parent.name} is a copy of a file, and only the file itself is copied or "
            "asked. Derive it from the source."
        )
    _check_kind(job, parent)


def _from_file(job: PoolJob, by_name: Mapping[str, PoolJob]) -> bool:
    parent = by_name.get(job.parent)
    return parent is not None and parent.origin is not None


def _check_kind(job: PoolJob, parent: PoolJob) -> None:
    kind, same = find_kind(job.kind), (job.architecture, job.trainer) == (parent.architecture, parent.trainer)
    if kind.other_architecture and same:
        raise PoolError(f"Job {job.name}: {job.kind!r} has its parent's, {job.architecture}.")
    if parent.origin is not None and not _adoptable(kind, parent.origin, job.trainer):
        raise PoolError(
            f"Job {job.name}: a {job.kind} model starts from weights, and {parent.origin} is no file whose weights the "
            f"trainer {job.trainer} reads (known: {', '.join(suffixes_adopted())}). Give the source in such a form, "
            "train it as a part of the pool, or leave this kind out."
        )
    if kind.copies and not same:
        raise PoolError(f"Job {job.name}: a {job.kind} model keeps its parent's architecture, {parent.architecture}.")
    for field, sentence in kind.needs.items():
        if not getattr(job.recipe, field):
            raise PoolError(f"Job {job.name}: {sentence}.")


def _adoptable(kind: Kind, origin: Path, trainer: str) -> bool:
    """Return whether a model of ``kind`` can be made of the model file ``origin``."""
    adopter = find_adopter(origin) if kind.starts_from == "weights" else trainer
    return adopter == trainer or bool(adopter and not kind.copies)


def ancestor_of(job: PoolJob, jobs: Mapping[str, PoolJob]) -> str:
    """Return the pretrained weights that a job's model descends from, in words; empty where there are none.

    Args:
        job: whose model is meant; it inherits where it starts from its parent's weights.
        jobs: by name, its parents among them.
    """
    while find_kind(job.kind).copies:
        job = jobs[job.parent]
    return job.weights.ancestor if job.weights is not None else ""


def job_digest(job: PoolJob, *, data: str, parent: str) -> str:
    """Return the SHA-256 over everything that determines a job's result.

    Args:
        job: all its fields count, but for where an `origin` or a file of `weights` lies; jobs without weights have the
            digests of the time before there were any.
        data: digest of the images and labels.
        parent: digest of the parent's weights (or of the `origin`), or empty.
    """
    fields = dataclasses.asdict(job) | {"origin": job.origin is not None, "recipe": job.recipe.identity()}
    del fields["weights"], fields["trusted"], fields["recipe_name"]  # neither consent nor a name changes a result
    if job.images_seed is None:
        del fields["images_seed"]
    if job.part is None:
        del fields["part"]
    if job.weights is not None:
        fields["weights"] = job.weights.identity
    inputs = {"job": fields, "data": data, "parent": parent, "version": _TRAINING_VERSION}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
