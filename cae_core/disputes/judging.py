"""Judging a claim: the suspect is asked about a regenerated fingerprint; its rank among the judge's references decides.

*upheld*: p times the number of seals is at most the rate, and the seal is provably older than the suspect. *rejected*:
p times the number of seals is larger. *cannot judge*: whatever makes neither of the two fair, with what would help; a
suspect that scores below every copy that the judge knows is neither upheld as one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from cae_core.disputes.recorder import Recorder
from cae_core.disputes.regeneration import Regeneration, find_known
from cae_core.errors import PoolError, VerdictError
from cae_core.fingerprint.answers import first_answers
from cae_core.models import Model
from cae_core.pool.manifest import PoolMember
from cae_core.statistics.ranks import models_needed
from cae_core.verification.decision import NEITHER_KIND, Circumstances, sides_of
from cae_core.verification.verdict import Answer, Verdict
from cae_core.verification.verify import VerificationOptions, circumstances_of, verify

__all__ = [
    "LEAST_REFERENCES",
    "DatedEvidence",
    "Judgement",
    "JudgementOutcome",
    "check_seals",
    "judge_claim",
    "judge_unasked",
    "references_needed",
    "refuse_known_file",
]

JudgementOutcome: TypeAlias = Literal["upheld", "rejected", "cannot judge"]

LEAST_REFERENCES = 19
"""References without which nothing is judged, whatever the rate."""

_ATTEST = "Have the suspect's owner attest how it is served, or ask it through another channel, and judge again."


@dataclass(frozen=True, kw_only=True)
class DatedEvidence:
    """What is proven about who was first.

    Attributes:
        sealed_at: verified time of the seal, with its time zone; None: it was not dated.
        authority: who vouches for it.
        suspect_since: the earliest time at which the suspect is proven to have existed; None: not known.
    """

    sealed_at: datetime | None = None
    authority: str = ""
    suspect_since: datetime | None = None

    def doubt(self) -> tuple[str, str] | None:
        """Return why the direction is not proven and what would prove it; None where it is."""
        if self.sealed_at is None:
            return (
                "direction not proven: the seal is not dated, and the claimed source may be derived from the suspect",
                "Give the seal's timestamp (--timestamp and --tsa-certificate).",
            )
        if self.suspect_since is None:
            return (
                "direction not proven: nothing says since when the suspect exists",
                "Give the earliest date at which it is proven to have existed (--suspect-since).",
            )
        if self.sealed_at >= self.suspect_since:
            sealed, since = self.sealed_at.isoformat(), self.suspect_since.isoformat()
            return (
                f"direction not proven: the seal is of {sealed} and the suspect existed at {since}",
                "Only a seal that is older than the suspect proves which of the two came first.",
            )
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        times = {"sealed_at": self.sealed_at, "suspect_since": self.suspect_since}
        told = {name: None if time is None else time.isoformat() for name, time in times.items()}
        return {**told, "authority": self.authority or None, "proven": self.doubt() is None}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is judged about one suspect.

    Attributes:
        outcome: ``upheld``, ``rejected`` or ``cannot judge``.
        reason: in one sentence.
        remedy: what would let it be judged, in one sentence; empty otherwise.
        p_value: by rank among the references; None where the suspect was not asked.
        p_adjusted: times the number of seals, at most 1.
        fpr: the rate.
        seals: their number, N.
        references: the judge's calibration references, r.
        needed: how many the rate takes after multiplying.
        evidence: who was first.
        verdict: of the judge's own verification; None where the suspect was not asked.
        attested: whether the judge asked the suspect himself.
    """

    outcome: JudgementOutcome
    reason: str
    remedy: str = ""
    p_value: float | None = None
    p_adjusted: float | None = None
    fpr: float
    seals: int
    references: int
    needed: int
    evidence: DatedEvidence
    verdict: Verdict | None = field(default=None, repr=False)
    attested: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        names = ("outcome", "reason", "remedy", "p_value", "p_adjusted", "fpr", "seals", "references", "needed")
        return {
            **{name: getattr(self, name) for name in names},
            "attested": self.attested,
            "evidence": self.evidence.as_dict(),
            "verification": None if self.verdict is None else self.verdict.as_dict(),
        }


def check_seals(seals: int) -> None:
    """Refuse a number of seals below 1.

    Raises:
        VerdictError: it is.
    """
    if seals < 1:
        raise VerdictError(f"The claimant declares all seals, this one included: at least 1; found {seals}.")


def references_needed(fpr: float, seals: int) -> int:
    """Return the least r with seals / (r + 1) <= fpr, and at least 19.

    Example:
        >>> references_needed(0.05, 1), references_needed(0.05, 3), references_needed(0.01, 1)
        (19, 59, 99)

    Raises:
        OptionError: the rate is not in (0, 1).
        VerdictError: fewer seals than one.
    """
    check_seals(seals)
    models_needed(fpr)  # refuses a rate outside (0, 1)
    return max(LEAST_REFERENCES, math.ceil(seals / Fraction(str(fpr))) - 1)


def judge_unasked(*, references: int, fpr: float, seals: int, evidence: DatedEvidence) -> Judgement | None:
    """Return the judgement that is certain before anybody is asked: too few references; None where they suffice.

    Raises:
        OptionError: the rate is not in (0, 1).
        VerdictError: fewer seals than one.
    """
    needed = references_needed(fpr, seals)
    if references >= needed:
        return None
    if references < LEAST_REFERENCES:
        reason = f"{references} references are fewer than the {LEAST_REFERENCES} that any judgement takes"
    else:
        times = f" after multiplying by {seals} seals" if seals > 1 else ""
        reason = f"{references} references cannot support a rate of {fpr:g}{times}"
    return Judgement(
        outcome="cannot judge",
        reason=reason,
        remedy=f"Add references with the role calibrate until there are {needed}.",
        fpr=fpr,
        seals=seals,
        references=references,
        needed=needed,
        evidence=evidence,
    )


def judge_claim(
    regeneration: Regeneration,
    suspect: Model,
    *,
    suspect_name: str,
    suspect_sha256: str,
    seals: int,
    evidence: DatedEvidence = DatedEvidence(),
    max_queries: int | None = None,
    claimed_accuracy: float | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Judgement:
    """Ask the suspect about the regenerated fingerprint, and judge.

    Args:
        regeneration: see `regenerate`; its calibration says the rate.
        suspect: opened by the judge.
        suspect_name: for the record.
        suspect_sha256: of its file, else of its name.
        seals: how many seals the claimant has made; p is multiplied by their number.
        evidence: who was first.
        max_queries: the most that the suspect may be asked.
        claimed_accuracy: of the suspect, by its owner, 0 to 1.
        progress: called with the queries done and in total.

    Raises:
        PoolError: the suspect is one of the judge's models, converted or copied.
        VerdictError: fewer seals than one.
        CaeError: see `verify`.
    """
    fpr, references = regeneration.calibration.fpr, len(regeneration.calibration.references)
    unasked = judge_unasked(references=references, fpr=fpr, seals=seals, evidence=evidence)
    if unasked is not None:
        return unasked
    refuse_known_file(suspect_name, suspect_sha256, {known.sha256: known.member for known in regeneration.known})
    options = VerificationOptions(max_queries=max_queries, claimed_accuracy=claimed_accuracy)
    recorder = Recorder(suspect)
    verdict = verify(
        recorder,
        regeneration.fingerprint,
        suspect_name=suspect_name,
        suspect_sha256=suspect_sha256,
        calibration=regeneration.calibration,
        options=options,
        nonce=regeneration.nonce,
        progress=progress,
    )
    outputs = recorder.outputs()
    found = None if outputs is None else find_known(regeneration.known, _rows(regeneration, verdict.answers), outputs)
    if found is not None:
        raise PoolError(_is_known(suspect_name, found.member.path))
    return _decided(regeneration, verdict, options, seals=seals, evidence=evidence)


def refuse_known_file(suspect: str, sha256: str, known: Mapping[str, PoolMember]) -> None:
    """Refuse a suspect whose file is one of the judge's models, by SHA-256.

    Raises:
        PoolError: it is.
    """
    if sha256 in known:
        raise PoolError(_is_known(suspect, known[sha256].path))


def _rows(regeneration: Regeneration, answers: Sequence[Answer]) -> list[int]:
    """Return of each answer its row in the outputs of the judge's models: examples, probes, errors of the source."""
    n, q = len(regeneration.fingerprint), len(regeneration.fingerprint.probe_images)
    first = {"fingerprint": 0, "benign": n, "akh": n + q}
    return [answer.question.index + first[answer.question.kind] for answer in answers]


def _is_known(suspect: str, member: Path) -> str:
    return (
        f"{suspect}: the suspect is {member} of the judge's pool, copied or converted. A judge's models have nothing "
        "to do with either party; remove it and judge again."
    )


def _decided(
    regeneration: Regeneration,
    verdict: Verdict,
    options: VerificationOptions,
    *,
    seals: int,
    evidence: DatedEvidence,
) -> Judgement:
    calibration, fingerprint = regeneration.calibration, regeneration.fingerprint
    labels = np.array([answer.label for answer in verdict.answers], np.int64)
    answers = first_answers([answer.question for answer in verdict.answers], labels)
    circumstances = circumstances_of(fingerprint, answers, calibration=calibration, options=options)
    matches = answers.given == fingerprint.labels[answers.examples]
    standing = calibration.standing(fingerprint, answers.examples, matches)
    sides = sides_of(standing)
    as_high, r = sides.as_high, sides.references
    p = Fraction(1 + as_high, r + 1)  # exact: 3 times 1/60 is to be 0.05
    adjusted = min(Fraction(1), seals * p)
    name = "CAEAcc" if standing.score == "caeacc" else "the likelihood-ratio score"
    found = f"{name} {standing.value:.2f} is reached by {as_high} of {r} independent models, p = {float(p):.4f}" + (
        f", times {seals} seals {float(adjusted):.4f}" if seals > 1 else ""
    )
    if sides.low:
        found += f", and {sides.low}"
    significant = adjusted <= Fraction(str(calibration.fpr))
    neither_kind = significant and sides.below_all_copies
    outcome, reason, remedy = _outcome(
        circumstances, evidence, found, significant=significant, neither_kind=neither_kind
    )
    return Judgement(
        outcome=outcome,
        reason=reason,
        remedy=remedy,
        p_value=float(p),
        p_adjusted=float(adjusted),
        fpr=calibration.fpr,
        seals=seals,
        references=r,
        needed=references_needed(calibration.fpr, seals),
        evidence=evidence,
        verdict=verdict,
        attested=True,
    )


def _outcome(
    circumstances: Circumstances, evidence: DatedEvidence, found: str, *, significant: bool, neither_kind: bool
) -> tuple[JudgementOutcome, str, str]:
    """Return outcome, reason and remedy; ``found`` is the rank in words, ``neither_kind`` that no copy is as low."""
    if circumstances.benign_reason is not None:
        remedy = "Check how the suspect is asked (its contract), then judge again."
        return "cannot judge", circumstances.benign_reason, remedy
    if circumstances.extrapolated is not None:
        remedy = "Add references as accurate as the suspect with the role calibrate."
        return "cannot judge", f"{circumstances.extrapolated} ({found})", remedy
    if neither_kind:
        return "cannot judge", f"{found}, so that it fits neither kind", NEITHER_KIND
    if significant:
        return _significant(circumstances, evidence, found)
    # answers that are withheld or drawn at random match less often, never more often
    if circumstances.evasion:
        return "cannot judge", f"possible evasion: {circumstances.evasion[0]} ({found})", _ATTEST
    return "rejected", f"{found}; no derivation was found, which does not prove independence", ""


def _significant(
    circumstances: Circumstances, evidence: DatedEvidence, found: str
) -> tuple[JudgementOutcome, str, str]:
    if circumstances.shared_ancestor:
        reason = (
            f"{found}; it is derived from the source, or shares its ancestor ({circumstances.shared_ancestor}), which "
            "the references do not represent"
        )
        remedy = "Add references that descend from the same weights with the role calibrate."
        return "cannot judge", reason, remedy
    doubt = evidence.doubt()
    if doubt is not None:
        return "cannot judge", f"{doubt[0]} ({found})", doubt[1]
    return "upheld", f"{found}, and the seal is older than the suspect", ""
