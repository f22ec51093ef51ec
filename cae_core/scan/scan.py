"""A whole scan, from a list of suspects to the table at its end."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core import clock
from cae_core import version as release
from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.containment.limits import Limits
from cae_core.contract import Contracts
from cae_core.dataset import ImageSet
from cae_core.files.outputs import LEDGER, check_output
from cae_core.loaders import Device
from cae_core.progress import Progress, silent, stage
from cae_core.scan.correction import correction_for, logs_tried
from cae_core.scan.family import Family, Hashed, hash_suspects
from cae_core.scan.judging import Job, Task
from cae_core.scan.labelled import images_for, shared_images
from cae_core.scan.listing import list_suspects
from cae_core.scan.log import VERSION, ScanLog
from cae_core.scan.running import Here, Workers, judged
from cae_core.scan.summary import ScanSummary, summarise
from cae_core.verification.ledger import ledger_of, sync_ledger
from cae_core.verification.options import DEFAULT, VerificationOptions
from cae_core.verification.verify import plan_verification

__all__ = ["ScanSettings", "scan_suspects"]

_ONE_THREAD = Limits(threads=1)


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """How suspects are judged.

    Attributes:
        options: options of each verification; a scan asks all images.
        correct: name of the correction of the p-values; None: see `correction_for`.
        roles: roles of the manifest's models that are judged; empty: all.
        contracts: contracts that replace the suspects' own, unless the list names one; None: there are none.
        full: whether each line holds the whole verdict.
        device: device on which suspects run.
        limits: limits of the suspects' processes.
        forks: whether suspects may run in forks of a zygote; not if workers are threads of their process, or run on
            other machines.
    """

    options: VerificationOptions = DEFAULT
    correct: str | None = None
    roles: tuple[str, ...] = ()
    contracts: Contracts | None = None
    full: bool = False
    device: Device = "auto"
    limits: Limits = _ONE_THREAD
    forks: bool = True


def scan_suspects(
    target: Path,
    fingerprint: Path,
    output: Path,
    *,
    settings: ScanSettings = ScanSettings(),
    workers: Workers | None = None,
    ledger: Path | None = None,
    keeps_ledger: bool = True,
    data: ImageSet | None = None,
    progress: Progress = silent,
) -> ScanSummary:
    """Judge every suspect that ``target`` names, contained, and write a line for each to ``output`` as it is judged.

    A run that was interrupted goes on where it is called again with the same suspects, fingerprint and settings.

    Args:
        target: see `list_suspects`.
        fingerprint: the fingerprint's file, with its calibration if it has one.
        output: file for the results, JSON Lines, see `ScanLog`.
        settings: how the suspects are judged.
        workers: workers that judge; None: this thread.
        ledger: the ledger's file; None: `ledger_of` the fingerprint.
        keeps_ledger: whether a ledger is kept.
        data: labelled images of the task, which find the contracts that nobody states, see `verify_files`.
        progress: is told of the stages ``reading models`` and ``judging``.

    Raises:
        OptionError: nothing is named, the correction does not hold, or ``output`` is a file of another kind.
        VerdictError: ``output`` is of another scan.
        CaeError: as of a single verification, where it is no fault of a suspect.
    """
    subject = load_calibrated(fingerprint)
    correction = correction_for(subject.calibration, settings.correct, factor=logs_tried(subject))
    kept = (ledger or ledger_of(fingerprint)) if keeps_ledger else None
    if kept is not None:
        check_output(kept, LEDGER, inputs=[fingerprint, output])
    plan_verification(subject, suspect_sha256="", options=settings.options)  # refuses what cannot be asked so
    listed = list_suspects(target, roles=settings.roles)
    family = hash_suspects(listed, contracts=settings.contracts, progress=stage(progress, "reading models"))
    labelled = None if data is None else images_for(subject, data)
    workers = workers or Here()
    with ScanLog(output, _head(subject, family, settings, labelled)) as log, _given(workers, labelled):
        job = Job(
            fingerprint=fingerprint.resolve(),
            sha256=subject.sha256,
            nonce=log.nonce,
            options=settings.options,
            ledger=None if kept is None else kept.resolve(),
            device=settings.device,
            limits=settings.limits,
            full=settings.full,
            forks=settings.forks,
            finds=labelled is not None,
        )
        asked = _run(family, job, log, workers, progress)
    rate = None if subject.calibration is None else subject.calibration.fpr
    return summarise(
        output, family, correction=correction, rate=rate, asked_now=asked, defence=settings.options.defence
    )


@contextmanager
def _given(workers: Workers, labelled: ImageSet | None) -> Generator[None]:
    """Give the workers the labelled images, where there are any, for as long as they work."""
    if labelled is None:
        yield
        return
    with shared_images(labelled) as shared:
        workers.share(shared)
        yield


def _head(
    subject: CalibratedFingerprint, family: Family, settings: ScanSettings, labelled: ImageSet | None
) -> dict[str, object]:
    return {
        "scan": VERSION,
        "family": family.sha256,
        "suspects": len(family.suspects),
        "models": family.distinct,
        "fingerprint": {"id": subject.fingerprint.id, "sha256": subject.sha256},
        "options": {**settings.options.json_fields(), "device": settings.device},
        "asked_by": family.asked_by,
        **({} if labelled is None else {"data": {"sha256": labelled.sha256(), "images": len(labelled)}}),
        "full": settings.full,
        "date": clock.utc_now(),
        "tool": f"cae-fingerprint {release.__version__}",
    }


def _run(family: Family, job: Job, log: ScanLog, workers: Workers, progress: Progress) -> int:
    """Judge what has no line yet, and return how many models that were."""
    told, total, asked = stage(progress, "judging"), len(family.suspects), 0
    for suspect in family.suspects:
        if suspect.error and suspect.listed.name not in log.finished:
            log.add(_line(suspect, {"error": suspect.error}))
    told(len(log.finished), total)
    firsts = _firsts(family)
    waiting = {suspect.sha256: suspect for suspect in firsts.values() if suspect.sha256 not in log.models}
    tasks = (_task(suspect, job) for suspect in list(waiting.values()))
    for found in judged(tasks, workers):
        if job.ledger is not None and job.forks:
            sync_ledger(job.ledger)  # what it says of these is on the disk before their lines are there
        log.add(*(_line(waiting.pop(task.sha256), of_it) for task, of_it in found))
        asked += len(found)
        told(len(log.finished), total)
    for suspect in family.suspects:
        if suspect.sha256 and suspect.listed.name not in log.finished:
            log.add(_copy(suspect, firsts[suspect.sha256], log))
    told(total, total)
    return asked


def _firsts(family: Family) -> dict[str, Hashed]:
    """Return the first suspect of each model."""
    firsts: dict[str, Hashed] = {}
    for suspect in family.suspects:
        if suspect.sha256:
            firsts.setdefault(suspect.sha256, suspect)
    return firsts


def _task(suspect: Hashed, job: Job) -> Task:
    return Task(job=job, name=suspect.listed.name, sha256=suspect.sha256, contract=suspect.contract)


def _line(suspect: Hashed, found: dict[str, Any]) -> dict[str, Any]:
    listed = suspect.listed
    of_pool = {name: value for name in ("role", "relation") if (value := getattr(listed, name))}
    return {"suspect": {"name": listed.name, "sha256": suspect.sha256}, **of_pool, **found}


def _copy(suspect: Hashed, first: Hashed, log: ScanLog) -> dict[str, Any]:
    """Return the line of a suspect that is the same model as one before: it is one hypothesis, and was asked once."""
    found = log.line_of(suspect.sha256)
    name = found["suspect"]["name"]
    if suspect.asked_by != first.asked_by:
        error = f"{suspect.listed.name}: the same model as {name} by another contract; a scan asks each model once."
        return _line(suspect, {"same_as": name, "error": error})
    own = ("scan", "family", "suspect", "role", "relation", "record")
    return _line(suspect, {"same_as": name, **{key: value for key, value in found.items() if key not in own}})
