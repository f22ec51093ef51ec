"""p-values of a whole family, adjusted: what stands behind an accusation where many were judged.

Without that, of a hundred independent suspects five are accused at 5 %. The family counts as it was fixed beforehand: a
suspect that could not be judged, or that its single verdict does not accuse, counts with p = 1. The latter matters for
the share of false findings: a rule beyond p, such as that a suspect scores like known copies, may keep a true finding
from being one, and must not leave the false ones among fewer.
"""

from collections.abc import Sequence
from enum import StrEnum

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.errors import OptionError
from cae_core.statistics.choices import choice_named
from cae_core.statistics.multiplicity import benjamini_hochberg, holm
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit

__all__ = ["Correction", "adjusted", "correction_for", "is_plain_rank", "logs_tried"]


class Correction(StrEnum):
    """How the p-values of a family are adjusted."""

    BH = "bh"
    HOLM = "holm"
    NONE = "none"

    @property
    def words(self) -> str:
        """What it bounds."""
        return {
            "bh": "Benjamini-Hochberg: on average at most this share of the accused models is accused falsely",
            "holm": "Holm: the probability of any false accusation is at most this",
            "none": "none: each verdict stands alone",
        }[self.value]


def is_plain_rank(calibration: Calibration) -> bool:
    """Return whether p is the rank among one group of references by a score that is fixed beforehand.

    Such p-values of independent suspects are positively dependent (Bates et al. 2023, theorem 2), which
    Benjamini-Hochberg needs. Of a largest p over groups or units, a rank among sources, a model of the counts, and a
    score that is fitted with the suspect, that is not proven.
    """
    return (
        calibration.null == NullHypothesis.REFERENCES
        and calibration.unit == Unit.MODEL
        and calibration.score in (Score.CAEACC, Score.LLR)
        and not calibration.parametric
        and len(calibration.ranked_groups()) == 1
    )


def correction_for(calibration: Calibration | None, wanted: str | None, *, factor: float = 1) -> Correction:
    """Return how a family is corrected.

    Args:
        calibration: of the fingerprint; None: nothing has a p.
        wanted: by name; None: Benjamini-Hochberg where it holds, Holm elsewhere.
        factor: by which each p is multiplied.

    Raises:
        OptionError: Benjamini-Hochberg is wanted and does not hold, or there is no such correction, or nothing has a p.
    """
    plain = calibration is not None and is_plain_rank(calibration) and factor == 1
    if wanted is None:
        return Correction.NONE if calibration is None else Correction.BH if plain else Correction.HOLM
    chosen = choice_named(Correction, wanted, option="correct")
    if chosen != Correction.NONE and calibration is None:
        raise OptionError("Without a calibration there is no p to correct. Calibrate the fingerprint (cae calibrate).")
    if chosen == Correction.BH and not plain:
        raise OptionError(
            "Benjamini-Hochberg holds only if p is a plain rank among one group of references (docs/scan.md), and "
            "here it is not. Use --correct holm."
        )
    return chosen


def logs_tried(subject: CalibratedFingerprint) -> int:
    """Return by what each p is multiplied for the query logs that were tried."""
    log = subject.fingerprint.query_log
    return 1 if log is None else log.logs_tried


def adjusted(p_values: Sequence[float | None], *, family: int, correction: Correction) -> list[float | None]:
    """Return the adjusted p of each accused suspect; None of what has none.

    Args:
        p_values: of the suspects that are accused by themselves; None of all others.
        family: how many hypotheses there are, at least as many.
        correction: how.

    Example:
        >>> adjusted([0.01, None, 0.02], family=4, correction=Correction.BH)
        [0.04, None, 0.04]
    """
    if correction == Correction.NONE:
        return [None] * len(p_values)
    every = [1.0 if p is None else p for p in p_values] + [1.0] * (family - len(p_values))
    found = (benjamini_hochberg if correction == Correction.BH else holm)(every)
    return [None if p is None else float(value) for p, value in zip(p_values, found[: len(p_values)], strict=True)]
