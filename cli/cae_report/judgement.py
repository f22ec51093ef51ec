"""What the page of a judgement is about: a judge's record that was derived again, and what it says of the case."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.containment.record import recorded_containment
from cae_core.disputes.case import LookedAt, NamedFile
from cae_core.disputes.judging import Judgement
from cae_core.disputes.rejudging import rejudge
from cae_core.errors import VerdictError
from cae_core.files.fields import read_field, recorded
from cae_core.files.records import read_hashed_record
from cae_core.reading import reading
from cae_report.dossier import Dossier

__all__ = ["Case", "ClaimTold", "open_case"]

_REMEDY = "Give the judgement-….json of the case's folder, as `cae judge` wrote it."


@dataclass(frozen=True, kw_only=True)
class ClaimTold:
    """What the record says of the claim.

    Attributes:
        fingerprint_id: id of the claimant's fingerprint.
        commitment: commitment of the seal.
        claimant: name of the claimant in the opening; it may be empty.
        signed_by: id of the key whose signature of the seal was verified; empty where none was given.
    """

    fingerprint_id: str
    commitment: str
    claimant: str
    signed_by: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """A judgement with everything that its page says.

    Attributes:
        judgement: derived again.
        record: name and SHA-256 of its file.
        nonce: the judge's, in hexadecimal digits.
        claim: the record's word, as what follows.
        files: files that the judge looked at.
        contained: in words, what stood around the suspect, and around the claimant's models.
        images: of the judge: their SHA-256, how many there are, and how many of them the nonce drew; None where
            nothing was regenerated.
        consistency: of the claim, in counts by name; it decides nothing.
        rerun: of the claim's examples, how many passed and were searched again; None where none was.
        controls: how many control sources are named.
        tool: release of `cae` that judged.
        dossier: dossier of the judge's own verification; None if the suspect was not asked.
    """

    judgement: Judgement
    record: tuple[str, str]
    nonce: str
    claim: ClaimTold
    files: LookedAt
    contained: tuple[str, str]
    images: tuple[str, int, int] | None
    consistency: Mapping[str, int]
    rerun: tuple[int, int] | None
    controls: int
    tool: str
    dossier: Dossier | None


def open_case(path: Path, fingerprint: Path) -> Case:
    """Read a judgement as ``cae judge`` keeps it, with the judge's fingerprint, and derive it again.

    Args:
        path: of the judgement.
        fingerprint: that the judge regenerated; it is not read where the suspect was not asked.

    Raises:
        VerdictError: it is no judgement, or its answers do not give it.
        CaeError: see `load_calibrated`.
    """
    record, sha256 = read_hashed_record(path)
    subject = None if record.get("verification") is None else load_calibrated(fingerprint)
    judged = rejudge(record, subject, origin=str(path))
    fault = "this is no judgement as `cae judge` keeps it"
    with reading(path, VerdictError, fault=fault, remedy=_REMEDY), recorded(str(path), _REMEDY):
        return _told(record, judged.judgement, judged.nonce, (path.name, sha256), _file(fingerprint, subject))


def _file(path: Path, subject: CalibratedFingerprint | None) -> tuple[str, str]:
    return path.name, "" if subject is None else subject.sha256


def _told(
    record: Mapping[str, Any], judgement: Judgement, nonce: bytes, itself: tuple[str, str], file: tuple[str, str]
) -> Case:
    claim, files = read_field(record, "claim", dict), read_field(record, "files", dict)
    contained, consistency = read_field(record, "containment", dict), read_field(record, "consistency", dict)
    counts = ("examples", "within_eps", "source_label", "seeds_right")
    return Case(
        judgement=judgement,
        record=itself,
        nonce=nonce.hex(),
        claim=ClaimTold(
            fingerprint_id=read_field(claim, "fingerprint_id", str),
            commitment=read_field(claim, "commitment", str),
            claimant=read_field(claim, "claimant", str),
            signed_by=read_field(claim, "signed_by", str | None) or "",
        ),
        files=LookedAt(
            **{name: _named(read_field(files, name, dict)) for name in ("claim", "seal", "source", "suspect")}
        ),
        contained=(_contained(contained, "suspect"), _contained(contained, "claimant")),
        images=_images(record),
        consistency={name: read_field(consistency, name, int) for name in counts},
        rerun=_rerun(read_field(record, "replay", dict | None)),
        controls=len(read_field(record, "control_sources", list[dict[str, Any]], default=[])),
        tool=read_field(record, "tool", str),
        dossier=None if judgement.verdict is None else Dossier(judgement.verdict, itself, file),
    )


def _named(told: Mapping[str, Any]) -> NamedFile:
    return NamedFile(name=read_field(told, "name", str), sha256=read_field(told, "sha256", str))


def _contained(told: Mapping[str, Any], party: str) -> str:
    found = recorded_containment(told.get(party))
    return "not recorded" if found is None else found.words


def _images(record: Mapping[str, Any]) -> tuple[str, int, int] | None:
    made = read_field(record, "regeneration", dict | None)
    if made is None:
        return None
    images = read_field(made, "images", dict)
    return read_field(images, "sha256", str), read_field(images, "of", int), read_field(images, "drawn", int)


def _rerun(told: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return None if told is None else (read_field(told, "passed", int), read_field(told, "examples", int))
