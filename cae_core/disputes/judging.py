"""Judging a claim: the suspect is asked about a regenerated fingerprint; its rank among the judge's references decides.

*upheld*: p times the number of seals is at most the rate, and the seal is provably older than the suspect. With
control sources of the judge's, p is the larger one of the rank among references and the rank among sources. *rejected*:
p times the number of seals is larger. *cannot judge*: whatever makes neither of the two fair, with what would help; a
suspect that scores below every copy that the judge knows is neither upheld as one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias, cast

from cae_core import clock
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.standing import Standing
from cae_core.containment.record import UNCONTAINED, Containment
from cae_core.disputes.regeneration import Regeneration, find_known
from cae_core.errors import PoolError, VerdictError
from cae_core.fingerprint.questions import MIN_BENIGN, MIN_EXAMPLES, asking_order, queries_for_examples
from cae_core.models import Model
from cae_core.pool.manifest import PoolMember
from cae_core.progress import StageProgress, silent
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.score import Score
from cae_core.verification.decision import NEITHER_KIND, NOT_PROVEN, reached_by
from cae_core.verification.evidence import Evidence
from cae_core.verification.examination import Examination
from cae_core.verification.options import VerificationOptions
from cae_core.verification.recorder import Recorder, rows_of
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from cae_core.verification.wording import WORDING

__all__ = [
    "LEAST_REFERENCES",
    "DatedEvidence",
    "Judgement",
    "JudgementOutcome",
    "check_seals",
    "controls_needed",
    "judge_claim",
    "judge_unasked",
    "judge_verdict",
    "references_needed",
    "refuse_known_file",
]

JudgementOutcome: TypeAlias = Literal["upheld", "rejected", "cannot judge"]

LEAST_REFERENCES = 19
"""References without which nothing is judged, whatever the rate."""


@dataclass(frozen=True, kw_only=True)
class DatedEvidence:
    """What is proven about who was first.

    Attributes:
        sealed_at: verified time of the seal, with its time zone; None: it was not dated.
        suspect_since: the earliest time at which the suspect is proven to have existed; None: not known.
        authority: who vouches for the seal's time.
    """

    sealed_at: datetime | None = None
    suspect_since: datetime | None = None
    authority: str = ""

    def check(self, now: datetime) -> None:
        """Refuse a time that has not come yet: nothing can be proven to have existed then.

        Args:
            now: the present time, with its time zone.

        Raises:
            VerdictError: the suspect is said to exist since a time after ``now``.
        """
        if self.suspect_since is not None and self.suspect_since > now:
            raise VerdictError(
                f"The suspect is said to exist since {self.suspect_since.isoformat()}, and it is only "
                f"{now.isoformat()}. Give the earliest time at which it is proven to have existed (--suspect-since)."
            )

    def doubt(self) -> tuple[str, str] | None:
        """Return why the direction is not proven and what would prove it; None where it is."""
        if self.sealed_at is None:
            return (
                "direction not proven: the seal is not dated, and the claimed source may be derived from the suspect",
                "Give the seal's timestamp (--timestamp and --tsa-certificate).",
            )
        if self.suspect_since is None:
            return (
                "direction not proven: nobody has shown since when the suspect has existed",
                "Give the earliest date at which it is proven to have existed (--suspect-since).",
            )
        if self.sealed_at >= self.suspect_since:
            sealed, since = self.sealed_at.isoformat(), self.suspect_since.isoformat()
            return (
                f"direction not proven: the seal dates from {sealed}, and the suspect existed at {since}",
                "Only a seal that is older than the suspect proves which of the two came first.",
            )
        return None

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        return {**vars(self), "authority": self.authority or None, "proven": self.doubt() is None}


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What is judged about one suspect.

    Attributes:
        outcome: ``upheld``, ``rejected`` or ``cannot judge``.
        reason: the reason for the outcome, in one sentence.
        remedy: what would let it be judged, in one sentence; empty otherwise.
        p_value: by rank among the references, with control sources the larger one of that and the rank among sources;
            None where the suspect was not asked.
        p_adjusted: p_value times the number of seals, at most 1.
        fpr: requested rate of false accusations.
        seals: number of seals that the claimant has made, N.
        references: number of the judge's calibration references, r.
        needed: number of references that the rate takes once p is multiplied.
        controls: number of the judge's control sources, m, if the larger p of both ranks counts; None if there are
            none.
        controls_needed: number of control sources that the rate takes once p is multiplied.
        attested: whether the judge asked the suspect.
        evidence: what is proven about who was first.
        verdict: verdict of the judge's own verification; None if the suspect was not asked.
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
    controls: int | None = None
    controls_needed: int | None = None
    attested: bool = False
    evidence: DatedEvidence
    verdict: Verdict | None = field(default=None, repr=False)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        told: dict[str, object] = {"wording": WORDING, **vars(self)}
        told["verification"] = self.verdict
        del told["verdict"]
        if self.controls is None:
            del told["controls"], told["controls_needed"]
        return told


def check_seals(seals: int) -> None:
    """Refuse a number of seals below 1.

    Raises:
        VerdictError: it is.
    """
    if seals < 1:
        raise VerdictError(f"The number of declared seals counts this one, so it must be at least 1; found {seals}.")


def references_needed(fpr: float, seals: int) -> int:
    """Return the least r with seals / (r + 1) <= fpr, and at least 19.

    Example:
        >>> references_needed(0.05, 1), references_needed(0.05, 3), references_needed(0.01, 1)
        (19, 59, 99)

    Raises:
        OptionError: the rate is not in (0, 1).
        VerdictError: fewer seals than one.
    """
    return max(LEAST_REFERENCES, controls_needed(fpr, seals))


def controls_needed(fpr: float, seals: int) -> int:
    """Return the least m with seals / (m + 1) <= fpr.

    Example:
        >>> controls_needed(0.05, 1), controls_needed(0.05, 3), controls_needed(0.25, 1)
        (19, 59, 3)

    Raises:
        OptionError: the rate is not in (0, 1).
        VerdictError: fewer seals than one.
    """
    check_seals(seals)
    models_needed(fpr)  # refuses a rate outside (0, 1)
    return math.ceil(seals / Fraction(str(fpr))) - 1


def judge_unasked(
    *,
    references: int,
    fpr: float,
    seals: int,
    dated: DatedEvidence,
    controls: int | None = None,
    examples: int = 0,
    max_queries: int | None = None,
) -> Judgement | None:
    """Return the judgement that is certain before anything is made or asked; None where there is none.

    Args:
        references: the judge's.
        fpr: the rate.
        seals: how many the claimant has made.
        dated: who was first.
        controls: the judge's control sources; None: he judges without any.
        examples: of each source, as many as are wanted.
        max_queries: the most that the suspect may be asked.

    Raises:
        OptionError: the rate is not in (0, 1).
        VerdictError: fewer seals than one.
    """
    needed = references_needed(fpr, seals)
    among_sources = None if controls is None else controls_needed(fpr, seals)
    found = _too_few(references, needed, fpr=fpr, seals=seals)
    if found is None and controls is not None and among_sources is not None:
        found = _too_few_controls(controls, among_sources, fpr=fpr, seals=seals)
        found = found or _too_small(max_queries, controls, examples)
    if found is None:
        return None
    return Judgement(
        outcome="cannot judge",
        reason=found[0],
        remedy=found[1],
        fpr=fpr,
        seals=seals,
        references=references,
        needed=needed,
        controls=controls,
        controls_needed=among_sources,
        evidence=dated,
    )


def _too_few(references: int, needed: int, *, fpr: float, seals: int) -> tuple[str, str] | None:
    """Return why so many references cannot judge, and what would help; None where they can."""
    if references >= needed:
        return None
    if references < LEAST_REFERENCES:
        reason = f"{references} references are fewer than the {LEAST_REFERENCES} that every judgement needs"
    else:
        reason = f"{references} references are too few for an error rate of {fpr:g}{_multiplied(seals)}"
    return reason, f"Add references with the role calibrate until there are {needed}."


def _too_few_controls(controls: int, needed: int, *, fpr: float, seals: int) -> tuple[str, str] | None:
    if controls >= needed:
        return None
    reason = f"{controls} control sources are too few for an error rate of {fpr:g}{_multiplied(seals)}"
    return reason, f"Train control sources by the claimant's recipe until there are {needed} (--control)."


def _multiplied(seals: int) -> str:
    return f" when p is multiplied by {seals} seals" if seals > 1 else ""


def _too_small(max_queries: int | None, controls: int, examples: int) -> tuple[str, str] | None:
    """Return why the sealed budget does not do for all sources; None where it does, or there is none."""
    least = queries_for_examples((1 + controls) * min(MIN_EXAMPLES, examples), MIN_BENIGN)
    if max_queries is None or max_queries >= least:
        return None
    return (
        f"the seal allows {max_queries} queries, and {controls} control sources and the claimed source take {least}",
        "Judge with fewer control sources, as far as the rate allows, or by references alone.",
    )


def judge_claim(
    regeneration: Regeneration,
    suspect: Model,
    *,
    named: Suspect,
    seals: int,
    dated: DatedEvidence = DatedEvidence(),
    max_queries: int | None = None,
    claimed_accuracy: float | None = None,
    containment: Containment = UNCONTAINED,
    progress: StageProgress = silent,
) -> Judgement:
    """Ask the suspect about the regenerated fingerprint, and judge.

    Args:
        regeneration: see `regenerate`; its calibration says the rate.
        suspect: opened by the judge.
        named: who that is.
        seals: how many seals the claimant has made; p is multiplied by their number.
        dated: who was first.
        max_queries: the most that the suspect may be asked.
        claimed_accuracy: accuracy that the suspect's owner claims, 0 to 1; None: no claim.
        containment: what stands around the suspect; it is recorded and decides nothing.
        progress: called with the queries done and in total.

    Raises:
        PoolError: the suspect is one of the judge's models, converted or copied.
        VerdictError: fewer seals than one, or the suspect is to have existed in the future.
        CaeError: see `verify`.
    """
    dated.check(clock.utc_now())
    fpr, references = regeneration.calibration.fpr, len(regeneration.calibration.references)
    controls = regeneration.fingerprint.controls if regeneration.subject.asks_controls else None
    unasked = judge_unasked(references=references, fpr=fpr, seals=seals, dated=dated, controls=controls)
    if unasked is not None:
        return unasked
    refuse_known_file(named, {known.sha256: known.member for known in regeneration.everyone})
    options = VerificationOptions(max_queries=max_queries, claimed_accuracy=claimed_accuracy)
    recorder = Recorder(suspect)
    subject = regeneration.subject
    verdict = verify(
        recorder,
        subject,
        named=named,
        options=options,
        nonce=regeneration.nonce,
        refuse_known=False,  # his own models are told apart below, and refused in a judge's words
        containment=containment,
        progress=progress,
    )
    questions = verdict.examination.transcript.questions
    put = [questions[place] for place in asking_order(questions)]
    outputs, rows = recorder.outputs(), rows_of(subject.fingerprint, put)
    found = None if outputs is None else find_known(regeneration.everyone, rows, outputs)
    if found is not None:
        raise PoolError(_is_known(named, found.member.path))
    return judge_verdict(verdict, fpr=fpr, seals=seals, dated=dated)


def refuse_known_file(named: Suspect, known: Mapping[str, PoolMember]) -> None:
    """Refuse a suspect whose file is one of the judge's models, by SHA-256.

    Raises:
        PoolError: it is.
    """
    if named.sha256 in known:
        raise PoolError(_is_known(named, known[named.sha256].path))


def _is_known(named: Suspect, member: Path) -> str:
    return (
        f"{named.name}: the suspect is {member} of the judge's pool, copied or converted. A judge's models must "
        "have nothing to do with either party. Remove it and judge again."
    )


def judge_verdict(verdict: Verdict, *, fpr: float, seals: int, dated: DatedEvidence) -> Judgement:
    """Judge by what the suspect has answered.

    Args:
        verdict: by a calibrated regeneration.
        fpr: the rate.
        seals: how many seals the claimant has made; p is multiplied by their number.
        dated: who was first.
    """
    found, controls = verdict.evidence["independent"], verdict.examination.controls
    p = cast("Fraction", verdict.examination.exact_p_value)  # 3 times 1/60 is to be 0.05
    adjusted = min(Fraction(1), seals * p)
    significant = adjusted <= Fraction(str(fpr))
    told = _rank_in_words(verdict.examination, found, (float(p), float(adjusted)), seals=seals)
    outcome, reason, remedy = _outcome(verdict.examination, dated, told, significant=significant)
    few = _too_small_a_group(_standing_of(verdict.examination), fpr=fpr, seals=seals) if controls is None else None
    if outcome == "rejected" and few is not None:
        outcome, reason, remedy = "cannot judge", f"{few[0]} ({told})", few[1]
    return Judgement(
        outcome=outcome,
        reason=reason,
        remedy=remedy,
        p_value=float(p),
        p_adjusted=float(adjusted),
        fpr=fpr,
        seals=seals,
        references=next(rank.models for rank in found.ranks if rank.null == NullHypothesis.REFERENCES),
        needed=references_needed(fpr, seals),
        controls=None if controls is None else controls.sources,
        controls_needed=None if controls is None else controls_needed(fpr, seals),
        evidence=dated,
        verdict=verdict,
        attested=True,
    )


def _too_small_a_group(standing: Standing, *, fpr: float, seals: int) -> tuple[str, str] | None:
    """Return why only groups of too few references keep from upholding, and what would help; None where others do."""
    blocking = [ranking for ranking in standing.references if seals * ranking.exact_p_value > Fraction(str(fpr))]
    needed = references_needed(fpr, seals)
    if not blocking or any(len(ranking) >= needed for ranking in blocking):
        return None
    fewest = min(blocking, key=len)
    reason = f"{len(fewest)} references {fewest.among} are too few for an error rate of {fpr:g}{_multiplied(seals)}"
    return reason, f"Add references {fewest.among} with the role calibrate until there are {needed}."


def _standing_of(examination: Examination) -> Standing:
    return cast("Standing", examination.standing)  # there is one: the regeneration is calibrated


def _rank_in_words(examination: Examination, found: Evidence, p: tuple[float, float], *, seals: int) -> str:
    standing = _standing_of(examination)
    name = "the likelihood-ratio score" if standing.score == Score.LLR else standing.score.words
    times = f", multiplied by {seals} seals {p[1]:.4f}" if seals > 1 else ""
    sides = examination.sides
    low = f", and {sides.low}" if sides is not None and sides.low else ""
    return f"{name} {standing.value:.2f} is {reached_by(found, standing.among)}, p = {p[0]:.4f}{times}{low}"


def _outcome(
    examination: Examination, dated: DatedEvidence, found: str, *, significant: bool
) -> tuple[JudgementOutcome, str, str]:
    """Return outcome, reason and remedy; ``found`` is the rank in words."""
    circumstances, sides = examination.circumstances, examination.sides
    for doubt in circumstances.doubts:
        if ("surrogate" if significant else "independent") in doubt.blocks:
            reason = doubt.reason if doubt.judge_alone else f"{doubt.reason} ({found})"
            return "cannot judge", reason, doubt.judge_remedy
    if not significant:
        return "rejected", f"{found}; {NOT_PROVEN}", ""
    if sides is not None and sides.fits_neither:
        return "cannot judge", f"{found}, so the suspect fits neither kind", NEITHER_KIND
    if circumstances.shared_ancestor:
        reason = f"{found}{circumstances.ancestry}"
        remedy = "Add references with the role calibrate that start from the same pretrained weights."
        return "cannot judge", reason, remedy
    unproven = dated.doubt()
    if unproven is not None:
        return "cannot judge", f"{unproven[0]} ({found})", unproven[1]
    return "upheld", f"{found}, and the seal is older than the suspect", ""
