"""The whole jobs, from files to files: what the command line calls and a script may call as well.

The search is imported by the jobs that search: a verification starts without it.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.contract import Contract
from cae_core.files.digests import suspect_digest
from cae_core.files.outputs import FINGERPRINT, LEDGER, RUN_STATE, check_output
from cae_core.files.records import read_record
from cae_core.fingerprint.file import load_fingerprint, save_fingerprint
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.loaders import Device
from cae_core.opening.opened import open_black_box
from cae_core.progress import Progress, StageProgress, detail, silent, stage
from cae_core.verification.ledger import open_ledger, read_earlier, record_verdict
from cae_core.verification.options import DEFAULT, VerificationOptions
from cae_core.verification.verdict import SeenBefore, Suspect, Verdict
from cae_core.verification.verify import VerificationPlan, plan_verification, verify

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.dataset import ImageSet
    from cae_core.generation.generate import GenerationResult
    from cae_core.generation.settings import GenerationSettings
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import CalibrationMembers, GenerationMembers
    from cae_core.verification.replay import Replay

__all__ = [
    "calibrate_fingerprint",
    "checkpoint_of",
    "generate_fingerprint",
    "plan_suspect",
    "replay_file",
    "verify_suspect",
]


def checkpoint_of(output: Path) -> Path:
    """Return where an interrupted generation of ``output`` keeps its state."""
    return output.with_name(output.name + ".partial")


def generate_fingerprint(
    members: "GenerationMembers",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    output: Path,
    opened: "OpenPool | None" = None,
    progress: Progress = silent,
) -> "GenerationResult":
    """Open the pools, generate a fingerprint and write it to ``output``.

    An interrupted run leaves its state beside ``output`` and goes on from there when it is called again with the same
    inputs. ``opened`` is what the job has hashed already, and says where it runs its models.

    Raises:
        OptionError: ``output`` is one of the models, or a file of another kind; see `check_output`.
        PoolError: a pool is empty, a file has changed, or one file plays two parts.
        CaeError: see `generate`, `open_white_boxes` and `save_fingerprint`.
    """
    from cae_core.generation.generate import generate
    from cae_core.generation.white_boxes import open_white_boxes, provenance_of
    from cae_core.pool.members import OpenPool

    used = [member.path for member in members.everyone]
    check_output(output, FINGERPRINT, inputs=used)
    check_output(checkpoint_of(output), RUN_STATE, inputs=used)
    opened = opened or OpenPool()
    detail(progress, "opening models", "hashing their files")
    provenance = provenance_of(members, opened=opened)
    opening = stage(progress, "opening models")
    white_boxes = open_white_boxes(members, opened=opened, images=data.images, progress=opening)
    checkpoint = checkpoint_of(output)
    detail(progress, "preparing", "the models are put together for the search")
    result = generate(white_boxes, data, settings, provenance=provenance, checkpoint=checkpoint, progress=progress)
    save_fingerprint(result.fingerprint, output)
    checkpoint.unlink(missing_ok=True)
    return result


def calibrate_fingerprint(
    fingerprint: Path,
    members: "CalibrationMembers",
    *,
    settings: "CalibrationSettings",
    output: Path | None = None,
    opened: "OpenPool | None" = None,
    progress: StageProgress = silent,
) -> CalibratedFingerprint:
    """Calibrate the fingerprint in a file and write both to ``output``, or back where None.

    ``opened`` is what the job has hashed already, and says where it runs its models.

    Raises:
        OptionError: ``output`` is one of the models, or a file of another kind; see `check_output`.
        CaeError: see `load_fingerprint`, `cae_core.calibration.calibrate.calibrate` and `save_calibrated`.
    """
    from cae_core.calibration.calibrate import calibrate

    asked = (*members.generation, *members.screen, *members.references, *members.surrogates)
    check_output(output or fingerprint, FINGERPRINT, inputs=[member.path for member in asked])
    loaded = load_fingerprint(fingerprint)
    calibration = calibrate(loaded, members, settings=settings, opened=opened, progress=progress).calibration
    subject = CalibratedFingerprint(fingerprint=loaded, calibration=calibration)
    save_calibrated(subject, output or fingerprint)
    return subject


def verify_suspect(
    suspect: str,
    fingerprint: Path,
    *,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    ledger: Path | None = None,
    progress: StageProgress = silent,
) -> Verdict:
    """Open the suspect and judge it by the fingerprint in a file, and by its calibration where it has one.

    Args:
        suspect: a path or an address, see `open_black_box`.
        fingerprint: the file.
        contract: replaces the one that the suspect carries.
        device: where to run it.
        trusted: whether the suspect's file is one's own; see `open_black_box`.
        options: how it is asked and judged.
        nonce: decides the order of the questions; random where None.
        ledger: file that remembers which suspect has seen which examples; None: none is kept.
        progress: called with the queries done and in total.

    Raises:
        CaeError: see `load_calibrated`, `open_black_box` and `verify`.
    """
    if ledger is not None:
        check_output(ledger, LEDGER, inputs=[fingerprint, Path(suspect)])
    subject = load_calibrated(fingerprint)
    opened = open_black_box(suspect, contract=contract, device=device, trusted=trusted)
    if ledger is not None:
        open_ledger(ledger)
    named = Suspect(name=suspect, sha256=opened.digest)
    verdict = verify(opened.model, subject, named=named, options=options, nonce=nonce, progress=progress)
    return verdict if ledger is None else _remembered(verdict, ledger)


def plan_suspect(suspect: str, fingerprint: Path, *, options: VerificationOptions = DEFAULT) -> VerificationPlan:
    """Say what verifying a suspect would ask; nothing is asked and the suspect is not opened.

    Args:
        suspect: a path or an address.
        fingerprint: the file.
        options: how it would be asked and judged.

    Raises:
        CaeError: see `load_calibrated` and `plan_verification`.
    """
    return plan_verification(load_calibrated(fingerprint), suspect_sha256=suspect_digest(suspect), options=options)


def _remembered(verdict: Verdict, ledger: Path) -> Verdict:
    """Write the verification down, and say in the verdict what the suspect had seen before."""
    earlier = read_earlier(
        ledger,
        fingerprint_id=verdict.examination.subject.fingerprint.id,
        suspect_sha256=verdict.suspect.sha256,
        nonce=verdict.nonce,
    )
    record_verdict(ledger, verdict)
    seen = len(verdict.examination.transcript.asked(EXAMPLE) & earlier.examples)
    return dataclasses.replace(verdict, earlier=SeenBefore(verifications=earlier.verifications, examples_seen=seen))


def replay_file(record: Path, fingerprint: Path) -> "Replay":
    """Derive the verdict in a JSON file again, by the fingerprint in a file and its calibration.

    Raises:
        VerdictError: it is no verdict, or not one of this fingerprint.
        CaeError: see `load_calibrated` and `replay_verdict`.
    """
    from cae_core.verification.replay import replay_verdict

    return replay_verdict(read_record(record), load_calibrated(fingerprint))
