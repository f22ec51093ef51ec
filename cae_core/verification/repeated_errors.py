"""Does the suspect repeat errors of the source on benign images? A second signal beside CAEAcc; it decides nothing."""

from cae_core.calibration.calibrated import Calibration
from cae_core.fingerprint.answers import FirstAnswers
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.ranks import rank_p_value
from cae_core.verification.verdict import RepeatedErrors

__all__ = ["repeated_errors"]


def repeated_errors(
    fingerprint: Fingerprint, answers: FirstAnswers, calibration: Calibration | None
) -> RepeatedErrors | None:
    """Count the source's wrong labels among the answers, and rank the count among the calibration models'.

    They are ranked on the very images that the suspect was asked.

    Args:
        fingerprint: that was asked.
        answers: of the suspect.
        calibration: of this fingerprint; None: there is nothing to rank among.

    Returns:
        None where no such image was asked.
    """
    asked = answers.akh
    if not len(asked):
        return None
    wrong = fingerprint.akh_labels[asked]
    matches = int((answers.akh_given == wrong).sum())
    if calibration is None or not calibration.references.akh.size:
        return RepeatedErrors(matches, len(asked))
    references, surrogates = (
        (group.akh[:, asked] == wrong).sum(axis=1) if len(group) else wrong[:0]
        for group in (calibration.references, calibration.surrogates)
    )
    return RepeatedErrors(
        matches,
        len(asked),
        rank_p_value(references.tolist(), matches),
        rank_p_value((-surrogates).tolist(), -matches),
    )
