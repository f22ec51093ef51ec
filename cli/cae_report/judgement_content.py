"""What the page of a judgement says."""

from collections.abc import Iterator
from dataclasses import dataclass

from cae_report.content import ReportContent, gather_content
from cae_report.custody import CHECKED, RECORDED, CustodyRow
from cae_report.evidence import EvidenceRow
from cae_report.judgement import Case
from cae_report.judgement_wording import error_rate_of, judged_in_words, limits_of, null_of
from cae_report.limits import Limit
from cae_report.repeating import Step, argument
from cae_report.text import counted, number, percent

__all__ = ["JudgementContent", "gather_judgement"]


@dataclass(frozen=True, kw_only=True)
class JudgementContent:
    """Everything that the page of a judgement says.

    Attributes:
        outcome: of the judgement.
        suspect: its name.
        sentence: the judgement for a reader who knows nothing of the method.
        remedy: what would let the claim be judged, in a sentence; empty otherwise.
        error_rate: how often the procedure errs.
        null: the hypothesis that upholding has to reject; empty where nothing was tested.
        replay: what deriving it again has shown, in a sentence.
        facts: that decided, and those that are stated and decide nothing.
        limits: what the judgement does not say.
        custody: who held, did or wrote what.
        repeat: how somebody else repeats it.
        verification: the judge's own, as a report says it; None where the suspect was not asked.
    """

    outcome: str
    suspect: str
    sentence: str
    remedy: str
    error_rate: str
    null: tuple[str, ...]
    replay: str
    facts: tuple[EvidenceRow, ...]
    limits: tuple[Limit, ...]
    custody: tuple[CustodyRow, ...]
    repeat: tuple[Step, ...]
    verification: ReportContent | None


def gather_judgement(case: Case, *, examples: int) -> JudgementContent:
    """Gather what the page says.

    Args:
        case: the judgement and what it was made by.
        examples: of the judge's fingerprint, how many to show at most.
    """
    judgement = case.judgement
    return JudgementContent(
        outcome=judgement.outcome,
        suspect=case.files.suspect.name,
        sentence=judged_in_words(case),
        remedy=judgement.remedy,
        error_rate=error_rate_of(case),
        null=null_of(case),
        replay=_replay(case),
        facts=tuple(_facts(case)),
        limits=limits_of(case),
        custody=tuple(_custody(case)),
        repeat=tuple(_steps(case)),
        verification=None if case.dossier is None else gather_content(case.dossier, examples=examples),
    )


def _replay(case: Case) -> str:
    if case.dossier is None:
        return "The suspect was not asked. That it could not be judged follows from the recorded numbers."
    answers = counted(len(case.dossier.verdict.answers), "recorded answer")
    return f"The judgement was derived again from the {answers}, the number of seals and the recorded dates."


def _facts(case: Case) -> Iterator[EvidenceRow]:
    judgement = case.judgement
    yield EvidenceRow("Reason", judgement.reason)
    if judgement.p_value is not None and judgement.p_adjusted is not None:
        note = f"p-value {number(judgement.p_value)}, times {counted(judgement.seals, 'seal')} of the claimant"
        yield EvidenceRow("p-value, all seals counted", number(judgement.p_adjusted), note)
    yield EvidenceRow("Rate of false accusations", percent(judgement.fpr), "fixed before the suspect was asked")
    note = f"the rate takes {judgement.needed}"
    yield EvidenceRow("References of the judge", str(judgement.references), note)
    if judgement.controls is not None:
        note = f"the rate takes {judgement.controls_needed}; the larger p of both ranks counts"
        yield EvidenceRow("Control sources of the judge", str(judgement.controls), note)
    yield from _dates(case)
    found = case.consistency
    value = (
        f"of {found['examples']} examples {found['within_eps']} are within the largest change, "
        f"{found['source_label']} have the source's label, and {found['seeds_right']} seeds are as described"
    )
    yield EvidenceRow("Consistency of the claim", value, "as recorded; it decides nothing")
    if case.rerun is not None:
        value = f"{case.rerun[0]} of {counted(case.rerun[1], 'example')} passed"
        yield EvidenceRow("Examples of the claim made again", value, "as recorded; it decides nothing")


def _dates(case: Case) -> Iterator[EvidenceRow]:
    dated = case.judgement.evidence
    sealed = "not dated" if dated.sealed_at is None else dated.sealed_at.isoformat()
    since = "not known" if dated.suspect_since is None else dated.suspect_since.isoformat()
    yield EvidenceRow("Sealed at", sealed, f"vouched for by {dated.authority}" if dated.authority else "")
    yield EvidenceRow("The suspect exists since", since, "the earliest time for which there is proof")


def _custody(case: Case) -> Iterator[CustodyRow]:
    files, claim, dossier = case.files, case.claim, case.dossier
    yield CustodyRow(what="Judged with", value=case.tool, known=RECORDED)
    if dossier is not None and dossier.verdict.occasion is not None:
        clock = f"By the clock of the judge's machine. {RECORDED}"
        yield CustodyRow(what="Suspect asked on", value=dossier.verdict.occasion.date, known=clock)
    yield CustodyRow(what="Claimant", value=claim.claimant or "nobody named", known="The opening of the seal says so.")
    key = "The judge verified the signature of the seal with this key. " + RECORDED
    yield CustodyRow(
        what="Key of the claimant",
        value="" if claim.signed_by else "no signature given",
        sha256=claim.signed_by,
        known=key if claim.signed_by else RECORDED,
    )
    yield CustodyRow(
        what="Seal", value=files.seal.name, sha256=files.seal.sha256, known=f"The judge opened it. {RECORDED}"
    )
    yield CustodyRow(what="Commitment", value="", sha256=claim.commitment, known="What the seal publishes.")
    for what, file in (("Fingerprint of the claimant", files.claim), ("Claimed source", files.source)):
        known = f"The judge compared it with the opened seal. {RECORDED}"
        yield CustodyRow(what=what, value=file.name, sha256=file.sha256, known=known)
    known = f"The judge hashed and asked a copy of his own. {RECORDED}"
    if dossier is None:
        known = f"The judge hashed it and did not ask it. {RECORDED}"
    yield CustodyRow(what="Suspect", value=files.suspect.name, sha256=files.suspect.sha256, known=known)
    for what, words in zip(("Suspect ran in", "Claimed source ran in"), case.contained, strict=True):
        yield CustodyRow(what=what, value=words, known=RECORDED)
    yield from _regeneration(case)
    name, sha256 = case.record
    yield CustodyRow(what="Record of the judgement", value=name, sha256=sha256, known=CHECKED)


def _regeneration(case: Case) -> Iterator[CustodyRow]:
    dossier = case.dossier
    if dossier is None:
        yield CustodyRow(what="Nonce of the judge", value=case.nonce, known=RECORDED)
        return
    known = "The seed of the regeneration and the order of the questions follow from it. Derived again."
    yield CustodyRow(what="Nonce of the judge", value=case.nonce, known=known)
    if case.images is not None:
        sha256, every, drawn = case.images
        value = f"{drawn} of {counted(every, 'image')}, drawn by the nonce"
        yield CustodyRow(what="Images of the judge", value=value, sha256=sha256, known=RECORDED)
    name, sha256 = dossier.file
    yield CustodyRow(what="Fingerprint of the judge", value=name, sha256=sha256, known=CHECKED)
    yield CustodyRow(what="Its id", value="", sha256=dossier.fingerprint.id, known=CHECKED)
    yield CustodyRow(what="Its calibration", value="", sha256=dossier.subject.content_sha256, known=CHECKED)


def _steps(case: Case) -> Iterator[Step]:
    record = argument(case.record[0], "JUDGEMENT")
    fingerprint = "" if case.dossier is None else argument(case.dossier.file[0], "FINGERPRINT")
    text = "Compare the digests of the files with those under Custody."
    yield Step(text=text, command=f"sha256sum {record} {fingerprint}".rstrip())
    again = f"cae report {record}" + (f" --fingerprint {fingerprint}" if fingerprint else "")
    yield Step(
        text="Derive the judgement again and write this page. Neither the suspect nor the claimant's files are needed.",
        command=f"{again} --output report.html",
    )
    seal = argument(case.files.seal.name, "SEAL")
    if case.judgement.evidence.sealed_at is not None:
        command = f"openssl ts -verify -data {seal} -in TIMESTAMP.tsr -CAfile AUTHORITY.pem"
        yield Step(text="Verify the timestamp of the seal.", command=command)
    yield Step(
        text="Judge the claim again with models and images of your own. Without a nonce a fresh one is drawn, after "
        "the seal is open.",
        command=f"cae judge --claim {argument(case.files.claim.name, 'CLAIM')} --seal {seal} "
        f"--source {argument(case.files.source.name, 'SOURCE')} --pool POOL --data DATA "
        f"--seals {case.judgement.seals} --suspect {argument(case.files.suspect.name, 'SUSPECT')}",
    )
