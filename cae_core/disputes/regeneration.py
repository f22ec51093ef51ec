"""A fingerprint of the claimed source that the judge makes himself, and calibrates himself.

Nothing of the claimant's goes into it but the source and, unless the judge says otherwise, the settings: the pools, the
images, the seed and the references are the judge's. So an example that everybody answers like the source, a reference
that was left out or a calibration that accuses everybody is worth nothing.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.arrays import Floats32, Images
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.file import save_calibration
from cae_core.dataset import ImageSet
from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.generation.generate import generate, generation_inputs
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import Pools, open_pools, provenance_of
from cae_core.loaders import Device
from cae_core.models import Model, Predictions
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.members import open_member
from cae_core.pool.same_model import probe_images, same_outputs
from cae_core.progress import Progress, silent, stage
from cae_core.workflows import generate_fingerprint

__all__ = [
    "JudgePool",
    "KnownModel",
    "Recorder",
    "Regeneration",
    "find_known",
    "read_judge_pool",
    "regenerate",
    "seed_of",
]


_FILE = "fingerprint.safetensors"


@dataclass(frozen=True, kw_only=True)
class JudgePool:
    """The judge's models.

    Attributes:
        source: the claimed one.
        surrogates: derived from it by the judge, role *generate*.
        references: independent ones, role *generate*.
        calibration_references: independent ones, role *calibrate*: the suspect is ranked among them.
        calibration_surrogates: for information: what surrogates score.
        screen: role *screen*, of both relations; may be empty.
    """

    source: PoolMember
    surrogates: tuple[PoolMember, ...]
    references: tuple[PoolMember, ...]
    calibration_references: tuple[PoolMember, ...]
    calibration_surrogates: tuple[PoolMember, ...] = ()
    screen: tuple[PoolMember, ...] = ()

    @property
    def own(self) -> tuple[PoolMember, ...]:
        """All models but the claimed source."""
        calibrating = (*self.calibration_references, *self.calibration_surrogates)
        return (*self.surrogates, *self.references, *self.screen, *calibrating)


def read_judge_pool(manifest: Path, source: Path, *, ancestor: str = "") -> JudgePool:
    """Read the judge's manifest; the claimed source may stand in it as its source, with contract and ancestor.

    Args:
        manifest: the judge's.
        source: the claimed one.
        ancestor: the pretrained weights that it descends from, as the claimant says; the manifest's word goes before.

    Raises:
        PoolError: its surrogates are derived from another source; or see `read_pool`.
    """
    pool = read_pool(manifest)
    claimed = PoolMember(path=source, role="source", relation="source", ancestor=ancestor)
    for listed in pool.select(relation="source"):
        if listed.digest() != claimed.digest():
            raise PoolError(
                f"{manifest}: its source is {listed.path}, and its surrogates are derived from that; the claimed "
                f"source {source} is another file. Train the judge's pool from it (`cae pool train`, with a plan whose "
                "[source] has file = ...)."
            )
        claimed = dataclasses.replace(listed, path=source, ancestor=listed.ancestor or ancestor)
    return JudgePool(
        source=claimed,
        surrogates=pool.select(role="generate", relation="surrogate"),
        references=pool.select(role="generate", relation="reference"),
        calibration_references=pool.select(role="calibrate", relation="reference"),
        calibration_surrogates=pool.select(role="calibrate", relation="surrogate"),
        screen=pool.select(role="screen"),
    )


@dataclass(frozen=True)
class KnownModel:
    """One of the judge's models, so that it is known again under another name.

    Attributes:
        member: what it is.
        sha256: of its file.
        outputs: float32 (n + q, c), its probabilities for the examples and the benign probes; None: labels only.
    """

    member: PoolMember
    sha256: str
    outputs: Floats32 | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Regeneration:
    """What suspects are judged by: one may judge many.

    Attributes:
        fingerprint: fresh, of the claimed source.
        calibration: of it, by the judge's references.
        nonce: the judge's; the seed follows from it, and the order of the questions.
        known: the judge's models.
    """

    fingerprint: Fingerprint
    calibration: Calibration
    nonce: bytes
    known: tuple[KnownModel, ...] = field(repr=False)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: what describes it."""
        return {
            "fingerprint_id": self.fingerprint.id,
            "examples": len(self.fingerprint),
            "nonce": self.nonce,
            "generation": self.fingerprint.generation,
            "tools": self.fingerprint.tools,
            "calibration": {
                **dataclasses.asdict(self.calibration.behind()),
                "score": self.calibration.score,
                "models": [{"role": x.member.role, "name": x.member.name, "sha256": x.sha256} for x in self.known],
            },
        }


class Recorder:
    """A black box that remembers the probabilities that it gave."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._outputs: list[Floats32 | None] = []

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`."""
        answers = self._model.predict(images)
        self._outputs.append(answers.probabilities)
        return answers

    def outputs(self) -> Floats32 | None:
        """Return all of them, float32 (n, c), in the order asked; None where some were not told."""
        told = [output for output in self._outputs if output is not None]
        return np.concatenate(told) if told and len(told) == len(self._outputs) else None


def seed_of(nonce: bytes) -> int:
    """Return the seed of the regeneration, in [0, 2^48), so that the nonce alone decides it.

    Example:
        >>> seed_of(bytes(16)) == seed_of(bytes(16)) != seed_of(bytes(15) + b"1")
        True
    """
    return int.from_bytes(hashlib.sha256(b"cae judge: seed|" + nonce).digest()[:6])


def regenerate(
    pool: JudgePool,
    data: ImageSet,
    *,
    settings: GenerationSettings,
    calibration: CalibrationSettings,
    nonce: bytes,
    folder: Path | None = None,
    pools: Pools | None = None,
    opener: Callable[[PoolMember], Model] | None = None,
    device: Device = "auto",
    progress: Progress = silent,
) -> Regeneration:
    """Make and calibrate a fresh fingerprint of the claimed source.

    Args:
        pool: the judge's models.
        data: the judge's images.
        settings: of the generation; the seed is replaced by the nonce's.
        calibration: rate and score; a screen role chooses examples.
        nonce: the judge's.
        folder: where fingerprint and calibration are kept. An interrupted generation goes on there, and a finished one
            of the same inputs is not repeated. None: nothing is written.
        pools: source and generate members that are open already, in the manifest's order, for use without a folder.
        opener: gives a member as a black box, such as one that is open already.
        device: where to run the models.
        progress: told of each stage.

    Raises:
        PoolError: the source is among the judge's models, converted or copied; the score takes a screen role; or see
            `generate` and `calibrate`.
        OptionError: a parametric p-value: a judge claims a bound.
        CaeError: see `generate`, `calibrate` and `open_model`.
    """
    if calibration.parametric:
        raise OptionError("A claim is judged by ranks; a parametric p-value claims no bound.")
    if calibration.score == "llr" and not pool.screen:
        raise PoolError(
            "The likelihood-ratio score decides this claim, and the judge's pool has no screen role to weigh it by. "
            "Add surrogates and references with that role."
        )
    opener = opener or partial(open_member, device=device)
    seeded = dataclasses.replace(settings, seed=seed_of(nonce))
    _refuse_source(pool, data, opener, progress)
    if folder is None:
        fingerprint = _generated(pool, data, seeded, pools, device=device, progress=progress)
    else:
        fingerprint = _kept_or_generated(pool, data, seeded, folder / _FILE, device=device, progress=progress)
    recorders: dict[Path, Recorder] = {}

    def recorded(member: PoolMember) -> Recorder:
        recorders[member.path] = Recorder(opener(member))
        return recorders[member.path]

    calibrated = calibrate(
        fingerprint,
        references=pool.calibration_references,
        surrogates=pool.calibration_surrogates,
        screen=pool.screen,
        others=[pool.source, *pool.surrogates, *pool.references],
        settings=calibration,
        opener=recorded,
        progress=stage(progress, "asking models"),
    )
    if folder is not None:
        save_calibration(calibrated, fingerprint, folder / _FILE)
    known = tuple(KnownModel(m, m.digest(), recorders[m.path].outputs()) for m in pool.own)
    return Regeneration(fingerprint=fingerprint, calibration=calibrated, nonce=nonce, known=known)


def _generated(
    pool: JudgePool,
    data: ImageSet,
    settings: GenerationSettings,
    pools: Pools | None,
    *,
    device: Device,
    progress: Progress,
) -> Fingerprint:
    parts = (pool.source, pool.surrogates, pool.references)
    opened = open_pools(*parts, device=device) if pools is None else pools
    return generate(opened, data, settings, provenance=provenance_of(*parts), progress=progress).fingerprint


def _kept_or_generated(
    pool: JudgePool,
    data: ImageSet,
    settings: GenerationSettings,
    path: Path,
    *,
    device: Device,
    progress: Progress,
) -> Fingerprint:
    parts = (pool.source, pool.surrogates, pool.references)
    kept = _kept(path, generation_inputs(data, settings, provenance_of(*parts)))
    if kept is not None:
        return kept
    return generate_fingerprint(
        *parts, data, settings=settings, output=path, device=device, progress=progress
    ).fingerprint


def _kept(path: Path, inputs: Mapping[str, Any]) -> Fingerprint | None:
    """Return the fingerprint that an earlier run made of the same inputs; None where there is none."""
    if not path.exists():
        return None
    try:
        kept = load_fingerprint(path)
    except FingerprintError:  # of another release, or broken: it is made again
        return None
    source = {name: value for name, value in kept.generation["source"].items() if name != "accuracy"}
    return kept if {**kept.generation, "source": source} == inputs else None


def _refuse_source(pool: JudgePool, data: ImageSet, opener: Callable[[PoolMember], Model], progress: Progress) -> None:
    """Refuse the claimed source among the judge's own models, before hours are spent."""
    probes, members = probe_images(data), pool.own
    digest, output = pool.source.digest(), opener(pool.source).predict(probes).probabilities
    for done, member in enumerate(members, start=1):
        if member.digest() == digest or same_outputs(output, opener(member).predict(probes).probabilities):
            raise PoolError(
                f"{member.path} ({member.relation}, {member.role}): this is the claimed source {pool.source.path}, "
                "copied or converted. Remove it from the judge's pool."
            )
        progress("checking the pool", done, len(members))


def find_known(known: Sequence[KnownModel], rows: Sequence[int], outputs: Floats32) -> KnownModel | None:
    """Return the model that answers like this, or None.

    Args:
        known: the judge's models.
        rows: (a,), which examples and probes were asked, as rows of their outputs.
        outputs: float32 (a, c).
    """
    return next((x for x in known if x.outputs is not None and same_outputs(x.outputs[list(rows)], outputs)), None)
