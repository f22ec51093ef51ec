"""The rank among each group of references, by what they saw of the fingerprint's images; the largest p decides."""

from cae_core.calibration.standing import Ranking
from cae_core.statistics.exposure import ExposureRule
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["exposure_groups"]

_KEY = "exposure"


def exposure_groups(examination: Examination) -> Finding:
    """Return the suspect's rank in each group of references; nothing where they are not told apart."""
    calibration, standing = examination.subject.calibration, examination.standing
    if calibration is None or standing is None or examination.options.sequential:
        return Finding(key=_KEY, value=None)
    if calibration.exposure == ExposureRule.ONE_GROUP:
        return Finding(key=_KEY, value=None)
    rankings = [ranking for ranking in standing.references if not ranking.behind]
    groups = {exposure.value: len(rows) for exposure, rows in calibration.reference_groups().items()}
    shown = "; ".join(_in_words(ranking) for ranking in rankings)
    note = "the group that was assumed beforehand" if calibration.exposure.assumed else "the largest p counts"
    line = Line(
        label="by exposure",
        text=f"{shown}  ({note})",
        title="By what the references were trained on",
        shown=shown,
        note=f"the rank among references with the same exposure to the fingerprint's images; {note}",
    )
    return Finding(
        key=_KEY,
        value={
            "rule": calibration.exposure.value,
            "references": groups,
            "rankings": [_as_json(ranking) for ranking in rankings],
        },
        lines=(line,) if len(groups) > 1 or calibration.exposure.assumed else (),
        section="scores",
    )


def _as_json(ranking: Ranking) -> dict[str, str | float]:
    return {"exposure": ranking.exposure.value, **ranking.described()}


def _in_words(ranking: Ranking) -> str:
    return f"{ranking.score.words} among {len(ranking)} {ranking.exposure.words}: p = {ranking.p_value:.4g}"
