"""Random images of the task: how often a suspect agrees with the source on them. The least that a method must beat."""

from collections.abc import Sequence
from dataclasses import dataclass

from cae_core.arena.matching import Matching
from cae_core.arena.material import Material, Part
from cae_core.arena.method import MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.progress import StageProgress

__all__ = ["RANDOM", "RandomImages"]


@dataclass(frozen=True, kw_only=True)
class RandomImages(Matching):
    """Agreement with the source on images drawn at random.

    Attributes:
        part: of the data.
    """

    part: Part = "test"

    @property
    def needs(self) -> Needs:
        """Labels only."""
        return Needs()

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:  # noqa: ARG002
        """See `Method.make`."""
        chosen = material.places(self.part)[: max(budgets)]
        return Queries.in_order(material.data.images[chosen], material.source_answers.labels[chosen], budgets)


RANDOM = MethodKind(name="random", words="agreement with the source on random test images", build=RandomImages)
