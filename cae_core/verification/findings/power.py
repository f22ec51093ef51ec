"""What the calibration would catch: of each kind of theft that it knows, how many of its own copies it accuses."""

from cae_core.calibration.leaving_out import KindPower
from cae_core.foreign_text import visible
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["power"]

_KEY = "power"

_FEW = 5
"""Below so many copies of a kind a share says little."""


def power(examination: Examination) -> Finding:
    """Return by kind of theft how many known copies the same rule accuses, everything asked at once."""
    kinds = examination.subject.power if examination.subject.calibration is not None else ()
    if not kinds:
        return Finding(key=_KEY, value=None)
    shown = ", ".join(_in_words(kind) for kind in kinds)
    line = Line(
        label="would have caught",
        text=visible(f"{shown}  (of the calibration's own copies, if all images are asked)"),
        title="What this calibration catches",
        shown=visible(shown),
        note="the share of its own known copies of each kind that the same rule accuses, if all images are asked; each "
        "copy is compared with the others",
    )
    value = [{**vars(kind), "few": kind.models < _FEW} for kind in kinds]
    return Finding(key=_KEY, value=value, lines=(line,), section="scores")


def _in_words(kind: KindPower) -> str:
    few = ", few" if kind.models < _FEW else ""
    return f"{kind.kind} {kind.accused / kind.models:.0%} ({kind.accused} of {kind.models}{few})"
