"""Per-model margins: every surrogate towards the wanted label, every reference towards the original one.

The composite loss takes the cross-entropy of *averaged* probabilities, where one confident model hides the others.
Here each model counts by its own logit margin, up to a cap:

    maximise  mean_S min(margin_S(t), cap) + w mean_R min(margin_R(y0), cap) + min(margin_M(t), cap)

with margin(c) = z_c - max of the other logits, t the wanted label and y0 the source's label of the seed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.method.objectives.objective import Goal, ObjectiveKind, ObjectiveValue
from cae_core.method.objectives.options import check_values, option

__all__ = ["MARGINS", "MarginLoss", "MarginOptions", "margin"]


@dataclass(frozen=True, kw_only=True)
class MarginOptions:
    """The options of the margins.

    Attributes:
        cap: a margin above it no longer counts (logit units).
        w_references: w, weight of the references.
    """

    cap: float = option(6.0, "largest margin that counts.")
    w_references: float = option(2.0, "weight of the references.")


@dataclass(frozen=True, kw_only=True)
class MarginLoss(MarginOptions):
    """The capped margins, negated so that they are minimised; its attributes are its options."""

    def __post_init__(self) -> None:
        check_values(self)

    def __call__(
        self, source: NDArray[Any], surrogates: NDArray[Any], references: NDArray[Any], goal: Goal
    ) -> ObjectiveValue:
        """See `Objective`."""
        value_m, d_source = self._capped(source[np.newaxis], goal.wanted, 1.0)
        value_s, d_surrogates = self._capped(surrogates, goal.wanted, 1.0)
        value_r, d_references = self._capped(references, goal.original, self.w_references)
        return ObjectiveValue(value_m + value_s + value_r, d_source[0], d_surrogates, d_references)

    def _capped(self, logits: NDArray[Any], labels: Labels, weight: float) -> tuple[Floats64, Floats64]:
        """Return -weight mean_m min(margin, cap), (n,), and its gradient, (m, n, c)."""
        margins, rival = margin(logits, labels)
        rate = -weight / len(logits) * (margins < self.cap)
        gradient = np.zeros(logits.shape)
        here = np.broadcast_to(labels, margins.shape)[..., np.newaxis]
        np.put_along_axis(gradient, here, rate[..., np.newaxis], axis=-1)
        np.put_along_axis(gradient, rival[..., np.newaxis], -rate[..., np.newaxis], axis=-1)
        return -weight * np.minimum(margins, self.cap).mean(axis=0), gradient


MARGINS = ObjectiveKind("margins", MarginOptions, MarginLoss)


def margin(logits: NDArray[Any], labels: Labels) -> tuple[Floats64, Labels]:
    """Return z_label - max of the other logits, float64 (..., n), and which other label that is.

    Args:
        logits: (..., n, c).
        labels: (n,).

    Example:
        >>> margin(np.array([[3.0, 1.0, 2.0]]), np.array([0]))[0].tolist()
        [1.0]
    """
    z = np.asarray(logits, np.float64)
    index = np.broadcast_to(labels, z.shape[:-1])[..., np.newaxis]
    own = np.take_along_axis(z, index, axis=-1)
    others = z.copy()
    np.put_along_axis(others, index, -np.inf, axis=-1)
    rival = others.argmax(axis=-1)
    return np.asarray(own[..., 0] - others.max(axis=-1), np.float64), rival
