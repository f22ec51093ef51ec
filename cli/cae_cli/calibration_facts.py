"""What a calibration says, for scripts and for people."""

from dataclasses import asdict
from typing import Any

from cae_cli.verdict_facts import describe_models
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.record import Calibration
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import NO_THRESHOLD
from cae_core.statistics.unit import Unit

__all__ = ["calibration_lines", "describe_calibration"]


def describe_calibration(subject: CalibratedFingerprint) -> dict[str, Any] | None:
    """Return it as JSON holds it: models, rates, threshold, the matches of each model and the label drift.

    None where there is no calibration.
    """
    calibration = subject.calibration
    if calibration is None:
        return None
    drift = subject.label_drift()
    return {
        **asdict(calibration.behind()),
        "sha256": subject.content_sha256,
        "score": calibration.score.value,
        "parametric": calibration.parametric,
        **({"degree": calibration.degree} if calibration.score == Score.ADJUSTED else {}),
        "threshold": subject.threshold(),
        **_exposure(calibration),
        **({"behind": list(calibration.preprocessed)} if calibration.preprocessed else {}),
        **({} if calibration.unit == Unit.MODEL else {"unit": calibration.unit.value}),
        "matches": {
            relation: sorted(group.matches(subject.fingerprint)[:, subject.chosen].sum(axis=1).tolist())
            for relation, group in (("references", calibration.references), ("surrogates", calibration.surrogates))
        },
        "label_drift": None if drift is None else asdict(drift),
        **({"null": calibration.null.value} if calibration.null.asks_controls else {}),
        **({"controls": subject.fingerprint.controls} if calibration.null.asks_controls else {}),
    }


def _exposure(calibration: Calibration) -> dict[str, Any]:
    if calibration.exposure == ExposureRule.ONE_GROUP:
        return {}
    groups = {exposure.value: len(rows) for exposure, rows in calibration.reference_groups().items()}
    return {"exposure": {"rule": calibration.exposure.value, "references": groups}}


def calibration_lines(described: dict[str, Any], examples: int) -> dict[str, str]:
    """Return names and values for people, of what `describe_calibration` returns; ``examples`` in the fingerprint."""
    threshold, drift = described["threshold"], described["label_drift"]
    answered = (
        ""
        if drift is None
        else (f"the truth {drift['truth']:.0%}, the source's label {drift['match']:.0%}, another {drift['third']:.0%}")
    )
    ranked = {
        "sources": f"by rank among {described.get('controls')} control sources, by the suspect's own matches",
        "two-way": f"by rank among the references' and the suspect's matches with {described.get('controls')} control "
        "sources and the claimed one",
        "both": "by rank among the references, and by rank among "
        f"{described.get('controls')} control sources; the larger p counts",
    }
    return {
        "examples asked": f"{described['examples_chosen']} of {examples}",
        "decided by": described["score"] + (_FITTED if described["parametric"] else ""),
        "threshold": ranked[described["null"]] if "null" in described else _threshold(described["score"], threshold),
        "error rates": f"{described['fpr']:g} false accusations, {described['fnr']:g} surrogates missed",
        **{relation: _models(described, relation) for relation in ("references", "surrogates")},
        **_exposure_lines(described),
        **({"also behind": f"{', '.join(described['behind'])}; the largest p counts"} if "behind" in described else {}),
        **({"unit": _UNITS[Unit.named(described["unit"])]} if "unit" in described else {}),
        "screened by": f"{described['screen']} models" if described["screen"] else "none",
        **({"references answer": answered} if answered else {}),
    }


def _exposure_lines(described: dict[str, Any]) -> dict[str, str]:
    if "exposure" not in described:
        return {}
    groups, rule = described["exposure"]["references"], ExposureRule.named(described["exposure"]["rule"])
    listed = ", ".join(f"{count} {Exposure(name).words}" for name, count in groups.items())
    if rule.assumed is None:
        return {"by exposure": f"{listed}; the largest p counts" if len(groups) > 1 else listed}
    return {"by exposure": f"{listed}; you assume, and have to support, that an independent suspect was too"}


_FITTED = ", by a fitted distribution; its error rate is not guaranteed"

_UNITS = {
    Unit.RECIPE: "all references of one recipe count as one draw",
    Unit.ARCHITECTURE: "all references of one architecture count as one draw",
    Unit.GROUP: "all references of one recipe, or of one architecture, count as one draw; the larger p counts",
}


def _threshold(score: str, threshold: float | None) -> str:
    if score == Score.ADJUSTED:
        return "none in general: it differs for each suspect, whose own answers enter the adjusted score"
    return NO_THRESHOLD if threshold is None else f"{threshold:.4g}"


def _models(described: dict[str, Any], relation: str) -> str:
    counts = described["matches"][relation]
    listed = describe_models(described[relation], described["kinds"][relation])
    return f"{listed}; {counts[0]} to {counts[-1]} matches" if counts else listed
