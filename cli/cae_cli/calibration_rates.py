"""What a calibration says of models like its own: innocents of a make that it lacks, and copies of each kind."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.leaving_out import left_out
from cae_core.calibration.overlap import shared_with_generation
from cae_core.foreign_text import visible
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.ranks import models_needed

__all__ = ["describe_rates", "rate_lines", "unsupported_rate"]

_MOST = 12
"""Makes that are told one by one to people, those first that suffer most."""


def describe_rates(subject: CalibratedFingerprint) -> dict[str, Any]:
    """Return it as JSON holds it."""
    return {
        "left_out": [asdict(row) for row in left_out(subject)],
        "power": [asdict(row) for row in subject.power],
        "shared_with_generation": shared_with_generation(subject),
    }


def unsupported_rate(described: dict[str, Any]) -> str:
    """Return the warning, of what `describe_calibration` returns, that no suspect can be accused; empty if one can."""
    references, fpr = described["references"], described["fpr"]
    needed = models_needed(fpr)
    if "null" in described or described["parametric"] or references >= needed:
        return ""
    return (
        f"\nWarning: no suspect can be called a surrogate at {fpr:g}: {references} references support no rate below "
        f"{1 / (references + 1):.3g}. A rate of {fpr:g} needs at least {needed} references (`cae calibrate --plan`)."
    )


def rate_lines(described: dict[str, Any]) -> Iterator[str]:
    """Yield sentences for people, of what `describe_rates` returns."""
    rows = sorted(described["left_out"], key=lambda row: -row["accused"] / row["models"])
    if rows:
        yield "\nInnocent models that would be accused if the references had none of their make:"
    for row in rows[:_MOST]:
        yield f"  {_share(row)} at {row['rate']:.3g}  {row['attribute']}: {_make(row)}"
    if len(rows) > _MOST:
        yield f"  and {len(rows) - _MOST} more, see --json"
    if described["power"]:
        caught = ", ".join(f"{visible(row['kind'])} {_share(row)}" for row in described["power"])
        yield f"\nShare of its own known copies that it would accuse: {caught}."
    if described["shared_with_generation"]:
        yield f"\nWarning: {described['shared_with_generation']}."


def _share(row: dict[str, Any]) -> str:
    return f"{row['accused'] / row['models']:.0%} ({row['accused']} of {row['models']})"


def _make(row: dict[str, Any]) -> str:
    return Exposure(row["value"]).words if row["attribute"] == "exposure" else visible(row["value"])
