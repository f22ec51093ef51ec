"""Judging recorded answers: what `cae_core.verification.exporting` has asked, once somebody has answered it."""

import dataclasses
from pathlib import Path

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.errors import ModelError
from cae_core.files.digests import sha256_of_file
from cae_core.opening.recorded_answers import AnswerFile, Playback
from cae_core.verification.exporting import read_answered
from cae_core.verification.options import VerificationOptions
from cae_core.verification.remembered import verify_remembered
from cae_core.verification.verdict import Suspect, Verdict

__all__ = ["verify_recorded"]


def verify_recorded(
    answers: Path,
    subject: CalibratedFingerprint,
    *,
    ledger: Path,
    options: VerificationOptions,
    case: str = "",
    limits: Limits = GENEROUS,
) -> Verdict:
    """Judge by recorded answers, which a process of its own reads. The verdict says that nobody attests them.

    Args:
        answers: the file.
        subject: the fingerprint, with the calibration that it had when its images were exported.
        ledger: that knows of the export.
        options: how they are judged.
        case: a name for the case.
        limits: of the process.

    Raises:
        CaeError: see `read_answered` and `verify_remembered`.
    """
    file = AnswerFile(answers, limits=limits)
    try:
        digest = sha256_of_file(answers)
        answered = read_answered(file, subject, ledger=ledger, sha256=digest)
        if sha256_of_file(answers) != digest:
            raise ModelError(
                f"{answers}: the file was changed while it was read. See that nobody writes to it; start again."
            )
    finally:
        file.end()
    begun = answered.begun
    return verify_remembered(
        Playback(answered.labels),
        subject,
        ledger=ledger,
        named=Suspect(name=begun.name, sha256=begun.begun.suspect, files=(f"{digest}  {answers.name}",)),
        options=dataclasses.replace(options, recorded=True),
        case=case or begun.case,
        containment=file.containment,
        resumed=answered.entry,
        recorded=digest,
    )
