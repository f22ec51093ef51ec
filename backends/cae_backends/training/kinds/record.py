"""What is known about a kind of member; everything that depends on the kind is read from its record."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network
from cae_core.arrays import Floats32
from cae_core.dataset import ImageSet
from cae_core.pool.manifest import Relation

__all__ = ["Copy", "Estimator", "Kind", "Teacher", "Theft", "Training"]

Teacher: TypeAlias = Callable[[Floats32], Floats32]
"""The source as a thief sees it: images (n, h, w, k) in [0, 1] -> logits (n, c), up to a constant per image."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way in which a member of a pool is made.

    Attributes:
        name: as plans and manifests have it.
        relation: of such a member to the source.
        how: how it is made, in words, for the documentation's table.
        trained: whether a recipe trains it, epoch by epoch.
        other_architecture: whether its architecture must be another than its parent's.
        needs: fields of the recipe that must not be zero -> the sentence that says so.
    """

    name: str
    relation: Relation
    how: str
    trained: bool = True
    other_architecture: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)

    starts_from: ClassVar[Literal["nothing", "answers", "weights"]] = "nothing"
    """What of its parent such a member is made of."""

    network: ClassVar[bool] = True
    """Whether it is a neural network."""

    @property
    def copies(self) -> bool:
        """Whether it starts from its parent's weights, and so keeps its architecture and its ancestors."""
        return self.starts_from == "weights"


@dataclass(frozen=True, kw_only=True)
class Training(Kind):
    """Made of data alone; ``make`` trains the network of a setup."""

    make: Callable[[Setup], Made]


@dataclass(frozen=True, kw_only=True)
class Theft(Kind):
    """Made of the source's answers alone, so that a source that is a file does, too."""

    relation: Relation = "surrogate"
    make: Callable[[Teacher, Setup], Made]

    starts_from: ClassVar[Literal["nothing", "answers", "weights"]] = "answers"


@dataclass(frozen=True, kw_only=True)
class Copy(Kind):
    """Made of a copy of the source's network, which ``make`` may change."""

    relation: Relation = "surrogate"
    make: Callable[[Network, Setup], Made]

    starts_from: ClassVar[Literal["nothing", "answers", "weights"]] = "weights"


@dataclass(frozen=True, kw_only=True)
class Estimator(Kind):
    """No neural network, so that it can be nobody's parent.

    Attributes:
        architectures: the names that ``make`` knows.
        make: (images to train on, images to test on, name, seed) -> the estimator of vectors in [0, 1] and its
            accuracy.
        exporter: the name of what writes it as ONNX.
    """

    relation: Relation = "reference"
    trained: bool = False
    architectures: Collection[str]
    make: Callable[[ImageSet, ImageSet, str, int], tuple[Any, float]]
    exporter: str

    network: ClassVar[bool] = False
