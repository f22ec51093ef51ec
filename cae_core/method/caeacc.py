"""CAEAcc: the fraction of a fingerprint on which a suspect answers the source's label (report, section 3.3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.errors import DataError
from cae_core.statistics.intervals import clopper_pearson

__all__ = ["CAEAcc", "cae_accuracy"]


@dataclass(frozen=True)
class CAEAcc:
    """Matches among the asked examples.

    Attributes:
        matches: answers equal to the source's label.
        asked: n, at least 1.
        low: lower end of the 95 % Clopper-Pearson interval, over examples (not over models).
        high: its upper end.
    """

    matches: int
    asked: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """Matches / n, in [0, 1]."""
        return self.matches / self.asked


def cae_accuracy(answers: Labels, labels: Labels) -> CAEAcc:
    """Count the ``answers`` (n,) that equal the source's ``labels`` (n,); a refusal or NaN (-1) is no match.

    Example:
        >>> cae_accuracy(np.array([3, 1, -1]), np.array([3, 2, 4])).value
        0.3333333333333333

    Raises:
        DataError: different shapes, nothing asked, or scores in the place of labels.
    """
    _check_labels(answers, "answers")
    _check_labels(labels, "labels")
    if answers.shape != labels.shape or len(labels) == 0:
        raise DataError(
            f"Answers and labels must be of the same length, at least 1; found {answers.shape}, {labels.shape}."
        )
    matches = int((answers == labels).sum())
    return CAEAcc(matches, len(labels), *clopper_pearson(matches, len(labels)))


def _check_labels(values: NDArray[np.generic], name: str) -> None:
    # comparing logits with labels is an error that earlier implementations made, and it never raised
    if values.ndim != 1 or values.dtype.kind != "i":
        raise DataError(f"The {name} must be integer labels (n,); found {values.dtype} {values.shape}.")
