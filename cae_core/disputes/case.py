"""A dispute, from files to files: what `cae judge` does, and a script may do as well."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cae_core import clock
from cae_core import version as release
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.record import Containment
from cae_core.contract import Contract, Task
from cae_core.dataset import ImageSet
from cae_core.disputes.claim import (
    Claim,
    Consistency,
    check_consistency,
    check_source_contract,
    claimed_settings,
    open_claim,
)
from cae_core.disputes.claim_rerun import ClaimRerun, claimed_members, rerun_claim, sample_examples
from cae_core.disputes.copies import copied_models
from cae_core.disputes.judging import (
    DatedEvidence,
    Judgement,
    check_seals,
    judge_claim,
    judge_unasked,
    refuse_known_file,
)
from cae_core.disputes.regeneration import KEPT_FINGERPRINT, JudgePool, Regeneration, read_judge_pool, regenerate
from cae_core.disputes.seal import Seal
from cae_core.errors import OptionError, OverwriteError, VerdictError
from cae_core.files.outputs import FINGERPRINT, RECORD, check_folder, check_output
from cae_core.files.records import read_hashed_record, read_record, readable_json
from cae_core.files.storage import write_atomically, write_new
from cae_core.fingerprint.file import FingerprintFile
from cae_core.foreign_text import visible
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes
from cae_core.loaders import Device
from cae_core.models import Model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import Opened
from cae_core.opening.party import Party
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.progress import Progress, detail, say, silent, stage
from cae_core.reading import reading
from cae_core.verification.verdict import Suspect

__all__ = [
    "CASE_FORMAT",
    "Case",
    "CaseFiles",
    "Contained",
    "ControlFiles",
    "JudgeOptions",
    "LookedAt",
    "NamedFile",
    "judge_files",
]

_CASE = "case.json"


@dataclass(frozen=True, kw_only=True)
class CaseFiles:
    """What lies before the judge; a path may be given as a text.

    Attributes:
        claim: the claimant's fingerprint.
        seal: the published commitment.
        opening: what opens it.
        source: the claimed source.
        pool: the judge's manifest.
        suspect: the path of a model.
        contract: replaces the one that the suspect carries.
        claimant_pool: the claimant's manifest, for a replay; None: none is made.
        controls: manifests of the judge's control sources, or folders of such; none: references alone decide.
        workdir: where the regeneration and the judgements are kept.
    """

    claim: Path
    seal: Path
    opening: Path
    source: Path
    pool: Path
    suspect: str
    contract: Contract | None = None
    claimant_pool: Path | None = None
    controls: Sequence[Path] = ()
    workdir: Path

    def __post_init__(self) -> None:
        for name in ("claim", "seal", "opening", "source", "pool", "claimant_pool", "workdir"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else Path(value))
        object.__setattr__(self, "suspect", os.fspath(self.suspect))
        object.__setattr__(self, "controls", tuple(map(Path, self.controls)))


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How the judge judges.

    Attributes:
        seals: how many seals the claimant has made, this one included.
        evidence: who was first.
        fpr: requested rate of false accusations; None: the sealed one.
        eps: largest change of a pixel in the regeneration; None: the claim's.
        tau: least conferrability of a regenerated example; None: the claim's.
        count: number of examples to regenerate; None: the claim's.
        iterations: search steps for each image; None: the claim's.
        nonce: the judge's; random where None, and drawn after the seal is open.
        behind: defences behind which the judge's references are asked as well, see `CalibrationSettings`.
        sample: how many of the claim's examples are replayed.
        claimed_accuracy: of the suspect, by its owner, 0 to 1.
        device: where to run the models.
        signed_by: id of the key whose signature of the seal was verified; None: none was given. It decides
            nothing.
        trusted: whether source and suspect run in the judge's own process, and may be of a form whose opening runs
            code; a claimant's manifest is never believed in this.
        limits: of the two processes, of the suspect and of what the claimant has handed over.
    """

    seals: int
    evidence: DatedEvidence
    fpr: float | None = None
    eps: float | None = None
    tau: float | None = None
    count: int | None = None
    iterations: int | None = None
    nonce: bytes | None = None
    behind: tuple[str, ...] = ()
    sample: int = 10
    claimed_accuracy: float | None = None
    device: Device = "auto"
    signed_by: str | None = None
    trusted: bool = False
    limits: Limits = GENEROUS

    def rate(self, claim: Claim) -> float:
        """Return the rate that the claim is judged at."""
        return claim.opening.fpr if self.fpr is None else self.fpr


@dataclass(frozen=True, kw_only=True)
class NamedFile:
    """A file that was looked at.

    Attributes:
        name: as it was given: a path, or an address.
        sha256: of what was read.
    """

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """What the claimant has handed over, and the suspect.

    Attributes:
        claim: the claimant's fingerprint.
        seal: the published commitment.
        source: the claimed source.
        suspect: who is accused.
    """

    claim: NamedFile
    seal: NamedFile
    source: NamedFile
    suspect: NamedFile


@dataclass(frozen=True, kw_only=True)
class ControlFiles:
    """A control source of the judge's.

    Attributes:
        source: its file.
        surrogates: those that he derived from it.
    """

    source: NamedFile
    surrogates: tuple[NamedFile, ...]


@dataclass(frozen=True, kw_only=True)
class Contained:
    """What stood around the models of the two parties; the judge's own run in his process.

    Attributes:
        suspect: the accused.
        claimant: the claimed source, and the claimant's pool where some of the claim is replayed.
    """

    suspect: Containment
    claimant: Containment


CASE_FORMAT = 1
"""Of the JSON object of a case."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A judged case, with everything that was looked at.

    Attributes:
        judgement: see `Judgement`.
        claim: opened.
        files: that were looked at.
        consistency: whether the claim is consistent; it decides nothing.
        replay: the search of some of the claim's examples again; it decides nothing; None if there was none.
        regeneration: None where the outcome was certain without one.
        nonce: the judge's.
        signed_by: see `JudgeOptions`.
        containment: of the two parties' models.
        controls: the judge's control sources; none where references alone decide.
    """

    judgement: Judgement
    claim: Claim
    files: LookedAt
    consistency: Consistency
    replay: ClaimRerun | None
    regeneration: Regeneration | None = field(repr=False)
    nonce: bytes
    signed_by: str | None
    containment: Contained
    controls: tuple[ControlFiles, ...] = ()

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae judge --json`` prints it."""
        opening = self.claim.opening
        return {
            "format": CASE_FORMAT,
            **self.judgement.json_fields(),
            "nonce": self.nonce,
            "claim": {
                "fingerprint_id": opening.fingerprint_id,
                "commitment": self.claim.seal.commitment,
                **{name: getattr(opening, name) for name in ("claimant", "score", "fpr", "max_queries", "tool")},
                "signed_by": self.signed_by,
            },
            "files": self.files,
            "containment": self.containment,
            **({"control_sources": self.controls} if self.controls else {}),
            "consistency": self.consistency,
            "replay": self.replay,
            "regeneration": self.regeneration,
            "tool": f"cae-fingerprint {release.__version__}",
        }


def judge_files(
    files: CaseFiles,
    data: ImageSet,
    options: JudgeOptions,
    *,
    progress: Progress = silent,
) -> Case:
    """Open the claim, regenerate, ask the suspect, and keep the judgement in the working folder.

    Interrupted, it goes on where it was when it is called again: nonce and generation are kept in the folder; the
    models are asked again.

    Args:
        files: the files that the judge has.
        data: the judge's images.
        options: how the judge judges.
        progress: told of each stage.

    Raises:
        VerdictError: the claim does not open or is another one, there are fewer seals than one, the suspect is to have
            existed in the future, or the folder holds another case.
        PoolError: the judge's pool cannot judge this case.
        CaeError: see `regenerate` and `judge_claim`.
    """
    check_seals(options.seals)
    options.evidence.check(clock.utc_now())
    for path in (files.seal, files.source):
        if not path.exists():
            raise VerdictError(f"{path}: no such file. Give what the claimant has handed over.")
    _check_workdir(files)
    detail(progress, "opening the claim", "reading and hashing what lies before the judge")
    with copied_models([str(files.source), files.suspect], files.workdir) as copies:
        return _judged_case(files, data, options, copies, progress)


def _judged_case(
    files: CaseFiles, data: ImageSet, options: JudgeOptions, copies: Sequence[ModelFiles], progress: Progress
) -> Case:
    """Judge by copies of source and suspect: what is opened is what was hashed, whoever writes to them meanwhile."""
    source, accused = copies
    theirs = () if files.claimant_pool is None else read_pool(files.claimant_pool).select(role="generate")
    opened = _open_pool(Path(source.spec), options, theirs, copies)
    claim, looked_at = _opened_claim(files, source, accused)
    ancestor = str(claim.fingerprint.generation["source"].get("ancestor", ""))
    pool = read_judge_pool(
        files.pool,
        Path(source.spec),
        controls=files.controls,
        ancestor=ancestor,
        trusted=options.trusted,
        opened=opened,
    )
    suspect, named = _suspect(files, options, accused, claim.fingerprint.task), Suspect.of(accused, name=files.suspect)
    refuse_known_file(named, {opened.digest(member): member for member in pool.own})
    record = files.workdir / f"judgement-{suspect.digest[:12]}.json"
    check_output(record, RECORD)
    begun = (files.workdir / _CASE).exists()
    nonce = _kept_nonce(files.workdir, claim.seal, options.nonce)  # the seal is open: now it may be drawn
    if begun:
        say(progress, f"the case in {visible(str(files.workdir))} goes on, with its nonce and what is done of it.")
    hearing = _Hearing(
        files=files,
        options=options,
        opened=opened,
        claim=claim,
        pool=pool,
        theirs=theirs,
        nonce=nonce,
        progress=progress,
    )
    opened.expect([pool.source, *theirs], gradients=True)
    claimed = opened.open(pool.source, keep=True)
    chosen = claimed.contract is not None or source.has_contract
    check_source_contract(claim, claimed.model, origin=source.spec, chosen=chosen)
    consistency = check_consistency(claim.fingerprint, claimed.model)
    replay = _replayed(hearing)
    judgement, regeneration = _judged(hearing, data, suspect, named)
    case = Case(
        judgement=judgement,
        claim=claim,
        files=looked_at,
        consistency=consistency,
        replay=replay,
        regeneration=regeneration,
        nonce=nonce,
        signed_by=options.signed_by,
        containment=Contained(suspect=suspect.containment, claimant=claimed.containment),
        controls=_named_controls(pool, opened),
    )
    write_atomically(record, readable_json(case), mode=0o600)
    return case


def _named_controls(pool: JudgePool, opened: OpenPool) -> tuple[ControlFiles, ...]:
    def named(member: PoolMember) -> NamedFile:
        return NamedFile(name=str(member.path), sha256=opened.digest(member))

    return tuple(
        ControlFiles(source=named(each.source), surrogates=tuple(map(named, each.surrogates))) for each in pool.controls
    )


@dataclass(frozen=True, kw_only=True)
class _Hearing:
    """An opened claim before a judge: whatever is made of it is made of these."""

    files: CaseFiles
    options: JudgeOptions
    opened: OpenPool
    claim: Claim
    pool: JudgePool
    theirs: Sequence[PoolMember]
    nonce: bytes
    progress: Progress


def _check_workdir(files: CaseFiles) -> None:
    """Refuse a folder where the case would take the place of what lies before the judge, or of somebody's fingerprint.

    Raises:
        OptionError: it belongs to one of them, or holds a fingerprint and no case.
        StorageError: it is no folder.
    """
    given = [files.claim, files.seal, files.opening, files.source, files.pool, Path(files.suspect)]
    given += [*files.controls] if files.claimant_pool is None else [files.claimant_pool, *files.controls]
    kept = files.workdir / KEPT_FINGERPRINT
    check_folder(files.workdir, inputs=given)
    check_output(kept, FINGERPRINT, inputs=given)
    if kept.exists() and not (files.workdir / _CASE).exists():
        raise OptionError(f"{kept}: this fingerprint belongs to no case of `cae judge`. Name another --workdir.")


def _open_pool(
    source: Path, options: JudgeOptions, theirs: Sequence[PoolMember], known: Sequence[ModelFiles]
) -> OpenPool:
    """Return where models are opened: those of the claimant in a process of theirs, the judge's own in this one."""
    claimants = {source, *(member.path for member in theirs)}
    return OpenPool(
        device=options.device,
        foreign=lambda member: not member.trusted and member.path in claimants,
        limits=options.limits,
        known=known,
    )


def _suspect(files: CaseFiles, options: JudgeOptions, copy: ModelFiles, task: Task) -> Opened[Model]:
    return Party(device=options.device, limits=options.limits).black_box(
        copy.spec, contract=files.contract, trusted=options.trusted, files=copy, task=task
    )


def _opened_claim(files: CaseFiles, source: ModelFiles, suspect: ModelFiles) -> tuple[Claim, LookedAt]:
    fingerprint, (seal, seal_sha256) = FingerprintFile.read(files.claim), read_hashed_record(files.seal)
    claim = open_claim(
        fingerprint.fingerprint(),
        seal=seal,
        opening=read_record(files.opening),
        source_sha256=source.digest,
        seal_origin=str(files.seal),
        opening_origin=str(files.opening),
    )
    return claim, LookedAt(
        claim=NamedFile(name=str(files.claim), sha256=fingerprint.sha256),
        seal=NamedFile(name=str(files.seal), sha256=seal_sha256),
        source=NamedFile(name=str(files.source), sha256=source.digest),
        suspect=NamedFile(name=files.suspect, sha256=suspect.digest),
    )


def _kept_nonce(folder: Path, seal: Seal, given: bytes | None) -> bytes:
    """Return the nonce of this case: of an earlier run in the folder, else the given one, else a random one."""
    path = folder / _CASE
    if not path.exists():
        nonce = secrets.token_bytes(16) if given is None else given
        record = {"commitment": seal.commitment, "nonce": nonce.hex()}
        with suppress(OverwriteError):  # of two at once the first draws, and the other one reads
            write_new(path, readable_json(record), mode=0o600)
            return nonce
    record = read_record(path, remedy="Name another --workdir.")
    with reading(path, VerdictError, fault="this is no case of `cae judge`", remedy="Name another --workdir."):
        kept = bytes.fromhex(record["nonce"])
    if record.get("commitment") != seal.commitment:
        raise VerdictError(f"{folder}: this folder holds the case of another seal. Name another --workdir.")
    if given is not None and given != kept:
        raise OptionError(
            f"{folder}: this case was begun with the nonce {kept.hex()}. Leave --nonce out, or name another --workdir."
        )
    return kept


def _replayed(hearing: _Hearing) -> ClaimRerun | None:
    options, claimed = hearing.options, hearing.claim.fingerprint
    if hearing.files.claimant_pool is None:
        return None
    if options.sample < 1:
        raise OptionError(f"The number of examples that are searched again must be at least 1; found {options.sample}.")
    index = sample_examples(claimed, options.sample, nonce=hearing.nonce)
    if not len(index):  # no example is said to be the result of a search
        return None
    members = claimed_members(claimed, hearing.pool.source, hearing.theirs, opened=hearing.opened)
    opening = stage(hearing.progress, "opening the claim's models")
    white_boxes = open_white_boxes(members, opened=hearing.opened, progress=opening)
    return rerun_claim(claimed, white_boxes, index, progress=hearing.progress)


def _judged(
    hearing: _Hearing, data: ImageSet, suspect: Opened[Model], named: Suspect
) -> tuple[Judgement, Regeneration | None]:
    """Return the judgement, and the regeneration where the outcome was not certain without one."""
    options, opening = hearing.options, hearing.claim.opening
    references, fpr = len(hearing.pool.calibrating.references), options.rate(hearing.claim)
    unasked = judge_unasked(
        references=references,
        fpr=fpr,
        seals=options.seals,
        dated=options.evidence,
        controls=len(hearing.pool.controls) if hearing.pool.controls else None,
        examples=_settings(hearing).count if hearing.pool.controls else 0,
        max_queries=opening.max_queries,
    )
    if unasked is not None:
        return unasked, None
    regeneration = _regenerated(hearing, data)
    judgement = judge_claim(
        regeneration,
        suspect.model,
        named=named,
        seals=options.seals,
        dated=options.evidence,
        max_queries=opening.max_queries,
        claimed_accuracy=options.claimed_accuracy,
        containment=suspect.containment,
        progress=stage(hearing.progress, "asking the suspect"),
    )
    return judgement, regeneration


def _settings(hearing: _Hearing) -> GenerationSettings:
    """Return the regeneration's: the claim's, with the judge's changes."""
    own = hearing.options
    return claimed_settings(
        hearing.claim.fingerprint, eps=own.eps, tau=own.tau, count=own.count, iterations=own.iterations
    )


def _regenerated(hearing: _Hearing, data: ImageSet) -> Regeneration:
    claim, options = hearing.claim, hearing.options
    return regenerate(
        hearing.pool,
        data,
        settings=_settings(hearing),
        calibration=CalibrationSettings(fpr=options.rate(claim), score=claim.opening.score, behind=options.behind),
        nonce=hearing.nonce,
        folder=hearing.files.workdir,
        opened=hearing.opened,
        progress=hearing.progress,
    )
