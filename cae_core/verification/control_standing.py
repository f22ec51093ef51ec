"""Where a suspect's match with the claimed source stands among its matches with control sources."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.fingerprint.answers import FirstAnswers
from cae_core.fingerprint.kinds import CONTROL, EXAMPLE
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.source_ranks import (
    least_matches_by_sources,
    least_matches_two_way,
    source_rank_p_value,
    two_way_as_extreme,
)

__all__ = ["ControlStanding", "control_standing"]


@dataclass(frozen=True, kw_only=True)
class ControlStanding:
    """A suspect's match rates with all sources, and the references'.

    Attributes:
        null: the hypothesis that decides; of `NullHypothesis.BOTH` this is the rank among sources, and the references'
            is `Standing`'s.
        asked: how many examples of each source were asked.
        rates: float64 (m + 1,), the suspect's, with the claimed source first.
        references: float64 (r, m + 1), the references' over the same examples.
        logs_tried: how many query logs were tried, by which p is multiplied; 1 where the examples are of none.
    """

    null: NullHypothesis
    asked: int
    rates: Floats64 = field(repr=False)
    references: Floats64 = field(repr=False)
    logs_tried: int = 1

    @property
    def sources(self) -> int:
        """Number of control sources, m."""
        return len(self.rates) - 1

    @property
    def matched_as_often(self) -> int:
        """Number of control sources that the suspect matches at least as often as the claimed source."""
        return int((self.rates[1:] >= self.rates[0]).sum())

    @property
    def p_sources(self) -> float:
        """The p-value by rank among control sources."""
        return source_rank_p_value(self.rates)

    @property
    def references_as_high(self) -> int:
        """Number of references that match the claimed source at least as often as the suspect does."""
        return int((self.references[:, 0] >= self.rates[0]).sum())

    @property
    def p_references(self) -> float | None:
        """The p-value by rank among these references; None if there are none."""
        return rank_p_value(self.references[:, 0], float(self.rates[0])) if len(self.references) else None

    @property
    def pairs(self) -> int:
        """How many other pairs of a model and a source there are, (r + 1)(m + 1) - 1; 0 without references."""
        return self._table.size - 1 if len(self.references) else 0

    @property
    def pairs_as_high(self) -> int:
        """Number of these pairs that score at least as high, once the averages of model and source are subtracted."""
        return two_way_as_extreme(self._table) if self.pairs else 0

    @property
    def p_two_way(self) -> float | None:
        """The p-value by two-way rank; None if there are no references."""
        return (1 + self.pairs_as_high) / (1 + self.pairs) if self.pairs else None

    @property
    def as_extreme(self) -> tuple[int, int]:
        """How many sources or pairs are at least as extreme, and of how many, by the hypothesis that decides."""
        if self.null == NullHypothesis.TWO_WAY:
            return self.pairs_as_high, self.pairs
        return self.matched_as_often, self.sources

    @property
    def p_value(self) -> float:
        """The p-value among sources or pairs, by the hypothesis that decides."""
        return float(self.exact_p_value)

    @property
    def exact_p_value(self) -> Fraction:
        """The p-value as an exact fraction."""
        as_extreme, of = self.as_extreme
        return min(Fraction(1), Fraction(self.logs_tried * (1 + as_extreme), 1 + of))

    def threshold(self, fpr: float) -> float | None:
        """Return the least match rate with the claimed source that gives p <= fpr beside the others; None: none."""
        fpr /= self.logs_tried
        if self.null == NullHypothesis.TWO_WAY:
            least = least_matches_two_way(self._table, self.asked, fpr) if self.pairs else None
        else:
            least = least_matches_by_sources(self.rates[1:], self.asked, fpr)
        return None if least is None else least / self.asked

    @property
    def _table(self) -> Floats64:
        return np.vstack([self.rates, self.references])


def control_standing(subject: CalibratedFingerprint, answers: FirstAnswers) -> ControlStanding | None:
    """Return it; None where no control source was asked about.

    Where references of several exposures count, it is beside the group that gives the largest p: it is valid if the
    suspect is like any one of them.

    Args:
        subject: that was asked.
        answers: of the suspect; to as many examples of each source.
    """
    calibration, controls = subject.calibration, answers.to(CONTROL)
    if calibration is None or not subject.asks_controls or not len(controls):
        return None
    fingerprint, examples = subject.fingerprint, answers.to(EXAMPLE)
    kept = calibration.references.further.get(CONTROL.name, np.zeros((0, len(fingerprint.of(CONTROL))), np.int64))
    given = np.vstack([controls.labels, kept[:, controls.index]])
    matches = given == fingerprint.of(CONTROL).labels[controls.index]
    of_claimed = np.vstack([examples.labels, calibration.references.answers[:, examples.index]])[: len(matches)]
    rates = _rates(matches, controls.index // len(fingerprint), fingerprint.controls)
    claimed = (of_claimed == fingerprint.labels[examples.index]).mean(axis=1, keepdims=True, dtype=np.float64)
    table = np.hstack([claimed, rates])
    groups = calibration.reference_groups().values() if len(kept) else [np.zeros(0, np.int64)]
    log = fingerprint.query_log
    found = [
        ControlStanding(
            null=calibration.null,
            asked=len(examples),
            rates=table[0],
            references=table[1:][rows],
            logs_tried=1 if log is None else log.logs_tried,
        )
        for rows in groups
    ]
    if calibration.null == NullHypothesis.BOTH:  # the rank among sources is the same beside each
        return max(found, key=lambda standing: standing.p_references or 0.0)
    return max(found, key=lambda standing: standing.p_value)


def _rates(matches: Labels | np.ndarray[tuple[int, ...], np.dtype[np.bool_]], of: Labels, sources: int) -> Floats64:
    """Return float64 (r, m), the share of the ``matches`` (r, a) on the images of each source, ``of`` (a,)."""
    return np.stack([matches[:, of == source].mean(axis=1, dtype=np.float64) for source in range(sources)], axis=1)
