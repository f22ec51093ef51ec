"""The verdict, always with its evidence."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cae_core.caeacc import CAEAcc
from cae_core.questions import Question

__all__ = ["LITERATURE_THRESHOLD", "Answer", "Decision", "Verdict", "decide_uncalibrated"]

LITERATURE_THRESHOLD = 0.75
"""CAEAcc from which the literature calls a suspect a surrogate. It carries no error rate and does not travel."""


@dataclass(frozen=True)
class Answer:
    """A question and the label that the suspect gave, -1 for none."""

    question: Question
    label: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        question = self.question
        return {"kind": question.kind, "index": question.index, "repeat": question.repeat, "label": self.label}


@dataclass(frozen=True)
class Decision:
    """What the rule says.

    Attributes:
        verdict: ``surrogate``, ``independent`` or ``inconclusive``.
        reason: in one sentence.
        threshold: CAEAcc that was asked for.
        provenance: where the threshold comes from: ``rank``, ``parametric`` or ``literature``.
        p_value: None where uncalibrated.
        weak: a surrogate whose interval reaches below the threshold.
    """

    verdict: Literal["surrogate", "independent", "inconclusive"]
    reason: str
    threshold: float
    provenance: Literal["rank", "parametric", "literature"]
    p_value: float | None = None
    weak: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision about one suspect, with everything that it rests on.

    Attributes:
        decision: see `Decision`.
        caeacc: over all asked examples.
        benign_accuracy: on the benign probes.
        queries: how many of each kind, repeats included.
        nondeterministic: how many repeated images got another answer.
        unanswered: refusals and answers that are not a number, repeats included.
        suspect: ``name`` and ``sha256``.
        fingerprint: ``sha256`` of the file and ``id``.
        nonce: hex, decides the order.
        answers: in the order asked.
    """

    decision: Decision
    caeacc: CAEAcc
    benign_accuracy: float
    queries: dict[str, int]
    nondeterministic: int
    unanswered: int
    suspect: dict[str, str]
    fingerprint: dict[str, str]
    nonce: str
    answers: tuple[Answer, ...] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as ``cae verify --json`` prints it."""
        return {
            "verdict": self.decision.verdict,
            "reason": self.decision.reason,
            "weak": self.decision.weak,
            "caeacc": self.caeacc.value,
            "matches": self.caeacc.matches,
            "asked": self.caeacc.asked,
            "interval": [self.caeacc.low, self.caeacc.high],
            "threshold": {"value": self.decision.threshold, "provenance": self.decision.provenance},
            "p_value": self.decision.p_value,
            "benign_accuracy": self.benign_accuracy,
            "queries": self.queries,
            "nondeterministic": self.nondeterministic,
            "unanswered": self.unanswered,
            "suspect": self.suspect,
            "fingerprint": self.fingerprint,
            "nonce": self.nonce,
            "answers": [answer.as_dict() for answer in self.answers],
        }


def decide_uncalibrated(caeacc: CAEAcc, *, benign_reason: str | None) -> Decision:
    """Decide by the literature's threshold, where the fingerprint carries no calibration.

    Args:
        caeacc: of the suspect.
        benign_reason: why the benign check failed, or None.
    """
    threshold = LITERATURE_THRESHOLD
    if benign_reason is not None:
        return Decision("inconclusive", benign_reason, threshold, "literature")
    if caeacc.value >= threshold:
        reason = f"CAEAcc {caeacc.value:.2f} reaches the literature's threshold {threshold}, which has no error rate"
        return Decision("surrogate", reason, threshold, "literature", weak=caeacc.low < threshold)
    reason = f"no evidence at the literature's threshold {threshold}, which has no error rate"
    return Decision("independent", reason, threshold, "literature")
