"""The white boxes of a generation: the source, its surrogates and the references, asked together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.ensembles import build_ensemble
from cae_core.errors import PoolError
from cae_core.models import DifferentiableModel, Ensemble, Precision

__all__ = ["Logits", "Pools"]


@dataclass(frozen=True)
class Logits:
    """The logits of the evaluated models, by relation.

    Attributes:
        source: float32 (n, c).
        surrogates: float32 (m, n, c).
        references: float32 (m, n, c).
    """

    source: Floats32
    surrogates: Floats32
    references: Floats32


@dataclass(frozen=True)
class Pools:
    """The models of a generation, all of which answer with the same classes.

    Attributes:
        source: the owner's model.
        surrogates: derived from it, at least one.
        references: independently trained, at least one.
        names: of source, surrogates and references in this order, for messages; may be empty.
    """

    source: DifferentiableModel
    surrogates: Sequence[DifferentiableModel]
    references: Sequence[DifferentiableModel]
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        for relation, members in (("surrogate", self.surrogates), ("reference", self.references)):
            if not members:
                raise PoolError(f"The pool has no {relation} left; a fingerprint needs at least one. Add models.")

    @property
    def models(self) -> tuple[DifferentiableModel, ...]:
        """Source, surrogates and references, in this order."""
        return (self.source, *self.surrogates, *self.references)

    def name(self, position: int) -> str:
        """Return the name of the model at ``position`` in `models`."""
        return self.names[position] if self.names else f"model {position}"

    def ensemble(self, *, precision: Precision = "float32") -> Ensemble:
        """Return all models as one ensemble, in the order of `models`."""
        return build_ensemble(self.models, precision=precision)

    def split(self, logits: Floats32, keep: NDArray[np.bool_]) -> Logits:
        """Divide the logits (m_kept, n, c) of an ensemble by relation; the source must have been kept."""
        kept_surrogates = int(keep[1 : 1 + len(self.surrogates)].sum())
        return Logits(logits[0], logits[1 : 1 + kept_surrogates], logits[1 + kept_surrogates :])
