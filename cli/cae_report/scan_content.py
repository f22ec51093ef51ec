"""What the page of a scan says."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from cae_core.scan.correction import Correction
from cae_core.scan.summary import Row, ScanSummary
from cae_report.custody import CHECKED, RECORDED, CustodyRow
from cae_report.evidence import EvidenceRow
from cae_report.limits import Limit
from cae_report.null_hypothesis import presumed_innocence
from cae_report.repeating import Step, argument, page_step
from cae_report.scan import SHOWN, Scan
from cae_report.text import counted, percent

__all__ = ["ScanContent", "gather_scan"]


@dataclass(frozen=True, kw_only=True)
class ScanContent:
    """Everything that the page of a scan says.

    Attributes:
        sentence: what was found, for a reader who knows nothing of the method.
        found: in a word or two: how many are accused.
        error_rate: how often the procedure errs, with all suspects counted.
        null: the hypothesis that an accusation has to reject; empty where uncalibrated.
        replay: what deriving the lines again has shown, in sentences.
        facts: the numbers behind it.
        rows: the models, those first that most speaks against.
        left_out: how many more there are.
        limits: what a scan does not prove.
        custody: who held, did or wrote what.
        repeat: how somebody else repeats it.
    """

    sentence: str
    found: str
    error_rate: str
    null: tuple[str, ...]
    replay: str
    facts: tuple[EvidenceRow, ...]
    rows: tuple[Row, ...]
    left_out: int
    limits: tuple[Limit, ...]
    custody: tuple[CustodyRow, ...]
    repeat: tuple[Step, ...]


def gather_scan(scan: Scan) -> ScanContent:
    """Gather what the page says."""
    summary = scan.summary
    return ScanContent(
        sentence=_simulated(summary) + _sentence(summary),
        found=f"{summary.accused} of {counted(summary.models, 'model')} accused",
        error_rate=_error_rate(summary),
        null=_null(scan),
        replay=_replay(scan),
        facts=tuple(_facts(scan)),
        rows=scan.shown,
        left_out=max(0, len(summary.rows) - SHOWN),
        limits=tuple(_limits(scan)),
        custody=tuple(_custody(scan)),
        repeat=tuple(_steps(scan)),
    )


def _simulated(summary: ScanSummary) -> str:
    return f"With the defence {summary.defence} simulated before every suspect: " if summary.defence else ""


def _sentence(summary: ScanSummary) -> str:
    counts = summary.counts
    if summary.rate is None:
        return (
            f"By a rule of thumb, whose error rates are unknown, {counts['surrogate']} of "
            f"{counted(summary.models, 'model')} count as derived from the source."
        )
    stand = "No accusation stands" if not summary.accused else f"{summary.accused} of the accusations stand"
    if summary.accused == counts["surrogate"] > 0:
        stand = "All of the accusations stand" if summary.accused > 1 else "The accusation stands"
    alone = f"Each judged alone, {counts['surrogate']} of {counted(summary.models, 'model')} would be accused."
    return f"{alone} {stand} when all models are counted."


def _error_rate(summary: ScanSummary) -> str:
    if summary.rate is None:
        return "The error rate is unknown. The fingerprint is not calibrated, and the threshold is a rule of thumb."
    rate = percent(summary.rate)
    if summary.correction == Correction.BH:
        return (
            f"Of the models that are accused when all are counted, at most {rate} are independent, on average "
            "(Benjamini-Hochberg)."
        )
    if summary.correction == Correction.HOLM:
        return f"The probability that any independent model is accused when all are counted is at most {rate} (Holm)."
    return (
        f"Each verdict stands alone. Were all {summary.models} models independent, up to "
        f"{summary.expected_by_chance:.3g} of them would be accused by chance, on average."
    )


def _null(scan: Scan) -> tuple[str, ...]:
    if scan.subject.calibration is None:
        return ()
    return (f"Before it is accused, each suspect counts as innocent: {presumed_innocence(scan.subject)}.",)


def _replay(scan: Scan) -> str:
    told = "The table was made again from the lines of the file, and the digest of the family agrees."
    judged = sum(row.verdict != "failed" for row in scan.shown)
    if not scan.derived:
        return (
            f"{told} The lines hold no answers, so the verdicts could not be derived again (cae scan --full keeps the "
            "answers)."
        )
    return f"{told} {len(scan.derived)} of the {judged} verdicts below were derived again from their recorded answers."


def _facts(scan: Scan) -> Iterator[EvidenceRow]:
    summary = scan.summary
    for outcome, count in summary.counts.items():
        note = (
            "these could not be asked; each counts as one more model" if outcome == "failed" else "by its own verdict"
        )
        yield EvidenceRow(outcome.capitalize(), str(count), note if count else "")
    note = "equal files are one model, asked once"
    yield EvidenceRow("Suspects named", f"{summary.suspects}, {counted(summary.models, 'model')}", note)
    if summary.rate is not None:
        yield EvidenceRow("Rate of false accusations", percent(summary.rate), "fixed before any suspect was asked")
        yield EvidenceRow("Correction", summary.correction.words, "corrects p for the number of models")


def _limits(scan: Scan) -> Iterator[Limit]:
    calibration = scan.subject.calibration
    if scan.summary.defence:
        yield Limit(
            "Anything about the suspects as they answer",
            f"The defence {scan.summary.defence} was simulated in front of them. The scan is about suspects with that "
            "defence, and is no evidence for or against any of these.",
        )
    if calibration is None:
        yield Limit("An error rate", "How often the rule of thumb accuses an innocent model is unknown.")
    else:
        yield Limit(
            "Anything about models unlike the references",
            f"The rate holds for models of the kind that the {counted(len(calibration.references), 'reference')} are "
            f"drawn from ({', '.join(calibration.references.kinds())}). It says nothing about other models."
            if not scan.subject.asks_controls
            else "The rate is an average over sources that are made alike. It says nothing about a source unlike the "
            "control sources.",
        )
    yield Limit(
        "Independence",
        "That a model is not accused does not prove that it is independent. A weak copy, or one whose answers are "
        "disturbed on purpose, can match as seldom as an independent model.",
    )
    yield Limit(
        "That nothing was left out",
        "The family of models was fixed before the first question. Which models were in the folder or the list is the "
        "choice of whoever scanned. Another scan of other models is another family.",
    )
    yield Limit(
        "The direction of copying",
        "If one of two models was made from the other, a scan does not show which came first. That takes dated "
        "evidence: a commitment to the fingerprint from before the suspect appeared (cae seal).",
    )
    yield Limit(
        "That the test was impartial",
        "Fingerprint, calibration and questions are those of whoever scanned. A neutral party judges one suspect with "
        "models of its own (cae judge).",
    )


def _custody(scan: Scan) -> Iterator[CustodyRow]:
    head, summary, subject = scan.head, scan.summary, scan.subject
    clock = f"By the clock of the machine that scanned. {RECORDED}"
    yield CustodyRow(what="Scan begun on", value=head.date, known=clock)
    yield CustodyRow(what="Scanned with", value=head.tool, known=RECORDED)
    known = "Fixed before the first question, by the record. It follows from the digests of the models."
    yield CustodyRow(what="Family of models", value="", sha256=summary.family, known=known)
    known = "The order of each model's questions follows from it and from the model's digest."
    yield CustodyRow(what="Nonce of the scan", value=head.nonce, known=known)
    if head.data_sha256:
        known = f"Contracts that nobody stated were found by them. {RECORDED}"
        yield CustodyRow(what="Labelled images", value="", sha256=head.data_sha256, known=known)
    name, sha256 = scan.file
    yield CustodyRow(what="Fingerprint", value=name, sha256=sha256, known=f"The file that was used. {CHECKED}")
    yield CustodyRow(what="Id of the fingerprint", value="", sha256=subject.fingerprint.id, known=CHECKED)
    if subject.calibration is not None:
        yield CustodyRow(what="Calibration", value="", sha256=subject.content_sha256, known=CHECKED)
    source = subject.fingerprint.generation.get("source")
    if isinstance(source, dict):
        name, sha256 = str(source.get("name", "")), str(source.get("sha256", ""))
        yield CustodyRow(what="Source", value=name, sha256=sha256, known="The fingerprint's file says so.")
    name, sha256 = scan.record
    yield CustodyRow(what="Lines of the scan", value=name, sha256=sha256, known=CHECKED)


def _steps(scan: Scan) -> Iterator[Step]:
    record, fingerprint = argument(scan.record[0], "SCAN"), argument(scan.file[0], "FINGERPRINT")
    text = "Compare the digests of the files with those under Custody."
    yield Step(text=text, command=f"sha256sum {record} {fingerprint}")
    yield Step(
        text="Compute the digest of the family from the files of the models, where each is a single file.",
        command="(printf 'cae-family-v1\\0'; sha256sum MODELS | cut -c 1-64 | LC_ALL=C sort -u) | sha256sum",
    )
    again = f"cae scan MODELS --fingerprint {fingerprint} --no-ledger --output again.jsonl --full"
    if scan.summary.defence:
        again += f" --defence {shlex.quote(scan.summary.defence)}"
    yield Step(text="Scan the same models again, by a fresh nonce.", command=again)
    yield page_step(record, fingerprint)
