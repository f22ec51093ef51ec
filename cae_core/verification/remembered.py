"""A verification that a ledger is told of: begun before its first question, ended or stopped after its last."""

from collections.abc import Sequence
from pathlib import Path

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.containment.record import UNCONTAINED, Containment
from cae_core.errors import StorageError
from cae_core.models import Model
from cae_core.progress import StageProgress, silent
from cae_core.verification.ledger import LedgerEntry, begin_entry
from cae_core.verification.ledger_index import LedgerIndex
from cae_core.verification.options import DEFAULT, VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify

__all__ = ["UnrecordedVerdict", "verify_remembered"]


class UnrecordedVerdict(StorageError):  # noqa: N818 - it is a verdict, and all that is wrong is the ledger
    """The suspect was asked and judged, but the ledger could not record how it ended.

    Attributes:
        verdict: the verdict, which stands.
    """

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


_STANDS = "The verdict stands, but the ledger does not remember it."


def verify_remembered(
    suspect: Model,
    subject: CalibratedFingerprint,
    *,
    ledger: Path,
    named: Suspect,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    case: str = "",
    self_check: bool = False,
    containment: Containment | None = UNCONTAINED,
    resumed: LedgerEntry | None = None,
    recorded: str = "",
    rivals: Sequence[Model] = (),
    identity: str = "",
    index: LedgerIndex | None = None,
    deferred: bool = False,
    progress: StageProgress = silent,
) -> Verdict:
    """Verify as `verify` does, with the verifications before this one that a ledger knows of, and write this one down.

    A nonce that is not given is drawn once fingerprint, calibration, suspect and options stand in the ledger.

    Args:
        suspect: see `verify`, as of all others.
        subject: what it is examined by.
        ledger: the file, see `cae_core.verification.ledger`.
        named: who the suspect is.
        options: with which it is asked; the ledger counts the verifications.
        nonce: where it is given.
        case: its name.
        self_check: whether the suspect is meant to be the source itself.
        containment: what stands around the suspect.
        resumed: the ledger's entry, where the verification was begun before; None: it begins now.
        recorded: SHA-256 of the file of recorded answers; empty where the suspect is asked.
        rivals: the suspect as it is asked by other contracts that may be its own.
        identity: of the ledger's entry, see `begin_entry`.
        index: of the ledger, see `begin_entry`.
        deferred: whether the caller waits for the disk before he tells of the verdict, see `begin_entry`.
        progress: called with the queries done and the most that there can be.

    Raises:
        StorageError: the ledger cannot be read, locked or written, or is a file of another kind; nothing was asked.
        UnrecordedVerdict: it cannot be written any more once the suspect was asked; it holds the verdict.
        CaeError: see `verify`.
    """
    entry = resumed or begin_entry(
        ledger,
        subject,
        suspect,
        named=named,
        options=options,
        nonce=nonce,
        case=case,
        identity=identity,
        index=index,
        deferred=deferred,
    )
    try:
        verdict = verify(
            suspect,
            subject,
            named=named,
            options=entry.counted(options, subject),
            nonce=nonce,
            drawn=entry.drawn,
            case=case,
            self_check=self_check,
            containment=containment,
            memory=entry,
            rivals=rivals,
            progress=progress,
        )
    except BaseException as error:  # an interruption as well: the suspect may have seen every image
        entry.stopped(error)
        raise
    try:
        entry.ended(verdict, recorded=recorded)
    except StorageError as error:
        raise UnrecordedVerdict(f"{error} {_STANDS}", verdict) from error
    return verdict
