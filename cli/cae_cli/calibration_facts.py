"""What a calibration says, for scripts and for people."""

from typing import Any

from cae_cli.verdict_facts import NO_THRESHOLD, describe_models
from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.file import calibration_digest
from cae_core.fingerprint.file import Fingerprint

__all__ = ["calibration_lines", "describe_calibration"]


def describe_calibration(calibration: Calibration, fingerprint: Fingerprint) -> dict[str, Any]:
    """Return it as JSON holds it: models, rates, threshold, the matches of each model and the label drift."""
    drift = calibration.label_drift(fingerprint)
    return {
        **calibration.provenance(),
        "sha256": calibration_digest(calibration),
        "score": calibration.score,
        "parametric": calibration.parametric,
        "threshold": calibration.threshold(fingerprint),
        "matches": {
            relation: sorted(group.matches(fingerprint)[:, calibration.chosen].sum(axis=1).tolist())
            for relation, group in (("references", calibration.references), ("surrogates", calibration.surrogates))
        },
        "label_drift": {"truth": drift.truth, "match": drift.match, "third": drift.third},
    }


def calibration_lines(described: dict[str, Any], examples: int) -> dict[str, str]:
    """Return names and values for people, of what `describe_calibration` returns; ``examples`` in the fingerprint."""
    threshold, drift = described["threshold"], described["label_drift"]
    return {
        "examples asked": f"{described['examples_chosen']} of {examples}",
        "decided by": described["score"] + (", parametric: model-based, no bound" if described["parametric"] else ""),
        "threshold": NO_THRESHOLD if threshold is None else f"{threshold:.4g}",
        "error rates": f"{described['fpr']:g} false accusations, {described['fnr']:g} surrogates missed",
        **{relation: _models(described, relation) for relation in ("references", "surrogates")},
        "screened by": f"{described['screen']} models" if described["screen"] else "none",
        "references answer": (
            f"the truth {drift['truth']:.0%}, the source's label {drift['match']:.0%}, another {drift['third']:.0%}"
        ),
    }


def _models(described: dict[str, Any], relation: str) -> str:
    counts = described["matches"][relation]
    listed = describe_models(described[relation], described["kinds"][relation])
    return f"{listed}; {counts[0]} to {counts[-1]} matches" if counts else listed
