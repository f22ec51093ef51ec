"""Two kinds, one after the other: the second thief copies, or asks, the model of the first.

A plan spells it ``kind = "pruned, then distilled"``. Both are made in one job, by the job's recipe; the model between
them is no member.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cae_backends.training.kinds.record import Copy, Kind, Start, Teacher, Theft
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network, find_trainer
from cae_core.pool.manifest import Relation

__all__ = ["THEN", "Chain", "Derived", "Victim", "make_derived"]

THEN = ", then "
"""Between the two kinds of a chain, in plans and manifests."""


@dataclass(frozen=True, kw_only=True)
class Victim:
    """What a surrogate is made of.

    Attributes:
        asked: opens what a thief asks.
        copied: makes the copy that a thief starts from.
        architecture: architecture of the copy.
        trainer: trainer of the copy.
    """

    asked: Callable[[], Teacher]
    copied: Callable[[], Network]
    architecture: str
    trainer: str


@dataclass(frozen=True, kw_only=True)
class Chain(Kind):
    """The kind ``second`` made of a model of the kind ``first``."""

    relation: Relation = "surrogate"
    first: Theft | Copy
    second: Theft | Copy
    known_images: bool = False

    @classmethod
    def of(cls, first: Theft | Copy, second: Theft | Copy) -> "Chain":
        """Return the chain of two kinds."""
        return cls(
            name=first.name + THEN + second.name,
            how=f"{first.how}; then {second.how}",
            trained=first.trained or second.trained,
            other_architecture=first.other_architecture or second.other_architecture,
            needs={**first.needs, **second.needs},
            first=first,
            second=second,
        )

    @property
    def starts_from(self) -> Start:
        """What of its parent the first is made of."""
        return self.first.starts_from

    @property
    def asks(self) -> bool:
        """Whether one of the two asks."""
        return self.first.asks or self.second.asks

    @property
    def copies(self) -> bool:
        """Whether both copy, so that the architecture and the ancestors are the parent's."""
        return self.first.copies and self.second.copies


Derived: TypeAlias = Theft | Copy | Chain
"""The kinds that are made of a parent."""


def make_derived(kind: Derived, victim: Victim, setup: Setup) -> Made:
    """Make a model of ``kind`` of ``victim``."""
    if isinstance(kind, Theft):
        return kind.make(victim.asked(), setup)
    if isinstance(kind, Copy):
        return kind.make(victim.copied(), setup)
    between = make_derived(kind.first, victim, _first_setup(kind, victim, setup)).network
    after = Victim(
        asked=lambda: between.logits,
        copied=lambda: between,
        architecture=setup.architecture,
        trainer=setup.trainer.name,
    )
    trained = kind.first.trained + kind.second.trained
    return make_derived(kind.second, after, setup.stage(trained - 1, trained))


def _first_setup(kind: Chain, victim: Victim, setup: Setup) -> Setup:
    """Return the first thief's: the same share of the images, random numbers of its own, and no snapshots."""
    seed = int.from_bytes(hashlib.sha256(f"{setup.seed}/first".encode()).digest()[:4], "big") >> 1
    first = dataclasses.replace(
        setup.stage(0, kind.first.trained + kind.second.trained),
        seed=seed,
        images_seed=setup.seed if setup.images_seed is None else setup.images_seed,
        snapshots=(),
    )
    if kind.first.copies:
        first = dataclasses.replace(
            first, architecture=victim.architecture, trainer=find_trainer(victim.trainer), weights=None
        )
    return first
