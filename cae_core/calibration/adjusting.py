"""The adjusted score of calibration models and a suspect: how far each lies from what its accuracy leads to expect.

One residual for each kind of examples, since kinds confer differently, and their sum. All models are compared over the
very examples and benign probes that the suspect was asked.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.groups import Group
from cae_core.calibration.standing import Ranking, Seen
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.adjustment import adjusted_scores, outside_hull, predicted_scores
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.score import Score

__all__ = ["LEAST_PROBES", "Adjustment", "adjusted_in_vain", "rates_by_kind"]

LEAST_PROBES = 20
"""Benign probes that tell accuracies apart at all; with fewer, an accuracy is a draw and nothing to adjust by."""


def adjusted_in_vain(probes: int, references: int, degree: int) -> str:
    """Return in a sentence why a calibration has no adjusted score; empty where it has one.

    Args:
        probes: benign images of the fingerprint.
        references: of the calibration.
        degree: of the polynomial.
    """
    least = degree + 2  # with the suspect one more, so that one is left to tell how far the others scatter
    if probes < LEAST_PROBES:
        lacking = f"at least {LEAST_PROBES} benign images, and the fingerprint has {probes}"
    elif references < least:
        lacking = f"at least {least} references at degree {degree}, and there are {references}"
    else:
        return ""
    return f"The adjusted score takes {lacking}: CAEAcc decides instead."


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """A suspect and the references that it is adjusted together with.

    Attributes:
        fingerprint: whose examples they were asked.
        references: a calibration's.
        rows: int64 (r,), which of them count.
        seen: what the suspect showed.
        degree: of the polynomial in benign accuracy.
        exposure: of these references.
    """

    fingerprint: Fingerprint = field(repr=False)
    references: Group = field(repr=False)
    rows: Labels
    seen: Seen
    degree: int
    exposure: Exposure = Exposure.UNKNOWN

    @property
    def outside(self) -> bool:
        """Whether the suspect is more or less accurate than all references: a fit is a guess there."""
        return outside_hull(self._accuracy, self.references.accuracy(self.seen.probed)[self.rows])

    def among_references(self) -> Ranking:
        """Rank the suspect by the residuals of one fit over it and the references together."""
        rates, accuracy = self._measured(self.references, self.rows)
        together = np.column_stack([rates, self._rates]), np.append(accuracy, self._accuracy)
        scores = adjusted_scores(*together, self.degree)
        return Ranking(
            score=Score.ADJUSTED,
            value=float(scores[-1]),
            rows=self.rows,
            scores=scores[:-1],
            exposure=self.exposure,
        )

    def among_surrogates(self, surrogates: Group) -> Ranking:
        """Rank the suspect by how far it and each surrogate lies from what the references alone lead to expect."""
        everyone = np.arange(len(surrogates))
        rates, accuracy = self._measured(self.references, self.rows)
        theirs, their_accuracy = self._measured(surrogates, everyone)
        scores = predicted_scores(
            rates,
            accuracy,
            rates=np.column_stack([theirs, self._rates]),
            accuracies=np.append(their_accuracy, self._accuracy),
            degree=self.degree,
        )
        return Ranking(
            score=Score.ADJUSTED,
            value=float(scores[-1]),
            rows=everyone,
            scores=scores[:-1],
            high=False,
            exposure=self.exposure,
            opposite=float(adjusted_scores(rates, accuracy, self.degree).max(initial=-np.inf)),
        )

    @property
    def _accuracy(self) -> float:
        return float(self.seen.right.mean(dtype=np.float64))

    @property
    def _rates(self) -> Floats64:
        return rates_by_kind(self.seen.matches[np.newaxis], self._kinds)[:, 0]

    @property
    def _kinds(self) -> Labels:
        return self.fingerprint.example_kinds[self.seen.asked]

    def _measured(self, group: Group, rows: Labels) -> tuple[Floats64, Floats64]:
        """Return match rates by kind (k, r) and accuracies (r,) over what the suspect was asked."""
        matches = group.matches(self.fingerprint)[rows][:, self.seen.asked]
        return rates_by_kind(matches, self._kinds), group.accuracy(self.seen.probed)[rows]


def rates_by_kind(matches: NDArray[np.bool_], kinds: Labels) -> Floats64:
    """Return the match rates of m models for each kind that is present, float64 (k, m).

    Args:
        matches: bool (m, a).
        kinds: int64 (a,), the kind of each example.

    Example:
        >>> rates_by_kind(np.array([[True, False, True]]), np.array([0, 0, 2])).tolist()
        [[0.5], [1.0]]
    """
    present = np.flatnonzero(np.bincount(kinds))
    return np.stack([matches[:, kinds == kind].mean(axis=1, dtype=np.float64) for kind in present])
