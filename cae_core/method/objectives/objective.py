"""The contract of an objective, and its record: the name, the options, and what makes it of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.method.objectives.options import Option, options_of

__all__ = ["Goal", "Objective", "ObjectiveKind", "ObjectiveValue"]


@dataclass(frozen=True)
class Goal:
    """What is wanted of each image.

    Attributes:
        original: int64 (n,): y0, the source's label of the seed.
        wanted: int64 (n,): the wrong label to reach; objectives that choose it themselves do not read it.
    """

    original: Labels
    wanted: Labels


@dataclass(frozen=True)
class ObjectiveValue:
    """The value to minimise and its gradient with respect to every model's logits.

    Attributes:
        value: float64 (n,), one for each image; their sum is minimised, so no image depends on its batch.
        source: float64 (n, c).
        surrogates: float64 (m, n, c).
        references: float64 (m, n, c).
    """

    value: Floats64
    source: Floats64
    surrogates: Floats64
    references: Floats64

    def stacked(self) -> Floats64:
        """Return the gradients as one array (1 + m + m, n, c): source, surrogates, references."""
        return np.concatenate([self.source[np.newaxis], self.surrogates, self.references])


class Objective(Protocol):
    """A function of the logits of the source (n, c), the surrogates and the references (m, n, c each)."""

    def __call__(
        self, source: NDArray[Any], surrogates: NDArray[Any], references: NDArray[Any], goal: Goal
    ) -> ObjectiveValue:
        """Evaluate the objective and its gradients."""
        ...


@dataclass(frozen=True)
class ObjectiveKind:
    """The record of an objective, beside its class.

    Attributes:
        name: by which the settings choose it.
        holder: the dataclass whose fields are its options.
        make: takes the options by keyword, refuses what is out of range and returns the objective.
    """

    name: str
    holder: type[Any]
    make: Callable[..., Objective]

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options, in their order."""
        return options_of(self.holder)

    def build(self, settings: object) -> Objective:
        """Return the objective with the options that ``settings`` has as attributes.

        Raises:
            OptionError: one is out of range.
        """
        return self.make(**{option.name: getattr(settings, option.name) for option in self.options})
