"""One run of the demonstration, as the site shows it: what `cae demo --json` printed, and what its fingerprint holds.

The end of docs/tutorial.md has the two commands that record one.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.groups import Group
from cae_core.fingerprint.file import Fingerprint

__all__ = ["RECORD", "load_record", "main", "recorded"]

RECORD = Path(__file__).parents[2] / "demo.json"

_EXAMPLES = 6
_KEPT = ("relation", "kind", "accuracy", "caeacc", "p_value", "standing", "verdict")


def load_record() -> dict[str, Any]:
    """Return what was recorded; see `recorded`."""
    loaded: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return loaded


def recorded(printed: dict[str, Any], fingerprint: Path) -> dict[str, Any]:
    """Return what the site shows.

    Returns:
        ``auc``; ``suspects``, the highest CAEAcc first; ``calibration``, the CAEAcc of each calibration model by
        relation; ``rates``; and ``examples``, the first ones that are perturbed, with the seed's and the example's
        rows of pixels (0 to 255), the truth and the source's label.
    """
    calibrated = load_calibrated(fingerprint)
    made, calibration = calibrated.fingerprint, calibrated.calibration
    assert calibration is not None  # the demonstration calibrates  # noqa: S101
    suspects = sorted(printed["suspects"], key=lambda suspect: -suspect["caeacc"])
    return {
        "auc": printed["auc"],
        "suspects": [{name: suspect[name] for name in _KEPT} for suspect in suspects],
        "calibration": {
            "references": _caeaccs(calibration.references, made),
            "surrogates": _caeaccs(calibration.surrogates, made),
        },
        "rates": {"fpr": calibration.fpr, "fnr": calibration.fnr},
        "examples": [
            {
                "truth": int(made.ground_truth[i]),
                "label": int(made.labels[i]),
                "seed": made.seeds[i, :, :, 0].tolist(),
                "example": made.images[i, :, :, 0].tolist(),
            }
            for i in range(min(_EXAMPLES, len(made)))
        ],
    }


def _caeaccs(group: Group, fingerprint: Fingerprint) -> list[float]:
    return sorted(round(float(share), 6) for share in group.matches(fingerprint).mean(axis=1))


def main(arguments: Sequence[str]) -> None:
    """Print the record of a run; see the module."""
    printed, fingerprint = map(Path, arguments)
    record = recorded(json.loads(printed.read_text(encoding="utf-8")), fingerprint)
    sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
