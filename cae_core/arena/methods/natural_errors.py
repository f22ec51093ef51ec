"""What the source gets wrong, unchanged: AKH of QuRD (Godinot et al., AAAI 2025), after Chen et al.'s and others' use.

A copy repeats the errors of its source more often than an independent model makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cae_core.arena.matching import Matching
from cae_core.arena.material import Material, Part
from cae_core.arena.method import MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.files.fields import check_choices
from cae_core.progress import StageProgress

__all__ = ["AKH", "NaturalErrors"]


@dataclass(frozen=True, kw_only=True)
class NaturalErrors(Matching):
    """Agreement with the source where it is wrong.

    Attributes:
        part: of the data.
        order: which errors are asked: drawn at random, as in the paper, or those that the source is the surest of.
    """

    part: Part = "test"
    order: Literal["random", "sure"] = "random"

    def __post_init__(self) -> None:
        check_choices(self)

    @property
    def needs(self) -> Needs:
        """Labels only."""
        return Needs()

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:  # noqa: ARG002
        """See `Method.make`."""
        found = material.wrong(self.part, surest=self.order == "sure")[: max(budgets)]
        return Queries.in_order(material.data.images[found], material.source_answers.labels[found], budgets)


AKH = MethodKind(
    name="akh",
    words="the source's natural errors, unperturbed (AKH, QuRD 2025)",
    build=NaturalErrors,
    configurations={
        "random": {},
        "sure": {"order": "sure"},
        "all-images": {"part": "all"},
        "all-images-sure": {"part": "all", "order": "sure"},
    },
)
