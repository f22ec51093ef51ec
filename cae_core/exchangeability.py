"""Is the suspect a model of the kind that the calibration references stand for?

A rank speaks for models that are exchangeable with the references. References' CAEAcc rises with their accuracy
(report, Fig. 4), and a shared pretrained ancestor raises it innocently.
"""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration import Calibration
from cae_core.fingerprint import Fingerprint

__all__ = ["benign_range", "outside_range", "unrepresented_ancestor"]


def benign_range(calibration: Calibration, probed: Labels) -> tuple[float, float] | None:
    """Return the references' lowest and highest accuracy on the very probes (q,) that the suspect was asked.

    On the same images most of the sampling noise of a small set cancels: one more independent model falls outside
    with a probability of at most 2 / (r + 1).
    """
    if not len(calibration.references) or not len(probed):
        return None
    accuracy = calibration.references.accuracy(probed)
    return float(accuracy.min()), float(accuracy.max())


def outside_range(right: NDArray[np.bool_], limits: tuple[float, float] | None) -> str | None:
    """Return in a sentence why the suspect, ``right`` (q,) on the probes, is outside; None where it is inside."""
    if limits is None:
        return None
    accuracy = float(right.mean(dtype=np.float64))
    if limits[0] <= accuracy <= limits[1]:
        return None
    return (
        f"its accuracy on the benign images, {accuracy:.0%}, is outside the {limits[0]:.0%} to {limits[1]:.0%} of the "
        "calibration references, which say nothing about such a model"
    )


def unrepresented_ancestor(fingerprint: Fingerprint, calibration: Calibration | None) -> str:
    """Return the source's pretrained ancestor where not every calibration reference has it; empty otherwise.

    An innocent suspect with that ancestor is no further draw from references of which some have another, or none.
    """
    ancestor = str(fingerprint.generation["source"].get("ancestor", ""))
    models = () if calibration is None else calibration.references.models
    return "" if models and all(model.ancestor == ancestor for model in models) else ancestor
