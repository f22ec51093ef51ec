"""The benign check: is the suspect asked in the way it is used to at all?

A suspect fed with the wrong range, layout or normalisation answers nonsense, and nonsense matches nothing; that is no
sign of independence.
"""

from cae_core.arrays import Labels
from cae_core.statistics.intervals import clopper_pearson

__all__ = ["benign_settled", "check_benign"]

_CONFIDENCE = 0.99
_SETTLED = 0.9
"""Less than the other: what the check is there for, answers to images that are read wrongly, are right by chance."""


def check_benign(answers: Labels, labels: Labels, *, classes: int, source_accuracy: float) -> str | None:
    """Return in one sentence why the suspect fails the check; None where it passes.

    It fails where the upper 99 % limit of its accuracy is below halfway between chance and the source's accuracy, and
    where it always gives the same answer.

    Args:
        answers: int64 (q,), -1 for none.
        labels: int64 (q,), the ground truth.
        classes: c; chance is 1/c.
        source_accuracy: 0 to 1.
    """
    right, asked = int((answers == labels).sum()), len(labels)
    # np.unique would say it shorter, but loads numpy.ma: 30 ms of a verification's start-up
    if (answers == answers[0]).all() and (labels != labels[0]).any():
        what = "no usable answer to any of" if answers[0] < 0 else f"the same class, {answers[0]}, to all"
        return f"the model gives {what} {asked} benign images; are its input range, layout and outputs right?"
    if clopper_pearson(right, asked, _CONFIDENCE)[1] < _halfway(classes, source_accuracy):
        return (
            f"the model is right on {right / asked:.0%} of {asked} benign images, and the source on "
            f"{source_accuracy:.0%}; is its input range right?"
        )
    return None


def benign_settled(answers: Labels, labels: Labels, *, classes: int, source_accuracy: float) -> bool:
    """Return whether further probes would hardly change what `check_benign` says.

    It is unfit once the 99 % interval lies below halfway, as there, and fit once the 90 % interval lies above. Where
    it always gives the same answer, more are asked: of a few images most can be of one class.

    Args:
        answers: see `check_benign`, as of the others; at least one.
        labels: the ground truth.
        classes: c.
        source_accuracy: 0 to 1.
    """
    right, halfway = int((answers == labels).sum()), _halfway(classes, source_accuracy)
    if clopper_pearson(right, len(labels), _SETTLED)[0] < halfway:
        return clopper_pearson(right, len(labels), _CONFIDENCE)[1] < halfway
    return check_benign(answers, labels, classes=classes, source_accuracy=source_accuracy) is None


def _halfway(classes: int, source_accuracy: float) -> float:
    """Return the accuracy halfway between chance and the source's."""
    return (1 / classes + source_accuracy) / 2
