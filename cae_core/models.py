"""What a backend must know: two methods, and nothing of the method itself.

A backend opens a model and wraps it as a `Model` (black box) or a `DifferentiableModel` (white box). The core
evaluates the objective and its gradient with respect to the logits in NumPy; a backend only pulls such a
gradient back to the images (a vector-Jacobian product). So only arrays cross the border, and one
optimisation may mix frameworks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, Labels

__all__ = [
    "NO_ANSWER",
    "DifferentiableModel",
    "Ensemble",
    "GroupableModel",
    "Model",
    "Precision",
    "Predictions",
    "Pullback",
    "Witness",
]

NO_ANSWER = -1
"""The label of a refusal or of an answer that is not a number; it never counts as a match."""

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""The arithmetic of a search; acceptance is always made in float32."""

Pullback: TypeAlias = Callable[[Floats32], Floats32]
"""Takes the gradient with respect to the logits to the gradient with respect to the images."""


@dataclass(frozen=True)
class Predictions:
    """What a model answers.

    Attributes:
        labels: int64 (n,), in ``0 .. c-1``, or `NO_ANSWER`.
        probabilities: float32 (n, c); None if the model does not tell them.
    """

    labels: Labels
    probabilities: Floats32 | None = None

    def __repr__(self) -> str:
        told = "labels alone" if self.probabilities is None else "with probabilities"
        return f"Predictions({len(self.labels)} answers, {told})"

    def rows(self, index: Labels) -> Self:
        """Return the answers at ``index``, int64, in that order."""
        told = None if self.probabilities is None else self.probabilities[index]
        return type(self)(self.labels[index], told)


@runtime_checkable
class Model(Protocol):
    """A black box: any suspect.

    Two attributes are optional, and stand in verdicts where a model has them: ``contract``, its
    `cae_core.contract.Contract`, and ``runtime``, what runs it and of which release, such as ``"onnxruntime 1.31.1"``.
    """

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k)."""
        ...


@runtime_checkable
class DifferentiableModel(Model, Protocol):
    """A white box: the source and the members of the pools."""

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """Return the logits (n, c) of float32 ``images`` in [0, 1], (n, h, w, k), and their pullback.

        The pullback takes (n, c) to (n, h, w, k), with respect to exactly the array that was passed.
        """
        ...


class Witness(Protocol):
    """Another implementation of the file that a white box was made of: what the white box is held against.

    Attributes:
        name: as messages call it, such as ``"ONNX Runtime"``.
        resolution: relative, of its arithmetic: 2**-23 for float32.
    """

    name: str
    resolution: float

    def logits(self, images: Floats32, *, plain: bool = False) -> Floats32:
        """Return the logits (n, c) of float32 ``images`` in [0, 1]; log-probabilities where the file answers those.

        Args:
            images: (n, h, w, k).
            plain: computed without optimisations, where the implementation has some.
        """
        ...


class Ensemble(Protocol):
    """Several models asked together, so that a backend can share one upload and one backward pass."""

    def __len__(self) -> int:
        """The number of members, m."""
        ...

    def vjp(self, images: Floats32, keep: NDArray[np.bool_]) -> tuple[Floats32, Pullback]:
        """Return the logits (m_kept, n, c) of the members that ``keep`` (m,) marks, and their pullback.

        The pullback takes (m_kept, n, c) to the SUM over the members, (n, h, w, k). A member that is not kept
        is not evaluated at all.
        """
        ...


@runtime_checkable
class GroupableModel(DifferentiableModel, Protocol):
    """A white box whose backend evaluates several models together better than one by one."""

    @classmethod
    def group(cls, models: Sequence[Self], *, precision: Precision) -> Ensemble:
        """Make one ensemble of ``models``, all of this class."""
        ...
