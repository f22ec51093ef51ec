"""The scores by which the suspects of a scan are drawn beside the calibration models."""

from dataclasses import dataclass

import numpy as np

from cae_core.calibration.groups import Group
from cae_core.statistics.score import Score
from cae_report.scan import Scan

__all__ = ["ScanScores", "scan_scores"]


@dataclass(frozen=True, kw_only=True)
class ScanScores:
    """What a figure of a scan shows.

    Attributes:
        score: of all of them.
        references: the calibration references' scores over all examples; none where uncalibrated.
        surrogates: the calibration surrogates' likewise.
        suspects: of the models that were judged.
        threshold: of this score; None where there is none for all.
        note: a sentence where the score does not decide; empty otherwise.
    """

    score: Score
    references: tuple[float, ...]
    surrogates: tuple[float, ...]
    suspects: tuple[float, ...]
    threshold: float | None
    note: str


def scan_scores(scan: Scan) -> ScanScores:
    """Return the scores that decide, or CAEAcc where those are fitted with each suspect: they have no common axis."""
    calibration = scan.subject.calibration
    decides = Score.CAEACC if calibration is None else calibration.score
    plain = decides != Score.ADJUSTED
    values = [row.value for row in scan.summary.rows] if plain else [*scan.matches.values()]
    score = decides if plain else Score.CAEACC
    return ScanScores(
        score=score,
        references=() if calibration is None else _scores(scan, calibration.references, score),
        surrogates=() if calibration is None else _scores(scan, calibration.surrogates, score),
        suspects=tuple(value for value in values if value is not None),
        threshold=scan.threshold if plain else None,
        note="" if plain else "The adjusted score is fitted with each suspect. CAEAcc, which counts as well, is drawn.",
    )


def _scores(scan: Scan, group: Group, score: Score) -> tuple[float, ...]:
    if not len(group):
        return ()
    asked = np.flatnonzero(scan.subject.chosen)
    return tuple(scan.subject.scores(group, asked, score).tolist())
