"""The score with benign accuracy taken out, beside the plain one: both ranks, and which of them counts."""

from typing import Any

from cae_core.calibration.adjusting import adjusted_in_vain
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Ranking, Standing
from cae_core.foreign_text import visible
from cae_core.statistics.score import Score
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["adjusted_score"]

_KEY = "adjusted"


def adjusted_score(examination: Examination) -> Finding:
    """Return the suspect's adjusted score, its ranks, and whether its accuracy is one that the fit covers.

    It decides where the calibration says so, and informs otherwise. The larger p of it and CAEAcc counts.
    """
    calibration = examination.subject.calibration
    if calibration is None or examination.options.sequential or _in_vain(examination, calibration):
        return Finding(key=_KEY, value=None)
    plainly = examination.options.ranks_plainly
    standing = examination.subject.standing(examination.seen, score=Score.ADJUSTED, plainly=plainly)
    decides = calibration.score == Score.ADJUSTED
    return Finding(
        key=_KEY,
        value=_as_json(standing, calibration.degree, decides=decides),
        lines=(_line(standing, decides=decides),),
        section="scores",
    )


def _in_vain(examination: Examination, calibration: Calibration) -> str:
    return adjusted_in_vain(len(examination.right), len(calibration.references), calibration.degree)


def _as_json(standing: Standing, degree: int, *, decides: bool) -> dict[str, Any]:
    return {
        "decides": decides,
        "degree": degree,
        "outside": standing.outside,
        "references": [_ranked(ranking) for ranking in standing.references],
        "surrogates": [_ranked(ranking) for ranking in standing.surrogates],
    }


def _ranked(ranking: Ranking) -> dict[str, str | float]:
    return {**({"behind": ranking.behind} if ranking.behind else {}), **ranking.described()}


def _line(standing: Standing, *, decides: bool) -> Line:
    ranks = "; ".join(_in_words(ranking) for ranking in standing.references)
    behind = any(ranking.behind for ranking in standing.references)
    if behind or standing.among or standing.counted_as:  # one of each group and unit: which they are is told elsewhere
        ranks = f"{_in_words(standing.high)}, the largest of {len(standing.references)} p-values"
    outside = "; the suspect's accuracy is outside the references' range" if standing.outside else ""
    what = f"{standing.score.words} decides" if decides else "for information; it decides nothing"
    return Line(
        label="adjusted",
        text=f"{visible(ranks)}{outside}  ({what})",
        title="Scores with benign accuracy taken out",
        shown=ranks,
        note=f"how far the matches are from those expected at the suspect's accuracy, in standard deviations{outside}; "
        f"{what}",
    )


def _in_words(ranking: Ranking) -> str:
    return f"{ranking.score.words} {ranking.value:.3g}, p = {ranking.p_value:.4g}"
