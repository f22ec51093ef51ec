"""Signs that a suspect does not answer the examiner as it answers its customers.

None of them accuses. They keep "independent" from being said of a suspect that withholds its answers: refusing,
changing or drawing them at random makes it match less often, never more often.
"""

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.groups import answer_shares, third_labels
from cae_core.fingerprint.answers import Answered, FirstAnswers
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.models import NO_ANSWER
from cae_core.statistics.intervals import clopper_pearson

__all__ = ["signs_of_evasion"]

_REFUSED = 0.1
"""The share of the examples from which refusals are named."""

_MOSTLY = 0.5
"""The share of the examples from which third labels are named where nothing is calibrated."""


def signs_of_evasion(
    subject: CalibratedFingerprint, answers: FirstAnswers, *, claimed_accuracy: float | None
) -> tuple[str, ...]:
    """Name what is wrong with the answers, in sentences.

    Args:
        subject: that was asked; its calibration says how often references answer a third label.
        answers: of the suspect.
        claimed_accuracy: accuracy that the suspect's owner claims, 0 to 1; None: no claim.
    """
    signs: list[str] = []
    examples, benign = answers.to(EXAMPLE), answers.to(BENIGN)
    if answers.changed:
        signs.append(
            f"nondeterministic: {answers.changed} of {answers.repeats} images got another answer when the suspect was "
            "asked again"
        )
    refused, refused_benign = (float((x == NO_ANSWER).mean()) for x in (examples.labels, benign.labels))
    if refused > _REFUSED:
        signs.append(f"the suspect refuses {refused:.0%} of the examples and {refused_benign:.0%} of the benign images")
    else:
        signs += _third_labels(subject, examples)
    right, asked = int((benign.labels == subject.fingerprint.probe_labels[benign.index]).sum()), len(benign)
    if claimed_accuracy is not None and clopper_pearson(right, asked, 0.99)[1] < claimed_accuracy:
        signs.append(
            f"the suspect is right on {right / asked:.0%} of {asked} benign images, and its owner claims an accuracy "
            f"of {claimed_accuracy:.0%}"
        )
    return tuple(signs)


def _third_labels(subject: CalibratedFingerprint, examples: Answered) -> list[str]:
    fingerprint, calibration = subject.fingerprint, subject.calibration
    third = answer_shares(examples.labels, fingerprint, examples.index).third
    what = f"the suspect gives {third:.0%} of the examples a label that is neither the source's nor the true one"
    if calibration is None or not len(calibration.references):
        return [f"{what}, as a model that answers at random would"] if third > _MOSTLY else []
    shares = third_labels(calibration.references.answers, fingerprint)[:, examples.index].mean(axis=1)
    # an independent model exceeds all r references with a chance of 1 / (r + 1); by a tenth, to be worth a word
    if third > shares.max() + _REFUSED:
        return [f"{what}, and no reference does so for more than {shares.max():.0%}"]
    return []
