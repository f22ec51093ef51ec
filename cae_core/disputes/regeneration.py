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
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.dataset import ImageSet
from cae_core.disputes.drawing import draw_half
from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.files.digests import canonical_json
from cae_core.fingerprint.control_sources import CONTROLS, described_controls
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.fingerprint.kinds import CONTROL
from cae_core.generation.controls import check_alike, control_settings, with_controls
from cae_core.generation.generate import generate, generation_inputs
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes, provenance_of
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers, GenerationMembers, control_members
from cae_core.pool.same_model import probe_images, same_outputs
from cae_core.pool.seen_outputs import SeenOutputs
from cae_core.progress import Progress, StageProgress, detail, silent, stage
from cae_core.statistics.score import Score
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
        controls: of each control source, which the judge has trained by the claimant's stated recipe, what its
            fingerprint is made with; none: references alone decide.
    """

    generating: GenerationMembers
    calibrating: CalibrationMembers
    controls: tuple[GenerationMembers, ...] = ()

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
        return (*self.of_claim, *self.of_controls)

    @property
    def of_claim(self) -> tuple[PoolMember, ...]:
        """All that the claimed source's own fingerprint is made and calibrated with, but that source."""
        made, asked = self.generating, self.calibrating
        return (*made.surrogates, *made.references, *asked.screen, *asked.references, *asked.surrogates)

    @property
    def of_controls(self) -> tuple[PoolMember, ...]:
        """The control sources, each with its surrogates."""
        return tuple(member for each in self.controls for member in (each.source, *each.surrogates))


def read_judge_pool(
    manifest: Path,
    source: Path,
    *,
    controls: Sequence[Path] = (),
    ancestor: str = "",
    trusted: bool = False,
    opened: OpenPool | None = None,
) -> JudgePool:
    """Read the judge's manifest; the claimed source may stand in it as its source, with contract and ancestor.

    Args:
        manifest: the judge's.
        source: the claimed one.
        controls: manifests of the judge's control sources, or folders of such, see `control_members`.
        ancestor: the pretrained weights that it descends from, as the claimant says; the manifest's word goes before.
        trusted: whether the claimed source may be of a form whose opening runs code; the manifest may allow it too.
        opened: what the case has hashed already.

    Raises:
        PoolError: its surrogates are derived from another source; or see `read_pool` and `control_members`.
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
    generating = GenerationMembers.of_pool(pool, source=claimed)
    return JudgePool(
        generating=generating,
        calibrating=CalibrationMembers.of_pool(pool),
        controls=tuple(control_members(controls, references=generating.references)),
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
        controls: the judge's control sources and their surrogates, with their answers.
    """

    subject: CalibratedFingerprint
    nonce: bytes
    images: "DrawnImages"
    known: tuple[AskedModel, ...] = field(repr=False)
    controls: tuple[AskedModel, ...] = field(default=(), repr=False)

    @property
    def everyone(self) -> tuple[AskedModel, ...]:
        """All of the judge's models."""
        return (*self.known, *self.controls)

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
                **({"null": self.calibration.null} if self.controls else {}),
                **({"behind": list(self.calibration.preprocessed)} if self.calibration.preprocessed else {}),
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

    With control sources of the judge's, fingerprints of all are made alike and put into one, and the larger p of the
    rank among references and the rank among sources decides, both by CAEAcc, whatever score was sealed.

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
        PoolError: the source is among the judge's models, converted or copied, or a control source or its surrogate
            is another one of them; the score takes a screen role; or see `generate`, `check_alike` and `calibrate`.
        OptionError: a parametric p-value: a judge claims a bound; or defences beside control sources.
        DataError: the half has fewer images than there are to be examples.
        CaeError: see `generate`, `calibrate` and `OpenPool.open`.
    """
    if calibration.parametric:
        raise OptionError("A claim is judged by ranks, because a parametric p-value guarantees no error rate.")
    if pool.controls and calibration.behind:
        raise OptionError("Control sources are asked behind no defence. Give either --control or --behind.")
    if pool.controls:
        calibration = dataclasses.replace(calibration, null=NullHypothesis.BOTH, score=Score.CAEACC)
    if calibration.score == Score.LLR and not pool.calibrating.screen:
        raise PoolError(
            "The likelihood-ratio score decides this claim, and the judge's pool has no screen role to weigh it by. "
            "Add surrogates and references with that role."
        )
    opened = opened or OpenPool()
    seeded = dataclasses.replace(settings, seed=seed_of(nonce))
    half = draw_half(data, nonce=nonce, count=settings.count)
    check_alike(pool.generating, pool.controls, opened=opened)
    _refuse_source(pool, data, opened, progress)
    path = None if folder is None else folder / KEPT_FINGERPRINT
    fingerprint = _generated(pool, half, seeded, path, opened=opened, progress=progress)
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
        known=tuple(known[member.path] for member in pool.of_claim),
        controls=_asked_controls(pool, fingerprint, opened, stage(progress, "asking control sources")),
    )


def _asked_controls(
    pool: JudgePool, fingerprint: Fingerprint, opened: OpenPool, progress: StageProgress
) -> tuple[AskedModel, ...]:
    """Return the control sources and their surrogates with what they answer to all images of the fingerprint."""
    images, asked = fingerprint.all_images(), list[AskedModel]()
    for member in pool.of_controls:
        found = opened.open(member).model.predict(images)
        digest = opened.digest(member)
        asked.append(AskedModel(member=member, sha256=digest, labels=found.labels, outputs=found.probabilities))
        progress(len(asked), len(pool.of_controls))
    return tuple(asked)


def _generated(
    pool: JudgePool,
    data: ImageSet,
    settings: GenerationSettings,
    path: Path | None,
    *,
    opened: OpenPool,
    progress: Progress,
) -> Fingerprint:
    """Return a fingerprint of these inputs, kept in the file ``path``: an earlier run's, where it made the same."""
    members, controls = pool.generating, pool.controls
    if path is None:
        made: list[Fingerprint] = []
        for number, each in enumerate((members, *controls)):
            white_boxes = open_white_boxes(each, opened=opened, images=data.images)
            own, told = control_settings(settings, number), provenance_of(each, opened=opened)
            made.append(generate(white_boxes, data, own, provenance=told, progress=progress).fingerprint)
        return with_controls(made[0], made[1:]) if controls else made[0]
    provenance = provenance_of(members, opened=opened)
    kept = _kept(path, generation_inputs(data, settings, provenance), _wanted_controls(pool, settings, opened))
    if kept is not None:
        forget_checkpoint(path, data, settings, provenance, controls=len(controls))
        return kept
    return generate_fingerprint(
        members, data, settings=settings, output=path, controls=controls, opened=opened, progress=progress
    ).fingerprint


def _wanted_controls(pool: JudgePool, settings: GenerationSettings, opened: OpenPool) -> list[dict[str, Any]]:
    """Return what a fingerprint with these control sources says of each, as far as it is known before it is made."""
    found: list[dict[str, Any]] = []
    for number, members in enumerate(pool.controls, start=1):
        made = provenance_of(members, opened=opened)
        seed = control_settings(settings, number).seed
        found.append({**made["source"], "seed": seed, "surrogates": made["surrogates"]})
    return found


def _kept(path: Path, inputs: Mapping[str, Any], controls: Sequence[Mapping[str, Any]]) -> Fingerprint | None:
    """Return the fingerprint that an earlier run made of the same inputs and controls; None where there is none."""
    if not path.exists():
        return None
    try:
        kept = load_fingerprint(path)
    except FingerprintError:  # of another release, or broken: it is made again
        return None
    generation = {name: value for name, value in kept.generation.items() if name not in (CONTROL.name, CONTROLS)}
    source = _without(kept.generation["source"], "accuracy")
    of_controls = [_without(control, "accuracy", "fingerprint") for control in described_controls(kept.generation)]
    same = {**generation, "source": source} == inputs and canonical_json(of_controls) == canonical_json(controls)
    return kept if same else None


def _without(described: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in names}


def _refuse_source(pool: JudgePool, data: ImageSet, opened: OpenPool, progress: Progress) -> None:
    """Refuse the claimed source among the judge's own models, before hours are spent; a control in two parts as well.

    They are opened again to be calibrated with: held open in between, they would take the search's memory.
    """
    probes, digest, controls = probe_images(data), opened.digest(pool.source), _Seen(opened)
    output = opened.open(pool.source, keep=True).model.predict(probes).probabilities
    members = (*pool.of_controls, *pool.of_claim)  # the controls first: only they are compared with all others
    for done, member in enumerate(members, start=1):
        detail(progress, "checking the pool", member.name)
        found = opened.open(member).model.predict(probes).probabilities
        if opened.digest(member) == digest or same_outputs(output, found):
            raise PoolError(
                f"{member.path} ({member.relation}, {member.role}): this is the claimed source {pool.source.path}, "
                "copied or converted. Remove it from the judge's pool."
            )
        controls.refuse(member, found)
        if done <= len(pool.of_controls):
            controls.add(member, found)
        progress("checking the pool", done, len(members))


class _Seen:
    """The control sources and their surrogates, each of which is a model of its own."""

    def __init__(self, opened: OpenPool) -> None:
        self._opened = opened
        self._members: list[PoolMember] = []
        self._files: dict[str, int] = {}
        self._outputs = SeenOutputs()

    def add(self, member: PoolMember, outputs: Floats32 | None) -> None:
        """Remember one by its file and by its probabilities (n, c)."""
        self._files[self._opened.digest(member)] = len(self._members)
        self._members.append(member)
        self._outputs.add(outputs)

    def refuse(self, member: PoolMember, outputs: Floats32 | None) -> None:
        """Refuse a model that is one of them, copied or converted.

        Raises:
            PoolError: it is.
        """
        same = self._outputs.equal_to(outputs)
        place = self._files.get(self._opened.digest(member), same[0] if same else None)
        if place is not None:
            raise PoolError(
                f"{member.path} ({member.relation}, {member.role}): this is {self._members[place].path} of a control "
                "source, copied or converted. Each source, and each surrogate, is a model of its own; remove one."
            )


def find_known(known: Sequence[AskedModel], rows: Sequence[int], outputs: Floats32) -> AskedModel | None:
    """Return the model that answers like this, or None.

    Args:
        known: the judge's models.
        rows: (a,), which examples and probes were asked, as rows of their outputs.
        outputs: float32 (a, c).
    """
    return next((x for x in known if x.outputs is not None and same_outputs(x.outputs[list(rows)], outputs)), None)
