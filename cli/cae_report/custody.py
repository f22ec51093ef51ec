"""Custody: who asked whom, when and with which files, and how each of it is known."""

from collections.abc import Iterator
from dataclasses import dataclass

from cae_report.dossier import Dossier
from cae_report.text import contract_in_words, counted

__all__ = ["CHECKED", "RECORDED", "CustodyRow", "custody_of"]

RECORDED = "The record says so. The answers cannot confirm it."
CHECKED = "Read and hashed when this page was written."
_BOUND = "The order of the recorded questions follows from this digest too."


@dataclass(frozen=True, kw_only=True)
class CustodyRow:
    """One thing that somebody held, did or wrote.

    Attributes:
        what: in a word or two.
        value: the name of the file, the time, or who it was; may be empty.
        sha256: of the content; empty where there is none.
        known: how it is known, in a sentence.
    """

    what: str
    value: str
    sha256: str = ""
    known: str


def custody_of(dossier: Dossier) -> tuple[CustodyRow, ...]:
    """Return what the verdict's record and the files at hand say of who asked whom, when and with what."""
    return (*_asking(dossier), *_files(dossier))


def _asking(dossier: Dossier) -> Iterator[CustodyRow]:
    verdict, occasion = dossier.verdict, dossier.verdict.occasion
    if occasion is not None:
        if occasion.case:
            yield CustodyRow(what="Case", value=occasion.case, known=RECORDED)
        clock = "By the clock of the machine that asked. "
        yield CustodyRow(what="Asked on", value=occasion.date, known=clock + RECORDED)
        runtime = "" if occasion.runtime is None else f", {occasion.runtime}"
        yield CustodyRow(what="Asked with", value=f"{occasion.tool}{runtime}", known=RECORDED)
    if verdict.containment is not None:
        yield CustodyRow(what="Containment", value=verdict.containment.words, known=RECORDED)
    if verdict.service is not None:
        value = f"{verdict.service.address}, {counted(verdict.service.requests, 'request')}"
        yield CustodyRow(what="Service", value=value, known=RECORDED)
    yield CustodyRow(
        what="Suspect",
        value=verdict.suspect.name,
        sha256=verdict.suspect.sha256,
        known=f"{_BOUND} The name is recorded.",
    )
    if occasion is not None and occasion.contract is not None:
        yield CustodyRow(
            what="Contract of the suspect",
            value=contract_in_words(occasion.contract),
            sha256=occasion.contract.sha256,
            known=RECORDED,
        )
    order = "The recorded questions stand in the order that follows from it."
    yield CustodyRow(what="Nonce", value=verdict.nonce, known=order)


def _files(dossier: Dossier) -> Iterator[CustodyRow]:
    name, digest = dossier.record
    yield CustodyRow(what="Record of the verdict", value=name, sha256=digest, known=CHECKED)
    name, digest = dossier.file
    same = dossier.subject.sha256 in ("", digest)
    if same:
        yield CustodyRow(what="Fingerprint", value=name, sha256=digest, known=f"The file that was used. {CHECKED}")
    else:
        yield CustodyRow(what="Fingerprint, as used", value="", sha256=dossier.subject.sha256, known=RECORDED)
        yield CustodyRow(what="Fingerprint, at hand", value=name, sha256=digest, known=f"Another file. {CHECKED}")
    yield CustodyRow(what="Id of the fingerprint", value="", sha256=dossier.fingerprint.id, known=CHECKED)
    if dossier.calibration is not None:
        yield CustodyRow(what="Calibration", value="", sha256=dossier.subject.content_sha256, known=CHECKED)
    source = dossier.fingerprint.generation.get("source")
    if isinstance(source, dict):
        told = "The fingerprint's file says so."
        yield CustodyRow(
            what="Source", value=str(source.get("name", "")), sha256=str(source.get("sha256", "")), known=told
        )
