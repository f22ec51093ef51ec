"""The whole jobs, from files to files: what the command line calls and a script may call as well.

The search is imported by the jobs that search: a verification starts without it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cae_core.calibration import Calibration
from cae_core.calibration_file import load_calibration, save_calibration
from cae_core.contract import Contract
from cae_core.errors import PoolError, VerdictError
from cae_core.file_digest import sha256_of_file
from cae_core.fingerprint import load_fingerprint, save_fingerprint
from cae_core.ledger import open_ledger, read_earlier, record_verdict
from cae_core.loaders import Device, open_model, runs_code
from cae_core.models import DifferentiableModel
from cae_core.verdict import Verdict
from cae_core.verification import VerificationOptions, verify

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cae_core.calibrating import CalibrationSettings
    from cae_core.dataset import ImageSet
    from cae_core.generation import GenerationResult, Progress
    from cae_core.pool import PoolMember
    from cae_core.pools import Pools
    from cae_core.replay import Replay
    from cae_core.settings import GenerationSettings

__all__ = [
    "calibrate_fingerprint",
    "checkpoint_of",
    "generate_fingerprint",
    "open_pools",
    "provenance_of",
    "read_record",
    "replay_file",
    "suspect_digest",
    "verify_suspect",
]


def checkpoint_of(output: Path) -> Path:
    """Return where an interrupted generation of ``output`` keeps its state."""
    return output.with_name(output.name + ".partial")


def open_pools(
    source: "PoolMember",
    surrogates: "Sequence[PoolMember]",
    references: "Sequence[PoolMember]",
    *,
    device: Device = "auto",
    images: "NDArray[np.uint8] | None" = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "Pools":
    """Open every member with gradients.

    Args:
        source: the owner's model.
        surrogates: derived from it.
        references: independent ones.
        device: where to run them.
        images: uint8 (n, h, w, k), ordinary images by which each is checked; see `open_model`.
        progress: called with the members opened and their number.

    Raises:
        PoolError: a pool is empty.
        ModelError: a member cannot be opened.
    """
    from cae_core.members import open_white_box
    from cae_core.pools import Pools

    members = [source, *surrogates, *references]
    models: list[DifferentiableModel] = []
    for position, member in enumerate(members):
        models.append(open_white_box(member, device=device, images=images))
        progress(position + 1, len(members))
    boundary = 1 + len(surrogates)
    return Pools(models[0], models[1:boundary], models[boundary:], [member.name for member in members])


def generate_fingerprint(
    source: "PoolMember",
    surrogates: "Sequence[PoolMember]",
    references: "Sequence[PoolMember]",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    output: Path,
    device: Device = "auto",
    progress: "Progress" = lambda _stage, _done, _total: None,
) -> "GenerationResult":
    """Open the pools, generate a fingerprint and write it to ``output``.

    An interrupted run leaves its state beside ``output`` and goes on from there when it is called again with the same
    inputs.

    Raises:
        PoolError: a pool is empty, a file has changed, or one file plays two parts.
        CaeError: see `generate`, `open_model` and `save_fingerprint`.
    """
    from cae_core.generation import generate

    provenance = provenance_of(source, surrogates, references)
    pools = open_pools(
        source,
        surrogates,
        references,
        device=device,
        images=data.images,
        progress=lambda done, total: progress("opening models", done, total),
    )
    checkpoint = checkpoint_of(output)
    result = generate(pools, data, settings, provenance=provenance, checkpoint=checkpoint, progress=progress)
    save_fingerprint(result.fingerprint, output)
    checkpoint.unlink(missing_ok=True)
    return result


def provenance_of(
    source: "PoolMember", surrogates: "Sequence[PoolMember]", references: "Sequence[PoolMember]"
) -> dict[str, Any]:
    """Describe the members of a generation, as a fingerprint names them.

    Raises:
        PoolError: a file has changed, or one file plays two parts.
    """
    seen: dict[str, str] = {}

    def describe(member: "PoolMember") -> dict[str, str]:
        digest = member.digest()
        if digest in seen:
            raise PoolError(
                f"{member.path} and {seen[digest]} are one file. "
                "A model is either the source, a surrogate or a reference."
            )
        seen[digest] = str(member.path)
        described = {"name": member.name, "sha256": digest, "kind": member.kind, "architecture": member.architecture}
        described |= {"ancestor": member.ancestor} if member.ancestor else {}
        return described | ({"form": member.path.suffix.lower()} if runs_code(member.path) else {})

    return {
        "source": describe(source),
        "surrogates": [describe(member) for member in surrogates],
        "references": [describe(member) for member in references],
    }


def calibrate_fingerprint(
    fingerprint: Path,
    *,
    references: "Sequence[PoolMember]",
    surrogates: "Sequence[PoolMember]",
    screen: "Sequence[PoolMember]" = (),
    others: "Sequence[PoolMember]" = (),
    settings: "CalibrationSettings",
    output: Path | None = None,
    device: Device = "auto",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Calibration:
    """Calibrate the fingerprint in a file and write both to ``output``, or back where None.

    Raises:
        CaeError: see `load_fingerprint`, `cae_core.calibrating.calibrate` and `save_calibration`.
    """
    from cae_core.calibrating import calibrate

    loaded = load_fingerprint(fingerprint)
    calibration = calibrate(
        loaded,
        references=references,
        surrogates=surrogates,
        screen=screen,
        others=others,
        settings=settings,
        device=device,
        progress=progress,
    )
    save_calibration(calibration, loaded, output or fingerprint)
    return calibration


def suspect_digest(spec: str) -> str:
    """Return the SHA-256 of the suspect's file or folder, else of the string that names it."""
    path = Path(spec)
    return sha256_of_file(path) if path.exists() else hashlib.sha256(spec.encode()).hexdigest()


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
        suspect: a path or an address, see `open_model`.
        fingerprint: the file.
        contract: replaces the one that the suspect carries.
        device: where to run it.
        trusted: whether the suspect's file is one's own; see `open_model`.
        options: how it is asked and judged.
        nonce: decides the order of the questions; random where None.
        ledger: file that remembers which suspect has seen which examples; None: none is kept.
        progress: called with the queries done and in total.

    Raises:
        CaeError: see `load_fingerprint`, `load_calibration`, `open_model` and `verify`.
    """
    loaded = load_fingerprint(fingerprint)
    calibration = load_calibration(fingerprint, loaded)
    model = open_model(suspect, contract=contract, device=device, trusted=trusted)
    if ledger is not None:
        open_ledger(ledger)
    verdict = verify(
        model,
        loaded,
        suspect_name=suspect,
        suspect_sha256=suspect_digest(suspect),
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
    from cae_core.replay import replay_verdict

    loaded = load_fingerprint(fingerprint)
    return replay_verdict(read_record(record), loaded, load_calibration(fingerprint, loaded))


def read_record(path: Path) -> dict[str, Any]:
    """Read one JSON object, such as a verdict's.

    Raises:
        VerdictError: no such file, or no JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise VerdictError(f"{path}: cannot be read ({error.strerror}). Give an existing JSON file.") from error
    except (ValueError, RecursionError) as error:
        raise VerdictError(f"{path}: this is not JSON ({error}). Give the file that the command wrote.") from error
    if not isinstance(value, dict):
        raise VerdictError(f"{path}: this is not a JSON object. Give the file that the command wrote.")
    return cast("dict[str, Any]", value)
