"""By which score a verification decides: the calibration's, but in a mode that asks one by one."""

from cae_core.calibration.record import Calibration
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions

__all__ = ["deciding_score", "of_another_score"]


def deciding_score(calibration: Calibration, options: VerificationOptions) -> Score:
    """Return the score that decides.

    A mode that may stop after each answer counts matches: the adjusted score of a suspect is known only once all is
    asked, hence CAEAcc decides there in its place.
    """
    if options.sequential and calibration.score == Score.ADJUSTED:
        return Score.CAEACC
    return calibration.score


def of_another_score(calibration: Calibration, options: VerificationOptions) -> tuple[str, ...]:
    """Return in a sentence that another score decides than the calibration's; none where it is the calibration's."""
    score = deciding_score(calibration, options)
    if score == calibration.score:
        return ()
    return (f"in sequential mode {score.words} decides, and not the {calibration.score.words} of the calibration",)
