"""Is the suspect a model of the kind that the calibration references stand for?

A rank speaks for models that are exchangeable with the references. CAEAcc moves with accuracy, upwards in the report
(Fig. 4) and downwards on other data, and a shared pretrained ancestor raises it innocently.
"""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.control_sources import described_controls
from cae_core.statistics.accuracies import unlike_all
from cae_core.statistics.adjustment import outside_hull

__all__ = ["benign_range", "beyond_the_fit", "outside_range", "unlike_references", "unrepresented_ancestor"]


def benign_range(calibration: Calibration, probed: Labels) -> tuple[float, float] | None:
    """Return the references' lowest and highest accuracy on the very probes (q,) that the suspect was asked.

    On the same images most of the sampling noise of a small set cancels.
    """
    if not len(calibration.references) or not len(probed):
        return None
    accuracy = calibration.references.accuracy(probed)[calibration.counted]
    return float(accuracy.min()), float(accuracy.max())


def unlike_references(right: NDArray[np.bool_], references: NDArray[np.bool_]) -> str | None:
    """Return in a sentence why the suspect's accuracy is no reference's; None where it may be.

    It is outside where it is right less often than *every* reference, or more often than every one, and by more than
    chance: by the exact sign test (5 %, two-sided) over the images on which exactly one of the two is right. One image
    decides nothing: where a reference is right wherever the suspect is, it takes six more. A model of the references'
    kind is outside with a probability of at most 2 / (r + 1), since it has to be the least or the most accurate.

    Args:
        right: bool (q,), whether the suspect is right about each probe that it was asked.
        references: bool (r, q), whether each reference is right; without a reference or a probe nothing can be said.
    """
    if not unlike_all(right, references):
        return None
    accuracies, accuracy = references.mean(axis=1, dtype=np.float64), float(right.mean(dtype=np.float64))
    return (
        f"the suspect's accuracy on the benign images, {accuracy:.0%}, is outside the references' range of "
        f"{accuracies.min():.0%} to {accuracies.max():.0%} by more than chance, so the references cannot be compared "
        "with it"
    )


def outside_range(right: NDArray[np.bool_], limits: tuple[float, float] | None) -> str | None:
    """Return in a sentence why the suspect, ``right`` (q,) on the probes, is outside; None where it is inside.

    The first rule's: a single image can decide. See `unlike_references`.
    """
    if limits is None:
        return None
    accuracy = float(right.mean(dtype=np.float64))
    if limits[0] <= accuracy <= limits[1]:
        return None
    return (
        f"the suspect's accuracy on the benign images, {accuracy:.0%}, is outside the references' range of "
        f"{limits[0]:.0%} to {limits[1]:.0%}, so the references cannot be compared with it"
    )


def beyond_the_fit(right: NDArray[np.bool_], references: NDArray[np.bool_]) -> str | None:
    """Return in a sentence that an adjusted score is a guess for the suspect, ``right`` (q,); None where it is not.

    Args:
        right: bool (q,), whether the suspect is right about each probe that it was asked.
        references: bool (r, q), whether each reference is right about each probe.
    """
    accuracies, accuracy = references.mean(axis=1, dtype=np.float64), float(right.mean(dtype=np.float64))
    if not outside_hull(accuracy, accuracies):
        return None
    return (
        f"the suspect's accuracy on the benign images, {accuracy:.1%}, is outside the references' range of "
        f"{accuracies.min():.1%} to {accuracies.max():.1%}, so the larger p of CAEAcc and the adjusted score counts"
    )


def unrepresented_ancestor(subject: CalibratedFingerprint) -> str:
    """Return the source's pretrained ancestor where not every calibration reference has it; empty otherwise.

    An innocent suspect with that ancestor is no further draw from references of which some have another, or none.
    """
    ancestor = str(subject.fingerprint.generation["source"].get("ancestor", ""))
    if subject.calibration is not None and subject.calibration.null == NullHypothesis.SOURCES:
        controls = described_controls(subject.fingerprint.generation)  # whatever they share, the suspect may share
        return "" if all(control.get("ancestor", "") == ancestor for control in controls) else ancestor
    models = () if subject.calibration is None else subject.calibration.references.models
    return "" if models and all(model.ancestor == ancestor for model in models) else ancestor
