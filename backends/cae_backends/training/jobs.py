"""What a pool consists of, as data: recipes, jobs, and the checks that a list of jobs must pass.

No framework is imported here, so that a command line can declare a pool without paying for torch.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cae_core.errors import OptionError, PoolError
from cae_core.pool import Relation, Role

__all__ = ["ESTIMATOR_KIND", "KINDS", "Optimizer", "PoolJob", "Recipe", "Schedule", "check_jobs", "job_digest"]

Optimizer: TypeAlias = Literal["adam", "sgd"]
Schedule: TypeAlias = Literal["one-cycle", "constant"]

ESTIMATOR_KIND = "scikit-learn"
"""The kind of a reference that is no neural network; it can be nobody's parent."""

KINDS: dict[str, Relation] = {
    "source": "source",
    "hard labels": "surrogate",
    "soft labels": "surrogate",
    "distilled": "surrogate",
    "other architecture": "surrogate",
    "fine-tuned": "surrogate",
    "pruned": "surrogate",
    "8-bit weights": "surrogate",
    "independent": "reference",
    ESTIMATOR_KIND: "reference",
}
"""Every kind of member and its relation to the source."""

_TRAINING_VERSION = 1
"""Part of every job's digest: raise it when the training code changes what a job results in."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained.

    Attributes:
        epochs: passes over the images, at least 1.
        batch_size: images per step; the batches of an epoch differ by at most one image.
        optimizer: ``"adam"``, or ``"sgd"`` with momentum 0.9.
        learning_rate: the constant rate, or the peak of the cycle.
        schedule: ``"one-cycle"`` (linear rise over 30 % of the steps, then a cosine to zero) or ``"constant"``.
        shift: largest random translation in pixels per axis; zeros move in.
        mix: each image is blended with another of its batch, whose weight is uniform in [0, mix]; below 0.5 the
            image's own label still holds. Labels of plain training images hardly tell a thief anything that the
            truth does not; the labels of blends do.
        noise: standard deviation of Gaussian noise on images in [0, 1].
        temperature: divides the logits, of the student and of the source that it is distilled from.
        weight_decay: L2 penalty.
        share: fraction of the training images that are used, drawn by the job's seed.
        sparsity: fraction of each layer's weights set to zero (kind *pruned*).
    """

    epochs: int = 12
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float = 5e-3
    schedule: Schedule = "one-cycle"
    shift: int = 0
    mix: float = 0.0
    noise: float = 0.0
    temperature: float = 1.0
    weight_decay: float = 0.0
    share: float = 1.0
    sparsity: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:  # batch norm needs two images
            raise OptionError(f"A recipe needs 1 epoch and 2 images per batch; found {self.epochs}, {self.batch_size}.")
        if self.learning_rate <= 0 or self.temperature <= 0 or not 0 < self.share <= 1:
            raise OptionError("A recipe's learning rate and temperature are positive, and its share lies in (0, 1].")
        if min(self.shift, self.noise, self.weight_decay) < 0:
            raise OptionError("A recipe's shift, noise and weight decay are not negative.")
        if not (0 <= self.mix <= 1 and 0 <= self.sparsity < 1):
            raise OptionError("A recipe's mix lies in [0, 1], and its sparsity in [0, 1).")

    @property
    def augments(self) -> bool:
        """Whether the images change from epoch to epoch."""
        return max(self.shift, self.mix, self.noise) > 0


@dataclass(frozen=True, kw_only=True)
class PoolJob:
    """One member of a pool, to be trained.

    Attributes:
        name: the stem of its file; unique in the pool.
        role: what it may be used for.
        kind: a key of `KINDS`, which also fixes its relation to the source.
        architecture: a name of `architectures.ARCHITECTURES`, or of `estimators.ESTIMATORS` for scikit-learn.
        seed: of its initial weights, batches and augmentation.
        parent: name of the job that a surrogate is derived from; empty otherwise.
        recipe: how it is trained; of no effect on *8-bit weights* and *scikit-learn*.
    """

    name: str
    role: Role
    kind: str
    architecture: str
    seed: int
    parent: str = ""
    recipe: Recipe = dataclasses.field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise PoolError(f"A job's name becomes a file's: letters, digits and . _ - only; found {self.name!r}.")
        if self.kind not in KINDS:
            raise PoolError(f"Job {self.name}: unknown kind {self.kind!r}; known are {', '.join(KINDS)}.")
        if (self.relation == "surrogate") != bool(self.parent):
            raise PoolError(f"Job {self.name}: a surrogate names its parent, and nothing else has one.")
        if (self.relation == "source") != (self.role == "source"):
            raise PoolError(f'Job {self.name}: role and kind are both "source", or neither is.')

    @property
    def relation(self) -> Relation:
        """The member's relation to the source."""
        return KINDS[self.kind]


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
    if parent is None or parent.kind == ESTIMATOR_KIND:
        raise PoolError(f"Job {job.name}: its parent {job.parent!r} is no neural network of this pool.")
    if parent.relation == "reference":
        raise PoolError(
            f"Job {job.name}: its parent {job.parent!r} is a reference; a surrogate descends from the source."
        )
    if parent.role not in ("source", job.role):  # a child tells about its parent: roles would no longer be disjoint
        raise PoolError(f"Job {job.name} ({job.role}) derives from {parent.name} ({parent.role}): roles must not mix.")
    same = job.architecture == parent.architecture
    if job.kind == "other architecture" and same:
        raise PoolError(f"Job {job.name}: 'other architecture' has its parent's, {job.architecture}.")
    if job.kind in ("fine-tuned", "pruned", "8-bit weights") and not same:
        raise PoolError(f"Job {job.name}: a {job.kind} model keeps its parent's architecture, {parent.architecture}.")


def job_digest(job: PoolJob, *, data: str, parent: str) -> str:
    """Return the SHA-256 over everything that determines a job's result.

    Args:
        job: all its fields count.
        data: digest of the images and labels.
        parent: digest of the parent's weights, or empty.
    """
    inputs = {"job": dataclasses.asdict(job), "data": data, "parent": parent, "version": _TRAINING_VERSION}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
