"""The verdict, always with its evidence."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cae_core.fingerprint.questions import Question
from cae_core.method.caeacc import CAEAcc

__all__ = ["Answer", "Decision", "Outcome", "Provenance", "RepeatedErrors", "SequentialEvidence", "Sides", "Verdict"]

Outcome: TypeAlias = Literal["surrogate", "independent", "inconclusive"]
Provenance: TypeAlias = Literal["rank", "parametric", "literature"]


@dataclass(frozen=True)
class Answer:
    """A question and the label that the suspect gave, -1 for none."""

    question: Question
    label: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        question = self.question
        return {"kind": question.kind, "index": question.index, "repeat": question.repeat, "label": self.label}


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Where the suspect stands among the calibration models of either kind, by the score that decides.

    Attributes:
        references: r, how many independent models there are.
        as_high: of them, those that score at least as high as the suspect.
        surrogates: r_S, how many known copies there are.
        as_low: of them, those that score at most as high as the suspect.
        exact: False in sequential mode: there the ends of the suspect's interval are compared, the lower one with the
            references and the upper one with the copies, so that these are the models that *may* score so.
    """

    references: int
    as_high: int
    surrogates: int
    as_low: int
    exact: bool = True

    @property
    def below_all_copies(self) -> bool:
        """Whether there are known copies and none scores as low as the suspect."""
        return self.surrogates > 0 and self.as_low == 0

    @property
    def high(self) -> str:
        """The references' side in words."""
        return f"{self.as_high} of {self.references} independent models {self._score(self.as_high)} as high"

    @property
    def low(self) -> str:
        """The copies' side in words; empty where none is known."""
        if not self.surrogates:
            return ""
        return f"{self.as_low} of {self.surrogates} known copies {self._score(self.as_low)} as low"

    @property
    def words(self) -> str:
        """Both sides in a clause; the references alone where no copy is known."""
        return f"{self.high}, and {self.low}" if self.low else self.high

    def _score(self, models: int) -> str:
        if not self.exact:
            return "may score"
        return "scores" if models == 1 else "score"

    def as_dict(self) -> dict[str, int]:
        """Return it as JSON holds it."""
        names = ("references", "as_high", "surrogates", "as_low")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the rule says.

    Attributes:
        verdict: ``surrogate``, ``independent`` or ``inconclusive``.
        reason: in one sentence.
        remedy: what would resolve an ``inconclusive``, in one sentence; empty otherwise.
        threshold: the least deciding score that speaks against the suspect by the references; None where no score
            does: they are too few for the rate, or match too often.
        provenance: where the threshold comes from: ``rank``, ``parametric`` or ``literature``.
        score: the one that decides: ``caeacc`` or ``llr``.
        value: the suspect's.
        p_value: the rank p-value against "independent": at most so often, on average over calibrations, does an
            independent model get one as small; None where uncalibrated.
        p_value_surrogate: the rank p-value against "surrogate", likewise; None where uncalibrated.
        extrapolated: the suspect's benign accuracy lies outside the calibration references'.
        weak: a surrogate by the literature's threshold whose interval reaches below it.
        sides: how many models of either kind score so; None where uncalibrated, and in records of before.
    """

    verdict: Outcome
    reason: str
    remedy: str = ""
    threshold: float | None
    provenance: Provenance
    score: str = "caeacc"
    value: float
    p_value: float | None = None
    p_value_surrogate: float | None = None
    extrapolated: bool = False
    weak: bool = False
    sides: Sides | None = None


@dataclass(frozen=True, kw_only=True)
class SequentialEvidence:
    """What the sequential mode saw.

    Attributes:
        examples: n, of the whole (chosen) fingerprint.
        k0: matches on all of them that an independent model may have.
        k1: matches on all of them that a surrogate has at least; None: this side was not asked.
        level_surrogate: false accusations that the e-process allows, beside those of k0.
        level_independent: likewise of the mirror.
        outcome: None where the budget ended first.
        interval: the 95 % confidence sequence of the fraction of matches on all n.
        trace: after each example: asked, matches, and log e of both sides; infinite where the count alone proves it.
    """

    examples: int
    k0: int
    k1: int | None
    level_surrogate: float
    level_independent: float
    outcome: Literal["surrogate", "independent"] | None
    interval: tuple[float, float]
    trace: tuple[tuple[int, int, float, float], ...] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it; null stands for an infinite log e."""
        names = ("asked", "matches", "log_e_surrogate", "log_e_independent")
        return {
            "examples": self.examples,
            "k0": self.k0,
            "k1": self.k1,
            "level_surrogate": self.level_surrogate,
            "level_independent": self.level_independent,
            "outcome": self.outcome,
            "interval": list(self.interval),
            "trace": [
                {name: value if math.isfinite(value) else None for name, value in zip(names, row, strict=True)}
                for row in self.trace
            ],
        }


@dataclass(frozen=True)
class RepeatedErrors:
    """On how many benign images that the source gets wrong the suspect gives its wrong label; it decides nothing.

    Attributes:
        matches: answers equal to the source's wrong label.
        asked: how many such images were asked, at least 1.
        p_value: the rank p-value against an independent model; None where uncalibrated.
        p_value_surrogate: the rank p-value against a surrogate; None likewise.
    """

    matches: int
    asked: int
    p_value: float | None = None
    p_value_surrogate: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision about one suspect, with everything that it rests on.

    Attributes:
        decision: see `Decision`.
        caeacc: over all asked examples.
        other_scores: by name, for information; they decide nothing.
        akh: repeated errors of the source, for information; None where none was asked.
        benign_accuracy: on the benign probes.
        benign_range: lowest and highest of the calibration references on the same probes; None where uncalibrated.
        queries: how many of each kind, repeats included.
        nondeterministic: how many repeated images got another answer.
        unanswered: refusals and answers that are not a number, repeats included.
        evasion: signs that the suspect does not answer as it does its customers, in sentences.
        warnings: what weakens the evidence, in sentences.
        calibration: how many models of which kinds stand behind it; None where uncalibrated.
        sequential: of the sequential mode; None otherwise.
        earlier: verifications of this suspect before, and how many of these examples it had been asked; None where no
            ledger is kept.
        suspect: ``name`` and ``sha256``.
        fingerprint: ``sha256`` of the file and ``id``.
        nonce: hex, decides the order.
        options: with which it was asked, so that it can be derived again.
        answers: in the order asked.
    """

    decision: Decision
    caeacc: CAEAcc
    other_scores: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    akh: RepeatedErrors | None = None
    benign_accuracy: float
    benign_range: tuple[float, float] | None = None
    queries: dict[str, int]
    nondeterministic: int
    unanswered: int
    evasion: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    calibration: dict[str, Any] | None = None
    sequential: SequentialEvidence | None = None
    earlier: dict[str, int] | None = None
    suspect: dict[str, str]
    fingerprint: dict[str, str]
    nonce: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    answers: tuple[Answer, ...] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as ``cae verify --json`` prints it."""
        decision = self.decision
        return {
            "verdict": decision.verdict,
            "reason": decision.reason,
            "remedy": decision.remedy,
            "weak": decision.weak,
            "extrapolated": decision.extrapolated,
            "score": {"name": decision.score, "value": decision.value},
            "threshold": {"value": decision.threshold, "provenance": decision.provenance},
            "p_value": decision.p_value,
            "p_value_surrogate": decision.p_value_surrogate,
            "standing": None if decision.sides is None else decision.sides.as_dict(),
            "caeacc": self.caeacc.value,
            "matches": self.caeacc.matches,
            "asked": self.caeacc.asked,
            "interval": [self.caeacc.low, self.caeacc.high],
            "other_scores": self.other_scores,
            "akh": None if self.akh is None else self.akh.as_dict(),
            "benign_accuracy": self.benign_accuracy,
            "benign_range": None if self.benign_range is None else list(self.benign_range),
            "queries": self.queries,
            "nondeterministic": self.nondeterministic,
            "unanswered": self.unanswered,
            "evasion": list(self.evasion),
            "warnings": list(self.warnings),
            "calibration": self.calibration,
            "sequential": None if self.sequential is None else self.sequential.as_dict(),
            "earlier": self.earlier,
            "suspect": self.suspect,
            "fingerprint": self.fingerprint,
            "nonce": self.nonce,
            "options": self.options,
            "answers": [answer.as_dict() for answer in self.answers],
        }
