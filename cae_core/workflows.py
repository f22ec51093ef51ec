"""The whole jobs, from files to files: what the command line calls and a script may call as well.

The search is imported by the jobs that search: a verification starts without it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.file import load_calibration, save_calibration
from cae_core.contract import Contract
from cae_core.files.digests import sha256_of_file
from cae_core.files.records import read_record
from cae_core.fingerprint.file import load_fingerprint, save_fingerprint
from cae_core.loaders import Device
from cae_core.opening.opened import open_black_box
from cae_core.verification.ledger import open_ledger, read_earlier, record_verdict
from cae_core.verification.verdict import Verdict
from cae_core.verification.verify import VerificationOptions, verify

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.dataset import ImageSet
    from cae_core.generation.generate import GenerationResult
    from cae_core.generation.settings import GenerationSettings
    from cae_core.pool.manifest import PoolMember
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import CalibrationMembers
    from cae_core.progress import Progress
    from cae_core.verification.replay import Replay

__all__ = [
    "calibrate_fingerprint",
    "checkpoint_of",
    "generate_fingerprint",
    "replay_file",
    "verify_suspect",
]


def checkpoint_of(output: Path) -> Path:
    """Return where an interrupted generation of ``output`` keeps its state."""
    return output.with_name(output.name + ".partial")


def generate_fingerprint(
    source: "PoolMember",
    surrogates: "Sequence[PoolMember]",
    references: "Sequence[PoolMember]",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    output: Path,
    opened: "OpenPool | None" = None,
    progress: "Progress" = lambda _stage, _done, _total: None,
) -> "GenerationResult":
    """Open the pools, generate a fingerprint and write it to ``output``.

    An interrupted run leaves its state beside ``output`` and goes on from there when it is called again with the same
    inputs. ``opened`` is what the job has hashed already, and says where it runs its models.

    Raises:
        PoolError: a pool is empty, a file has changed, or one file plays two parts.
        CaeError: see `generate`, `open_pools` and `save_fingerprint`.
    """
    from cae_core.generation.generate import generate
    from cae_core.generation.white_boxes import open_pools, provenance_of
    from cae_core.pool.members import OpenPool

    opened = opened or OpenPool()
    provenance = provenance_of(source, surrogates, references, opened=opened)
    pools = open_pools(
        source,
        surrogates,
        references,
        opened=opened,
        images=data.images,
        progress=lambda done, total: progress("opening models", done, total),
    )
    checkpoint = checkpoint_of(output)
    result = generate(pools, data, settings, provenance=provenance, checkpoint=checkpoint, progress=progress)
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
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Calibration:
    """Calibrate the fingerprint in a file and write both to ``output``, or back where None.

    ``opened`` is what the job has hashed already, and says where it runs its models.

    Raises:
        CaeError: see `load_fingerprint`, `cae_core.calibration.calibrate.calibrate` and `save_calibration`.
    """
    from cae_core.calibration.calibrate import calibrate

    loaded = load_fingerprint(fingerprint)
    calibration = calibrate(loaded, members, settings=settings, opened=opened, progress=progress).calibration
    save_calibration(calibration, loaded, output or fingerprint)
    return calibration


def verify_suspect(
    suspect: str,
    fingerprint: Path,
    *,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    options: VerificationOptions = VerificationOptions(),  # noqa: B008 - frozen
    nonce: bytes | None = None,
    ledger: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
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
        CaeError: see `load_fingerprint`, `load_calibration`, `open_black_box` and `verify`.
    """
    loaded = load_fingerprint(fingerprint)
    calibration = load_calibration(fingerprint, loaded)
    opened = open_black_box(suspect, contract=contract, device=device, trusted=trusted)
    if ledger is not None:
        open_ledger(ledger)
    verdict = verify(
        opened.model,
        loaded,
        suspect_name=suspect,
        suspect_sha256=opened.digest,
        calibration=calibration,
        options=options,
        fingerprint_sha256=sha256_of_file(fingerprint),
        nonce=nonce,
        progress=progress,
    )
    return verdict if ledger is None else _remembered(verdict, ledger)


def _remembered(verdict: Verdict, ledger: Path) -> Verdict:
    """Write the verification down, and say in the verdict what the suspect had seen before."""
    earlier = read_earlier(
        ledger,
        fingerprint_id=verdict.fingerprint["id"],
        suspect_sha256=verdict.suspect["sha256"],
        nonce=verdict.nonce,
    )
    record_verdict(ledger, verdict)
    asked = {answer.question.index for answer in verdict.answers if answer.question.kind == "fingerprint"}
    seen = len(asked & earlier.examples)
    return dataclasses.replace(verdict, earlier={"verifications": earlier.verifications, "examples_seen": seen})


def replay_file(record: Path, fingerprint: Path) -> "Replay":
    """Derive the verdict in a JSON file again, by the fingerprint in a file and its calibration.

    Raises:
        VerdictError: it is no verdict, or not one of this fingerprint.
        CaeError: see `load_fingerprint` and `replay_verdict`.
    """
    from cae_core.verification.replay import replay_verdict

    loaded = load_fingerprint(fingerprint)
    return replay_verdict(read_record(record), loaded, load_calibration(fingerprint, loaded))
