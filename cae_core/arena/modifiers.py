"""What can be done with any method whose score is a match rate: screen its queries by the pools, adjust its score."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.material import Material
from cae_core.arena.method import Method, Needs
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats64
from cae_core.errors import OptionError
from cae_core.models import Model, Predictions
from cae_core.progress import StageProgress

__all__ = ["MODIFIERS", "Adjusted", "Screened", "conferred", "modified"]


@dataclass(frozen=True, kw_only=True)
class Screened:
    """A method with the queries that the pools confer: the best of several times as many.

    Attributes:
        base: the method, whose score is a match rate.
        candidates: how many queries of it are made for each that is kept.
    """

    base: Method
    candidates: int = 5

    matches: ClassVar[bool] = True

    @property
    def needs(self) -> Needs:
        """What the base takes, and the pools."""
        return replace(self.base.needs, pools=True)

    @property
    def adjusts(self) -> bool:
        """As the base does."""
        return bool(getattr(self.base, "adjusts", False))

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`; the pools' members are asked about each candidate."""
        made = self.base.make(material, [self.candidates * max(budgets)], progress=progress)
        boxes = material.white_boxes
        worth = conferred(made, boxes.surrogates, boxes.references)
        best = made.rows(np.argsort(-worth, kind="stable")[: max(budgets)])
        return Queries.in_order(best.images, best.labels, budgets, **best.facts)

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return the base's score."""
        return self.base.score(queries, answers)


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """A method whose match rate is ranked by what benign accuracy does not explain of it.

    Attributes:
        base: the method.
    """

    base: Method

    adjusts: ClassVar[bool] = True
    matches: ClassVar[bool] = True

    @property
    def needs(self) -> Needs:
        """What the base takes; benign probes are asked besides."""
        return self.base.needs

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`."""
        return self.base.make(material, budgets, progress=progress)

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return the base's score."""
        return self.base.score(queries, answers)


def conferred(queries: Queries, surrogates: Sequence[Model], references: Sequence[Model]) -> Floats64:
    """Return the conferrability (q,) of each query: surrogates' match rate times the rest of the references'.

    Lukas et al. 2021, Definition 2, with labels in place of the source's.
    """
    return _rates(queries, surrogates) * (1 - _rates(queries, references))


def _rates(queries: Queries, models: Sequence[Model]) -> Floats64:
    told: list[NDArray[np.bool_]] = [model.predict(queries.images).labels == queries.labels for model in models]
    return np.asarray(np.mean(told, axis=0), np.float64)


MODIFIERS = {"screened": Screened, "adjusted": Adjusted}
"""By the words that follow a method's name after a plus sign."""


def modified(method: Method, words: Sequence[str]) -> Method:
    """Return ``method`` with these modifiers, the first one innermost.

    Raises:
        OptionError: there is no such modifier, or the method's score is no match rate.
    """
    for word in words:
        if word not in MODIFIERS:
            raise OptionError(f"There is no modifier +{word}; there are {', '.join(f'+{name}' for name in MODIFIERS)}.")
        if not getattr(method, "matches", False):
            raise OptionError(f"+{word} takes a method whose score is a match rate, and this one's is not.")
        method = MODIFIERS[word](base=method)
    return method
