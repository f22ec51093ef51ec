"""Verifying a service: the ledger's entry, the client in its own process, and the log from which a run goes on."""

import dataclasses
from contextlib import ExitStack
from pathlib import Path

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.contract import Contract
from cae_core.errors import OptionError
from cae_core.files.outputs import LEDGER, check_output
from cae_core.files.records import as_json
from cae_core.opening.services import ServiceLoader, ServiceProcess, ServiceTold
from cae_core.progress import StageProgress, silent
from cae_core.verification.answer_log import AnswerLog, log_of
from cae_core.verification.ledger import LedgerEntry, begin_entry, begun_of, read_ledger, resume_entry
from cae_core.verification.logged_service import LoggedService
from cae_core.verification.options import VerificationOptions
from cae_core.verification.remembered import verify_remembered
from cae_core.verification.verdict import Suspect, Verdict

__all__ = ["verify_service"]


def verify_service(
    spec: str,
    loader: ServiceLoader,
    subject: CalibratedFingerprint,
    *,
    ledger: Path,
    contract: Contract | None = None,
    options: VerificationOptions,
    nonce: bytes | None = None,
    case: str = "",
    answers: Path | None = None,
    offline: bool = False,
    limits: Limits = GENEROUS,
    progress: StageProgress = silent,
) -> Verdict:
    """Ask a service and judge it; a run that was interrupted goes on: same entry, same nonce, same plan.

    Args:
        spec: its address, or the path of its description.
        loader: that knows it.
        subject: by what it is judged.
        ledger: the file.
        contract: replaces the description's.
        options: how it is asked and judged.
        nonce: where it is given; it is drawn otherwise.
        case: a name for the case.
        answers: where its answers are kept; None: beside the ledger, under the entry's id.
        offline: whether nobody is asked: the log has to have every answer.
        limits: of the client's process.
        progress: called with the queries done and the most that there can be.

    Raises:
        OptionError: the description is wrong.
        ModelError: the service cannot be asked, or a limit of the description is reached; run it again to go on.
        CaeError: see `verify_remembered` and `AnswerLog`.
    """
    task = subject.fingerprint.task
    told = loader.told(spec, contract=contract, task=task)
    if answers is not None:
        check_output(answers, LEDGER, inputs=[ledger])
    named = Suspect(name=told.address, sha256=told.sha256)
    begun: dict[str, object] = {
        "fingerprint": subject.fingerprint.id,
        "suspect": named.sha256,
        "calibration": subject.content_sha256,
        "options": as_json(options),
        "nonce": None if nonce is None else nonce.hex(),
    }
    entry = _to_go_on(told, subject, named, options, ledger=ledger, answers=answers, offline=offline, begun=begun)
    if entry is None and offline:
        raise OptionError("There is no log of answers of this verification, and with --offline nobody is asked.")
    if entry is None:
        known = _Known(told.contract)
        entry = begin_entry(ledger, subject, known, named=named, options=options, nonce=nonce, case=case)
    with ExitStack() as held:
        try:
            log = held.enter_context(AnswerLog(answers or log_of(ledger, entry.id), {**begun, "entry": entry.id}))
            process = None
            if not offline:
                process = ServiceProcess(spec, told, contract=contract, task=task, limits=limits)
                held.callback(process.end)
        except BaseException as error:  # nobody was asked
            entry.stopped(error)
            raise
        return verify_remembered(
            LoggedService(told, process, log),
            subject,
            ledger=ledger,
            named=named,
            options=options,
            nonce=nonce,
            case=case,
            containment=None if process is None else process.containment,
            resumed=entry,
            progress=progress,
        )


@dataclasses.dataclass(frozen=True)
class _Known:
    """What a ledger takes down of a model."""

    contract: Contract


def _to_go_on(
    told: ServiceTold,
    subject: CalibratedFingerprint,
    named: Suspect,
    options: VerificationOptions,
    *,
    ledger: Path,
    answers: Path | None,
    offline: bool,
    begun: dict[str, object],
) -> LedgerEntry | None:
    """Return the last entry of this very verification that has a log, and was interrupted unless ``offline``."""
    mine = begun_of(subject, _Known(told.contract), named=named, options=options)
    for entry in reversed(read_ledger(ledger)):
        same = as_json(vars(entry.begun)) == as_json(vars(mine))
        if not same or not entry.nonce or entry.withdrawn or (entry.finished and not offline):
            continue
        path = answers or log_of(ledger, entry.id)
        if AnswerLog.is_of(path, {**begun, "entry": entry.id}):
            return resume_entry(ledger, entry.id)[0]
    return None
