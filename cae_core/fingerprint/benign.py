"""The benign check: is the suspect asked in the way it is used to at all?

A suspect fed with the wrong range, layout or normalisation answers nonsense, and nonsense matches nothing; that is no
sign of independence.
"""

from dataclasses import dataclass

from cae_core.arrays import Labels
from cae_core.statistics.intervals import clopper_pearson

__all__ = ["BenignCheck", "check_benign"]


@dataclass(frozen=True)
class BenignCheck:
    """What the benign probes show.

    Attributes:
        accuracy: of the suspect on the benign probes, 0 to 1.
        asked: how many were asked.
        reason: why the check failed, in one sentence; None where it passed.
    """

    accuracy: float
    asked: int
    reason: str | None


def check_benign(answers: Labels, labels: Labels, *, classes: int, source_accuracy: float) -> BenignCheck:
    """Fail where the upper 99 % limit of the accuracy is below halfway between chance and the source's accuracy.

    It fails as well where the suspect always gives the same answer.

    Args:
        answers: int64 (q,), -1 for none.
        labels: int64 (q,), the ground truth.
        classes: c; chance is 1/c.
        source_accuracy: 0 to 1.
    """
    right, asked = int((answers == labels).sum()), len(labels)
    accuracy = right / asked
    halfway = (1 / classes + source_accuracy) / 2
    reason = None
    # np.unique would say it shorter, but loads numpy.ma: 30 ms of a verification's start-up
    if (answers == answers[0]).all() and (labels != labels[0]).any():
        what = "no usable answer" if answers[0] < 0 else f"always the class {answers[0]}"
        reason = f"it gives {what} on {asked} benign images; are its input range, layout and outputs right?"
    elif clopper_pearson(right, asked, 0.99)[1] < halfway:
        reason = (
            f"accuracy {accuracy:.0%} on {asked} benign images, where the source has {source_accuracy:.0%}; "
            "is the input range right?"
        )
    return BenignCheck(accuracy, asked, reason)
