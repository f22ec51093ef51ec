"""The rank among the references behind each defence that the calibration names; the largest p of all groups decides."""

from cae_core.calibration.standing import Ranking
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["preprocessed_groups"]

_KEY = "preprocessed"


def preprocessed_groups(examination: Examination) -> Finding:
    """Return the suspect's rank among the references behind each defence; nothing where they were asked behind none."""
    standing = examination.standing
    rankings = [] if standing is None else [ranking for ranking in standing.references if ranking.behind]
    if not rankings or examination.options.sequential:
        return Finding(key=_KEY, value=None)
    shown = "; ".join(_in_words(ranking) for ranking in rankings)
    note = "the largest p of all groups counts"
    line = Line(
        label="preprocessed",
        text=f"{shown}  ({note})",
        title="Behind preprocessing",
        shown=shown,
        note=f"the rank among the same references, asked behind a defence that an innocent suspect may have; {note}",
    )
    return Finding(key=_KEY, value=[_as_json(ranking) for ranking in rankings], lines=(line,), section="scores")


def _as_json(ranking: Ranking) -> dict[str, str | float]:
    return {"exposure": ranking.exposure.value, "behind": ranking.behind, **ranking.described()}


def _in_words(ranking: Ranking) -> str:
    return f"{ranking.score.words} among {len(ranking)} references {ranking.among}: p = {ranking.p_value:.4g}"
