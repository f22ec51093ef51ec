"""A fingerprint of the claimed source that the judge makes himself, and calibrates himself.

Nothing of the claimant's goes into it but the source and, unless the judge says otherwise, the settings: the pools, the
images, the seed and the references are the judge's, and of the images a half that his nonce draws. So an example that
everybody answers like the source, a reference that was left out or a calibration that accuses everybody is worth
nothing.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cae_core.arrays import Floats32
from cae_core.calibration.calibrate import AskedModel, CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint, save_calibrated
from cae_core.calibration.record import Calibration
from cae_core.dataset import ImageSet
from cae_core.disputes.drawing import draw_half
from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.files.digests import canonical_json
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.generation.generate import generate, generation_inputs
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes, provenance_of
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers, GenerationMembers
from cae_core.pool.same_model import probe_images, same_outputs
from cae_core.progress import Progress, detail, silent, stage
from cae_core.workflows import forget_checkpoint, generate_fingerprint

__all__ = [
    "KEPT_FINGERPRINT",
    "DrawnImages",
    "JudgePool",
    "Regeneration",
    "find_known",
    "read_judge_pool",
    "regenerate",
    "seed_of",
]


KEPT_FINGERPRINT = "fingerprint.safetensors"
"""The name of a regeneration in the folder of its case."""


@dataclass(frozen=True, kw_only=True)
class JudgePool:
    """The judge's models.

    Attributes:
        generating: those that a fingerprint is made with: the claimed source, and what the judge has derived from it.
        calibrating: those that it is calibrated with; whatever they say, their generation is ``generating``.
    """

    generating: GenerationMembers
    calibrating: CalibrationMembers

    def __post_init__(self) -> None:
        calibrating = dataclasses.replace(self.calibrating, generation=self.generating.everyone)
        object.__setattr__(self, "calibrating", calibrating)

    @property
    def source(self) -> PoolMember:
        """The claimed one."""
        return self.generating.source

    @property
    def own(self) -> tuple[PoolMember, ...]:
        """All models but the claimed source."""
        made, asked = self.generating, self.calibrating
        return (*made.surrogates, *made.references, *asked.screen, *asked.references, *asked.surrogates)


def read_judge_pool(
    manifest: Path, source: Path, *, ancestor: str = "", trusted: bool = False, opened: OpenPool | None = None
) -> JudgePool:
    """Read the judge's manifest; the claimed source may stand in it as its source, with contract and ancestor.

    Args:
        manifest: the judge's.
        source: the claimed one.
        ancestor: the pretrained weights that it descends from, as the claimant says; the manifest's word goes before.
        trusted: whether the claimed source may be of a form whose opening runs code; the manifest may allow it too.
        opened: what the case has hashed already.

    Raises:
        PoolError: its surrogates are derived from another source; or see `read_pool`.
    """
    pool, opened = read_pool(manifest), opened or OpenPool()
    claimed = PoolMember(path=source, role="source", relation="source", ancestor=ancestor, trusted=trusted)
    for listed in pool.select(relation="source"):
        if opened.digest(listed) != opened.digest(claimed):
            raise PoolError(
                f"{manifest}: its source is {listed.path}, and its surrogates are derived from that; the claimed "
                f"source {source} is another file. Train the judge's pool from it (`cae pool train`, with a plan whose "
                "[source] has file = ...)."
            )
        claimed = dataclasses.replace(
            listed, path=source, ancestor=listed.ancestor or ancestor, trusted=listed.trusted or trusted
        )
    return JudgePool(
        generating=GenerationMembers.of_pool(pool, source=claimed), calibrating=CalibrationMembers.of_pool(pool)
    )


@dataclass(frozen=True, kw_only=True)
class DrawnImages:
    """The judge's images, of which the nonce has drawn some; see `draw_half`.

    Attributes:
        sha256: of all of them.
        of: how many they are.
        drawn: how many of them were drawn.
    """

    sha256: str
    of: int
    drawn: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Regeneration:
    """What suspects are judged by: one may judge many.

    Attributes:
        subject: a fresh fingerprint of the claimed source, calibrated by the judge's references.
        nonce: the judge's; the seed follows from it, and the order of the questions.
        images: of which it was made.
        known: the judge's models and their answers, so that one is known again under another name.
    """

    subject: CalibratedFingerprint
    nonce: bytes
    images: "DrawnImages"
    known: tuple[AskedModel, ...] = field(repr=False)

    @property
    def fingerprint(self) -> Fingerprint:
        """The fresh one."""
        return self.subject.fingerprint

    @property
    def calibration(self) -> Calibration:
        """The judge's.

        Raises:
            PoolError: there is none.
        """
        if self.subject.calibration is None:
            raise PoolError("A claim is judged by calibration references, and there are none. Add some.")
        return self.subject.calibration

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: what describes it."""
        return {
            "fingerprint_id": self.fingerprint.id,
            "examples": len(self.fingerprint),
            "nonce": self.nonce,
            "images": self.images,
            **_as_kept(generation=self.fingerprint.generation, tools=self.fingerprint.tools),
            "calibration": {
                **dataclasses.asdict(self.calibration.behind()),
                "score": self.calibration.score,
                "models": [{"role": x.member.role, "name": x.member.name, "sha256": x.sha256} for x in self.known],
            },
        }


def _as_kept(**values: Mapping[str, Any]) -> dict[str, Any]:
    """Return these as a file keeps them: a judgement is the same, byte for byte, if its fingerprint was made before."""
    return {name: json.loads(canonical_json(value)) for name, value in values.items()}


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
    opened: OpenPool | None = None,
    progress: Progress = silent,
) -> Regeneration:
    """Make and calibrate a fresh fingerprint of the claimed source.

    Args:
        pool: the judge's models.
        data: the judge's images; seeds and benign probes come from the half that the nonce draws.
        settings: of the generation; the seed is replaced by the nonce's.
        calibration: rate and score; a screen role chooses examples.
        nonce: the judge's.
        folder: where fingerprint and calibration are kept. An interrupted generation goes on there, and a finished one
            of the same inputs is not repeated. None: nothing is written.
        white_boxes: the source and generate members, open already, in the manifest's order, for use without a folder.
        opened: what the case has opened and hashed already, and where it runs its models.
        progress: told of each stage.

    Raises:
        PoolError: the source is among the judge's models, converted or copied; the score takes a screen role; or see
            `generate` and `calibrate`.
        OptionError: a parametric p-value: a judge claims a bound.
        DataError: the half has fewer images than there are to be examples.
        CaeError: see `generate`, `calibrate` and `OpenPool.open`.
    """
    if calibration.parametric:
        raise OptionError("A claim is judged by ranks; a parametric p-value claims no bound.")
    if calibration.score == "llr" and not pool.calibrating.screen:
        raise PoolError(
            "The likelihood-ratio score decides this claim, and the judge's pool has no screen role to weigh it by. "
            "Add surrogates and references with that role."
        )
    opened = opened or OpenPool()
    seeded = dataclasses.replace(settings, seed=seed_of(nonce))
    half = draw_half(data, nonce=nonce, count=settings.count)
    _refuse_source(pool, data, opened, progress)
    path = None if folder is None else folder / KEPT_FINGERPRINT
    fingerprint = _generated(pool.generating, half, seeded, path, opened=opened, progress=progress)
    result = calibrate(
        fingerprint,
        pool.calibrating,
        settings=calibration,
        opened=opened,
        progress=stage(progress, "asking models"),
    )
    subject = CalibratedFingerprint(fingerprint=fingerprint, calibration=result.calibration)
    if path is not None:
        save_calibrated(subject, path)
    known = {asked.member.path: asked for asked in result.asked}
    return Regeneration(
        subject=subject,
        nonce=nonce,
        images=DrawnImages(sha256=data.sha256(), of=len(data), drawn=len(half)),
        known=tuple(known[member.path] for member in pool.own),
    )


def _generated(
    members: GenerationMembers,
    data: ImageSet,
    settings: GenerationSettings,
    path: Path | None,
    *,
    opened: OpenPool,
    progress: Progress,
) -> Fingerprint:
    """Return a fingerprint of these inputs, kept in the file ``path``: an earlier run's, where it made the same."""
    provenance = provenance_of(members, opened=opened)
    if path is None:
        white_boxes = open_white_boxes(members, opened=opened, images=data.images)
        return generate(white_boxes, data, settings, provenance=provenance, progress=progress).fingerprint
    kept = _kept(path, generation_inputs(data, settings, provenance))
    if kept is not None:
        forget_checkpoint(path, data, settings, provenance)
        return kept
    return generate_fingerprint(
        members, data, settings=settings, output=path, opened=opened, progress=progress
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


def _refuse_source(pool: JudgePool, data: ImageSet, opened: OpenPool, progress: Progress) -> None:
    """Refuse the claimed source among the judge's own models, before hours are spent.

    They are opened again to be calibrated with: held open in between, they would take the search's memory.
    """
    probes, members, digest = probe_images(data), pool.own, opened.digest(pool.source)
    output = opened.open(pool.source, keep=True).model.predict(probes).probabilities
    for done, member in enumerate(members, start=1):
        detail(progress, "checking the pool", member.name)
        same_file = opened.digest(member) == digest
        if same_file or same_outputs(output, opened.open(member).model.predict(probes).probabilities):
            raise PoolError(
                f"{member.path} ({member.relation}, {member.role}): this is the claimed source {pool.source.path}, "
                "copied or converted. Remove it from the judge's pool."
            )
        progress("checking the pool", done, len(members))


def find_known(known: Sequence[AskedModel], rows: Sequence[int], outputs: Floats32) -> AskedModel | None:
    """Return the model that answers like this, or None.

    Args:
        known: the judge's models.
        rows: (a,), which examples and probes were asked, as rows of their outputs.
        outputs: float32 (a, c).
    """
    return next((x for x in known if x.outputs is not None and same_outputs(x.outputs[list(rows)], outputs)), None)
