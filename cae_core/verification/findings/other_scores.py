"""The scores that do not decide. Choosing among scores afterwards has no error rate, so they are only shown."""

from cae_core.statistics.score import Score
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["other_scores"]


def other_scores(examination: Examination) -> Finding:
    """Return value and rank p-value of each score that the calibration knows and does not decide by."""
    found = _p_values(examination)
    return Finding(
        key="other_scores",
        value={score.value: {"value": value, "p_value": p} for score, (value, p) in found.items()},
        lines=tuple(_line(score, value, p) for score, (value, p) in found.items()),
        section="scores",
        top_level=True,
    )


def _p_values(examination: Examination) -> dict[Score, tuple[float, float]]:
    subject, calibration = examination.subject, examination.subject.calibration
    if calibration is None or examination.stopped is not None:
        return {}
    found: dict[Score, tuple[float, float]] = {}
    for score in (Score.CAEACC, Score.LLR):  # the adjusted one came later, see `adjusted_score`
        if score != calibration.score and (score != Score.LLR or calibration.weights is not None):
            standing = subject.standing(examination.seen, score=score)
            found[score] = standing.value, standing.p_value
    return found


def _line(score: Score, value: float, p: float) -> Line:
    return Line(
        label=score.words,
        text=f"{value:.4g}, p = {p:.4g}  (for information; it decides nothing)",
        title=f"For information: {score.words}",
        shown=f"{value:.3g}, p-value {p:.3g}",
        note="decides nothing",
    )
