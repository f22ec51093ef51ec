"""Does the suspect repeat errors of the source on benign images? A second signal beside CAEAcc; it decides nothing."""

from cae_core.calibration.groups import Group
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.statistics.ranks import rank_p_value
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["repeated_errors"]


def repeated_errors(examination: Examination) -> Finding:
    """Count the source's wrong labels among the answers, and rank the count among the calibration models'.

    They are ranked on the very images that the suspect was asked. Both p-values are None where uncalibrated.
    """
    answers = examination.answers.to(SOURCE_ERROR)
    if not len(answers):
        return Finding(key=SOURCE_ERROR.name, value=None, top_level=True)
    asked = len(answers)
    wrong = examination.subject.fingerprint.of(SOURCE_ERROR).labels[answers.index]
    matches = int((answers.labels == wrong).sum())
    p, p_surrogate = _p_values(examination, matches)
    told, shown = ("", "") if p is None else (f", p = {p:.4g}", f", p-value {p:.3g}")
    line = Line(
        label="source's errors",
        text=f"{matches} of {asked} repeated{told}  (on benign images; for information, it decides nothing)",
        title="Errors of the source repeated",
        shown=f"{matches} of {asked}{shown}",
        note="benign images on which the suspect gives the source's wrong label; for information, they decide nothing",
    )
    value = {"matches": matches, "asked": asked, "p_value": p, "p_value_surrogate": p_surrogate}
    return Finding(key=SOURCE_ERROR.name, value=value, lines=(line,), top_level=True)


def _p_values(examination: Examination, matches: int) -> tuple[float | None, float | None]:
    calibration, name = examination.subject.calibration, SOURCE_ERROR.name
    if calibration is None or name not in calibration.references.further:
        return None, None
    references, surrogates = (_counts(examination, x) for x in (calibration.references, calibration.surrogates))
    return rank_p_value(references, matches), rank_p_value([-count for count in surrogates], -matches)


def _counts(examination: Examination, group: Group) -> list[int]:
    """Return how often each model of ``group`` repeats an error on the images that the suspect was asked."""
    if SOURCE_ERROR.name not in group.further:
        return []
    asked = examination.answers.to(SOURCE_ERROR).index
    wrong = examination.subject.fingerprint.of(SOURCE_ERROR).labels[asked]
    counts: list[int] = (group.further[SOURCE_ERROR.name][:, asked] == wrong).sum(axis=1).tolist()
    return counts
