"""The verdict, always with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cae_core.calibration.record import ModelsBehind
from cae_core.containment.record import Containment
from cae_core.fingerprint.questions import count_queries
from cae_core.foreign_text import visible
from cae_core.method.caeacc import CAEAcc
from cae_core.opening.model_files import ModelFiles
from cae_core.verification.decision import Decision
from cae_core.verification.evidence import Evidence, Null
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding
from cae_core.verification.occasion import Occasion
from cae_core.verification.path_evidence import PathEvidence
from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_core.verification.served import Served
from cae_core.verification.transcript import Answer
from cae_core.verification.wording import WORDING

__all__ = ["VERDICT_FORMAT", "Repeated", "SeenBefore", "Suspect", "Verdict"]


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """Who was asked.

    Attributes:
        name: a path or an address.
        sha256: SHA-256 of all of its files, or of its name if there are none; with the nonce it determines the order of
            the questions.
        files: those files, as lines of ``sha256sum``; empty where there are none, or nobody looked.
    """

    name: str
    sha256: str
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, files: ModelFiles, *, name: str = "") -> Self:
        """Return the suspect that lies in these files, or at that address; ``name``: where these are a copy of it.

        Raises:
            ModelError: see `ModelFiles`.
        """
        return cls(name=name or files.spec, sha256=files.digest, files=files.lines)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        return {"name": self.name, "sha256": self.sha256, **({"files": self.files} if self.files else {})}


@dataclass(frozen=True, kw_only=True)
class SeenBefore:
    """What a ledger remembers of the suspect, by fingerprints of this source.

    Attributes:
        verifications: before this one, whatever their order and mode; of records of before, those in another order.
        examples_seen: how many of the examples of this one it had been asked in them.
        interrupted: number of these that were interrupted; everything that they would have asked counts as seen.
        recognised: number of these that were of another file with the suspect's scores.
        otherwise: number of these with another fingerprint, calibration or contract, or with other options.
    """

    verifications: int
    examples_seen: int
    interrupted: int = 0
    recognised: int = 0
    otherwise: int = 0

    @property
    def details(self) -> str:
        """What is remarkable about them, as a bracket after a space; empty where nothing is."""
        told = (
            (self.interrupted, "interrupted"),
            (self.recognised, "of another file with its scores"),
            (self.otherwise, "with another fingerprint, calibration, contract or options"),
        )
        words = ", ".join(f"{count} {what}" for count, what in told if count)
        return f" ({words})" if words else ""


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """What earlier verifications of the suspect cost, see `VerificationOptions.factor`.

    Attributes:
        factor: factor by which p is multiplied; in sequential mode only the half of p that depends on the order is.
        p_value: p-value against "independent", had there been no other verification; None if uncalibrated.
        p_value_surrogate: p-value against "surrogate", had there been no other verification; None if uncalibrated.
    """

    factor: float
    p_value: float | None
    p_value_surrogate: float | None


VERDICT_FORMAT = 1
"""The number of the format of a verdict's JSON object; a record without a number has this format."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """The decision about one suspect, with everything that it rests on.

    Attributes:
        suspect: the suspect that was asked.
        nonce: hexadecimal digits that determine the order of the questions.
        examination: the facts.
        evidence: the evidence against each null hypothesis; empty if the fingerprint is not calibrated.
        decision: the outcome that the rule derives from facts and evidence.
        findings: what else the examination shows, for information.
        warnings: sentences on what weakens the evidence.
        earlier: earlier verifications in the ledger; None if no ledger is kept.
        occasion: date, releases, contract and case; None in records of earlier releases.
        containment: how the suspect was contained while it answered; None if nobody was asked.
        service: how the service was asked; None if the suspect is no service, or nobody was asked.
    """

    suspect: Suspect
    nonce: str
    examination: Examination
    evidence: Mapping[Null, Evidence] = field(repr=False)
    decision: Decision
    findings: tuple[Finding, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()
    earlier: SeenBefore | None = None
    occasion: Occasion | None = None
    containment: Containment | None = None
    service: Served | None = None

    def __repr__(self) -> str:
        decision, p = self.decision, self.decision.p_value
        told = "uncalibrated" if p is None else f"p = {p:.3g}"
        score = f"{decision.score.value} {decision.value:.3g}"
        return f"Verdict({decision.verdict}, {visible(self.suspect.name)}, {score}, {told})"

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers, in the order asked."""
        return tuple(self.examination.transcript)

    @property
    def caeacc(self) -> CAEAcc:
        """CAEAcc over all examples that were asked."""
        return self.examination.caeacc

    @property
    def benign_accuracy(self) -> float:
        """Accuracy on the benign probes that were asked, 0 to 1."""
        return self.examination.benign_accuracy

    @property
    def benign_range(self) -> tuple[float, float] | None:
        """Lowest and highest accuracy of the calibration references on the same probes; None if uncalibrated."""
        return self.examination.circumstances.benign_range

    @property
    def queries(self) -> dict[str, int]:
        """Number of queries of each kind, repeats included."""
        return count_queries(self.examination.transcript.questions)

    @property
    def nondeterministic(self) -> int:
        """Number of repeated images that got another answer."""
        return self.examination.answers.changed

    @property
    def unanswered(self) -> int:
        """Refusals and answers that are not a number, repeats included."""
        return self.examination.transcript.unanswered

    @property
    def evasion(self) -> tuple[str, ...]:
        """Signs that the suspect answers the examiner differently from its customers, in sentences."""
        return self.examination.circumstances.evasion

    @property
    def behind(self) -> ModelsBehind | None:
        """How many models of which kinds the verdict rests on; None if uncalibrated."""
        calibration = self.examination.subject.calibration
        return None if calibration is None else calibration.behind()

    @property
    def sequential(self) -> SequentialEvidence | None:
        """What the sequential mode by an e-process saw; None in other modes."""
        return self.examination.sequential

    @property
    def path(self) -> PathEvidence | None:
        """What the sequential mode by path ranks saw; None in other modes."""
        return self.examination.path

    @property
    def repeated(self) -> Repeated | None:
        """What earlier verifications of the suspect cost; None if p was not multiplied."""
        factor = self.examination.options.factor
        if factor == 1:
            return None
        once = {null: found.p_once for null, found in self.evidence.items()}
        return Repeated(factor=factor, p_value=once.get("independent"), p_value_surrogate=once.get("surrogate"))

    def finding(self, key: str) -> Any:  # noqa: ANN401 - as JSON holds it
        """Return the value of the finding that JSON calls ``key``.

        Raises:
            KeyError: there is none.
        """
        return {finding.key: finding.value for finding in self.findings}[key]

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: the verdict as ``cae verify --json`` prints it."""
        decision, caeacc, subject = self.decision, self.caeacc, self.examination.subject
        further = {finding.key: finding.value for finding in self.findings if not finding.top_level}
        further = {key: value for key, value in further.items() if value is not None}
        return {
            "format": VERDICT_FORMAT,
            "wording": WORDING,
            "verdict": decision.verdict,
            "reason": decision.reason,
            "remedy": decision.remedy,
            "weak": decision.weak,
            "extrapolated": decision.extrapolated,
            "score": {"name": decision.score.value, "value": decision.value},
            "threshold": {"value": decision.threshold, "provenance": decision.origin},
            "p_value": decision.p_value,
            "p_value_surrogate": decision.p_value_surrogate,
            "standing": decision.sides,
            "caeacc": caeacc.value,
            "matches": caeacc.matches,
            "asked": caeacc.asked,
            "interval": (caeacc.low, caeacc.high),
            **{finding.key: finding.value for finding in self.findings if finding.top_level},
            "benign_accuracy": self.benign_accuracy,
            "benign_range": self.benign_range,
            "queries": self.queries,
            "nondeterministic": self.nondeterministic,
            "unanswered": self.unanswered,
            "evasion": self.evasion,
            "warnings": self.warnings,
            "calibration": None if self.behind is None else {**vars(self.behind), "sha256": subject.content_sha256},
            "sequential": self.sequential,
            **({} if self.path is None else {"path": self.path}),
            **({} if self.repeated is None else {"repeated": self.repeated}),
            "earlier": self.earlier,
            "containment": self.containment,
            **({} if self.service is None else {"service": self.service}),
            **({"attested": False} if self.examination.options.recorded else {}),
            "suspect": self.suspect,
            "fingerprint": {"id": subject.fingerprint.id, "sha256": subject.sha256},
            "nonce": self.nonce,
            **({} if self.occasion is None else self.occasion.stated()),
            "options": self.examination.options,
            "answers": self.answers,
            **({"findings": further} if further else {}),
        }
