"""What exactly an accusation rejects, in one sentence: of which models the suspect would have to be one more."""

from typing import Any

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.unit import Unit
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["null_hypothesis"]

_KEY = "null_hypothesis"


def null_hypothesis(examination: Examination) -> Finding:
    """Return the hypothesis that decides: which models, of how many recipes and architectures, and which exposure."""
    calibration = examination.subject.calibration
    if calibration is None:
        return Finding(key=_KEY, value=None)
    groups = _groups(calibration)
    sources = examination.subject.fingerprint.controls if calibration.null.asks_controls else 0
    words = _in_words(calibration, groups, sources)
    line = Line(
        label="p assumes",
        text=words,
        title="What the p-value assumes",
        shown=words,
        note="independent models of other kinds may be accused more often than the error rate says",
    )
    value = {
        "null": calibration.null.value,
        "unit": calibration.unit.value,
        "references": groups,
        **({"behind": list(calibration.preprocessed)} if calibration.preprocessed else {}),
        "words": words,
    }
    return Finding(key=_KEY, value=value, lines=(line,), section="scores")


def _groups(calibration: Calibration) -> list[dict[str, Any]]:
    """Return of each group of references how many models, recipes and architectures it has."""
    found: list[dict[str, Any]] = []
    for exposure, rows in calibration.reference_groups().items():
        makes = {unit: len(set(calibration.units(unit, rows).tolist())) for unit in (Unit.RECIPE, Unit.ARCHITECTURE)}
        found.append(
            {
                "exposure": exposure.value,
                "models": len(rows),
                "recipes": makes[Unit.RECIPE],
                "architectures": makes[Unit.ARCHITECTURE],
            }
        )
    return found


def _in_words(calibration: Calibration, groups: list[dict[str, Any]], sources: int) -> str:
    alike = f"the source is one of {sources + 1} sources that were all made in the same way, whatever the suspect is"
    if calibration.null == NullHypothesis.SOURCES:
        return f"{alike}; the error rate is an average over sources"
    models = " or the ".join(_group(group) for group in groups)
    unit = "" if calibration.unit == Unit.MODEL else f" but of another {_UNITS[calibration.unit]}"
    behind = f", as they are or behind {' or '.join(calibration.preprocessed)}" if calibration.preprocessed else ""
    told = f"the suspect, if independent, is a model like the {models}{unit}{behind}"
    if calibration.null == NullHypothesis.BOTH:
        return f"{told}; or that {alike}; of the two p-values the larger counts, and its error rate is an average"
    average = f"suspects, calibrations and {sources + 1} sources" if sources else "suspects and calibrations"
    return f"{told}; the error rate is an average over {average}"


_UNITS = {
    Unit.RECIPE: "recipe",
    Unit.ARCHITECTURE: "architecture",
    Unit.GROUP: "recipe or architecture",
}


def _group(group: dict[str, Any]) -> str:
    exposure = Exposure(group["exposure"])
    seen = ", " + exposure.words.replace("its", "the fingerprint's") if exposure else ""
    return (
        f"{_counted(group['models'], 'reference')} ({_counted(group['recipes'], 'recipe')}, "
        f"{_counted(group['architectures'], 'architecture')}{seen})"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
