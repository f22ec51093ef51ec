"""Are the calibration references of the make of those that the fingerprint was made with?

Examples are searched and chosen so that the references of the generation do not match them. Calibration references of
the same recipe and architecture match them less often than an innocent model of another make does, and p is too small.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cae_core.calibration.calibrated import CalibratedFingerprint

__all__ = ["shared_with_generation"]


def shared_with_generation(subject: "CalibratedFingerprint") -> str:
    """Return in a sentence how many references share kind, recipe and architecture with the generation's.

    Empty where none does, or where sources are ranked.
    """
    calibration = subject.calibrated
    described: list[dict[str, Any]] = subject.fingerprint.generation.get("references", [])
    made = {tuple(str(row.get(name, "")) for name in ("kind", "recipe", "architecture")) for row in described}
    models = calibration.references.models
    named = (model for model in models if model.recipe or model.architecture)
    shared = sum((model.kind, model.recipe, model.architecture) in made for model in named)
    if not shared or calibration.null.asks_controls:
        return ""
    return (
        f"{shared} of {len(models)} references share kind, recipe and architecture with references that the "
        "fingerprint was made with; its examples were chosen against those, so an innocent suspect of another make "
        "matches more often"
    )
