"""What is known about a kind of member; everything that depends on the kind is read from its record."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network
from cae_core.arrays import Floats32
from cae_core.dataset import ImageSet
from cae_core.pool.manifest import Relation

__all__ = ["Copy", "Estimator", "Kind", "Start", "Teacher", "Theft", "Training"]

Start: TypeAlias = Literal["nothing", "answers", "weights"]
"""What of its parent a member is made of."""

Teacher: TypeAlias = Callable[[Floats32], Floats32]
"""The source as a thief sees it: images (n, h, w, k) in [0, 1] -> logits (n, c), up to a constant per image."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way in which a member of a pool is made.

    Attributes:
        name: name in plans and manifests.
        relation: relation of such a member to the source.
        how: how it is made, in words, for the documentation's table.
        trained: whether a recipe trains it, epoch by epoch.
        other_architecture: whether its architecture must be another than its parent's.
        needs: what of the recipe must not be zero -> the sentence that says so.
        known_images: whether it is trained on the images that it is given, as they are or augmented, and so the
            manifest tells on which.
    """

    name: str
    relation: Relation
    how: str
    trained: bool = True
    other_architecture: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    known_images: bool = True

    network: ClassVar[bool] = True
    """Whether it is a neural network."""

    @property
    def starts_from(self) -> Start:
        """What of its parent such a member is made of."""
        return "nothing"

    @property
    def asks(self) -> bool:
        """Whether it asks its parent about images."""
        return self.starts_from == "answers"

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

    @property
    def starts_from(self) -> Start:
        """Its parent's answers."""
        return "answers"


@dataclass(frozen=True, kw_only=True)
class Copy(Kind):
    """Made of a copy of the source's network, which ``make`` may change."""

    relation: Relation = "surrogate"
    make: Callable[[Network, Setup], Made]

    @property
    def starts_from(self) -> Start:
        """Its parent's weights."""
        return "weights"


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
