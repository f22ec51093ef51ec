"""How a worker judges one suspect: by files, contained, and with the ledger, as `cae verify` does.

What follows from a suspect's model and the scan's nonce is the same whenever it is asked: the nonce of its questions,
and the ledger's entry, which a run that goes on continues.
"""

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.containment.child import Child
from cae_core.containment.limits import Limits
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import (
    ContractError,
    DataError,
    FingerprintError,
    ModelError,
    PoolError,
    StorageError,
    VerdictError,
)
from cae_core.files.records import as_json
from cae_core.loaders import Device, Loader
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.party import Party
from cae_core.opening.zygote import ModelZygote, may_have_zygote
from cae_core.verification.ledger_index import LedgerIndex
from cae_core.verification.options import VerificationOptions
from cae_core.verification.remembered import UnrecordedVerdict, verify_remembered
from cae_core.verification.verdict import Verdict
from cae_core.verification.verify import verify
from cae_core.workflows import verify_files

__all__ = ["Job", "Task", "deciding_fields", "entry_of", "forget_worker", "judge", "nonce_of", "take_cores"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all suspects of a scan have in common.

    Attributes:
        fingerprint: path of the fingerprint's file, as workers see it.
        sha256: SHA-256 of that file.
        nonce: nonce of the scan.
        options: how each suspect is asked and judged.
        ledger: its path; None: none is kept.
        device: device on which suspects run.
        limits: limits of the suspects' processes.
        full: whether the whole verdict is told.
        forks: whether a suspect may run in a fork of a zygote, instead of a fresh interpreter; on the scan's machine
            alone, so that the scan waits for the disk before it tells how a suspect was judged.
        finds: whether contracts that nobody states are found by the labelled images that workers were given.
    """

    fingerprint: Path
    sha256: str
    nonce: bytes
    options: VerificationOptions
    ledger: Path | None
    device: Device
    limits: Limits
    full: bool
    forks: bool
    finds: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """One suspect.

    Attributes:
        job: what all suspects have in common.
        name: path of the suspect.
        sha256: SHA-256 of the model when the family was fixed.
        contract: contract by which it is asked; None: the model's own applies.
    """

    job: Job
    name: str
    sha256: str
    contract: Contract | None = None


def nonce_of(scan: bytes, sha256: str) -> bytes:
    """Return the nonce of a suspect's questions, 16 bytes: it follows from the scan's and from the model."""
    return hashlib.sha256(b"cae-scan-nonce-v1\0" + scan + bytes.fromhex(sha256)).digest()[:16]


def entry_of(scan: bytes, sha256: str) -> str:
    """Return the id of a suspect's entry in the ledger, 32 hexadecimal digits."""
    return hashlib.sha256(b"cae-scan-entry-v1\0" + scan + bytes.fromhex(sha256)).hexdigest()[:32]


def judge(task: Task, labelled: ImageSet | None = None) -> dict[str, Any]:
    """Return what a line says of a suspect: its deciding fields, or under ``error`` why there are none.

    Args:
        task: the suspect.
        labelled: by which a contract is found that nobody states; see `images_for`.

    Raises:
        FingerprintError: the fingerprint's file is not the one that the scan began with.
        StorageError: the ledger cannot be used.
    """
    worker = _worker(task.job)
    try:
        verdict = _judged(task, worker, labelled if task.job.finds else None)
    except UnrecordedVerdict as error:
        raise StorageError(str(error)) from error
    except (ModelError, ContractError, DataError, PoolError, VerdictError) as error:
        return {"error": str(error)}
    return deciding_fields(verdict) | ({"record": as_json(verdict)} if task.job.full else {})


def deciding_fields(verdict: Verdict) -> dict[str, Any]:
    """Return of a verdict what decides, as JSON holds it."""
    decision, caeacc, occasion = verdict.decision, verdict.caeacc, verdict.occasion
    contract = None if occasion is None else occasion.contract
    simulated = verdict.examination.options.defence
    fields = {
        **({"defence": simulated} if simulated else {}),
        "verdict": decision.verdict,
        "p_value": decision.p_value,
        "p_value_surrogate": decision.p_value_surrogate,
        "score": {"name": decision.score.value, "value": decision.value},
        "threshold": {"value": decision.threshold, "provenance": decision.origin},
        "matches": caeacc.matches,
        "asked": caeacc.asked,
        "benign_accuracy": verdict.benign_accuracy,
        "reason": decision.reason,
        "remedy": decision.remedy,
        "weak": decision.weak,
        "extrapolated": decision.extrapolated,
        "is_source": None if occasion is None else occasion.is_source,
        "nonce": verdict.nonce,
        "contract": None if contract is None else contract.sha256,
        "containment": None if verdict.containment is None else verdict.containment.kind,
    }
    found: dict[str, Any] = as_json(fields)
    return found


@dataclass(frozen=True)
class _Worker:
    """What a worker keeps from one suspect to the next.

    Attributes:
        subject: the fingerprint, read once.
        index: of the ledger.
        zygote: gives processes; None: not here.
    """

    subject: CalibratedFingerprint
    index: LedgerIndex | None
    zygote: ModelZygote | None

    def ask(self, task: Task) -> Callable[..., Verdict]:
        """Return how the suspect is verified."""
        if task.job.ledger is None:
            return verify
        entry = entry_of(task.job.nonce, task.sha256)
        return partial(
            verify_remembered, ledger=task.job.ledger, identity=entry, index=self.index, deferred=task.job.forks
        )

    def born(self, *, forks: bool) -> Callable[[str, Loader], Child | None]:
        """Return what gives a process for a model."""
        return self.zygote.child if self.zygote is not None and forks else _none


_HELD = threading.local()
"""What each thread that judges keeps: a cluster's worker may have several."""


def _worker(job: Job) -> _Worker:
    key = (job.fingerprint, job.sha256, job.ledger)
    held: tuple[object, _Worker] | None = getattr(_HELD, "worker", None)
    if held is None or held[0] != key:
        take_cores(job)
        held = _HELD.worker = key, _begun(*key)
    return held[1]


def take_cores(job: Job) -> None:
    """Keep to as many cores as a suspect may have, where this process is one of several workers of this machine.

    A contained process takes the first of those that its parent has: without this, of all workers the same. And a
    worker and its suspect take turns: on one core neither wakes the other up elsewhere, where it would stand in the
    way of another worker.
    """
    number, count = _ordinal(), job.limits.threads
    if not (job.forks and number and count and hasattr(os, "sched_setaffinity")):
        return
    cores = sorted(os.sched_getaffinity(0))
    if count < len(cores):
        first = (number - 1) * count
        os.sched_setaffinity(0, {cores[(first + place) % len(cores)] for place in range(count)})


def _begun(fingerprint: Path, sha256: str, ledger: Path | None) -> _Worker:
    subject = load_calibrated(fingerprint)
    if subject.sha256 != sha256:
        raise FingerprintError(
            f"{fingerprint}: the file has changed since the scan began. Restore it, or scan again to another output."
        )
    zygote = ModelZygote(core=_ordinal()) if may_have_zygote() else None
    return _Worker(subject, None if ledger is None else LedgerIndex(ledger), zygote)


def forget_worker() -> None:
    """Let go of what this process keeps from one suspect to the next; its zygote ends."""
    _HELD.__dict__.pop("worker", None)


def _judged(task: Task, worker: _Worker, labelled: ImageSet | None) -> Verdict:
    files = ModelFiles(task.name)
    if files.digest != task.sha256:
        raise ModelError(
            f"{task.name}: the file was changed after the family of the scan was fixed. Nobody may write to it; scan "
            "again to another output."
        )
    job = task.job
    return verify_files(
        files,
        worker.subject,
        party=Party(device=job.device, limits=job.limits, born=worker.born(forks=job.forks)),
        contract=task.contract,
        data=labelled,
        options=job.options,
        nonce=nonce_of(job.nonce, task.sha256),
        ask=worker.ask(task),
    )


def _none(*_model: object) -> None:
    """Stand for a process that nobody has made beforehand."""


def _ordinal() -> int:
    """Return the number of this worker among those that its parent has started; the workers' cores differ by it."""
    number = current_process().name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
