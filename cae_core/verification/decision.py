"""The rule: from matches, calibration and checks to one of three outcomes, each with its reason.

``surrogate`` where the rank among the references gives p <= fpr, unless the suspect is unlike every known copy, too;
``independent`` where p is larger, and the rank among the surrogates gives p <= fnr; ``inconclusive`` otherwise. A rate
that the calibration models are too few for blocks its own side only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Standing, largest
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import LEAST_PARAMETRIC
from cae_core.statistics.unit import Unit
from cae_core.verification.circumstances import Circumstances
from cae_core.verification.evidence import Evidence, Null, Origin, Rank
from cae_core.verification.examination import Examination, Sides

__all__ = [
    "ASK_ALL",
    "LITERATURE_THRESHOLD",
    "NEITHER_KIND",
    "NOT_PROVEN",
    "Decision",
    "Outcome",
    "decide",
    "limited",
    "reached_by",
]

Outcome: TypeAlias = Literal["surrogate", "independent", "inconclusive"]

LITERATURE_THRESHOLD = 0.75
"""CAEAcc from which the literature calls a suspect a surrogate. It carries no error rate and does not travel."""

ASK_ALL = (
    "Ask all images at once, without --max-queries and --sequential. Nobody can then choose the order, so p is not "
    "multiplied."
)
"""What would help where earlier verifications of the suspect make p too large."""

NEITHER_KIND = (
    "Check how the suspect is asked (its contract). If that is right, calibrate with more kinds of models: references "
    "that were trained in other ways, in case the suspect is an honest model of another kind, and weaker copies, in "
    "case it is a weak copy."
)
"""What would help where a suspect scores above the references and below every known copy."""

NOT_PROVEN = "no evidence of derivation was found, which does not prove independence"
"""What a verdict *independent* says, and what it does not."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the rule says.

    Attributes:
        verdict: ``surrogate``, ``independent`` or ``inconclusive``.
        reason: the reason for the verdict, in one sentence.
        remedy: what would resolve an ``inconclusive``, in one sentence; empty otherwise.
        threshold: the least deciding score that speaks against the suspect by the references; None if no score does,
            because they are too few for the rate, or match too often.
        origin: where the threshold comes from: ``rank``, ``parametric`` or ``literature``.
        score: the score that decides: ``caeacc``, ``llr`` or ``adjusted``.
        value: the suspect's value of that score.
        p_value: the rank p-value against "independent": an independent model gets one as small at most so often, on
            average over calibrations; None if uncalibrated. It is multiplied for earlier verifications.
        p_value_surrogate: the rank p-value against "surrogate", multiplied in the same way; None if uncalibrated.
        extrapolated: whether the suspect's benign accuracy lies outside that of the calibration references.
        weak: whether the interval of a surrogate by the literature's threshold reaches below the threshold.
        sides: how many models of either kind score as extreme; None if uncalibrated, and in earlier records.
    """

    verdict: Outcome
    reason: str
    remedy: str
    threshold: float | None
    origin: Origin
    score: Score = Score.CAEACC
    value: float
    p_value: float | None = None
    p_value_surrogate: float | None = None
    extrapolated: bool = False
    weak: bool = False
    sides: Sides | None = None


def decide(examination: Examination, evidence: Mapping[Null, Evidence]) -> Decision:
    """Decide by the calibration models; by the literature's threshold where the fingerprint carries no calibration.

    Args:
        examination: of the suspect, all examples asked at once; see `cae_core.verification.sequential` for the other.
        evidence: see `evidence_of`; empty where uncalibrated.
    """
    calibration, standing, sides = examination.subject.calibration, examination.standing, examination.sides
    if calibration is None or standing is None or sides is None:
        return _by_the_literature(examination)
    asked, circumstances = len(examination.matches), examination.circumstances
    told = sides if circumstances.two_sided else None
    outcome, reason, remedy = limited(*_by_rank(calibration, standing, asked, told, evidence), circumstances)
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=_threshold(examination, calibration, standing),
        origin=evidence["independent"].origin,
        score=standing.score,
        value=standing.value,
        p_value=evidence["independent"].p_value,
        p_value_surrogate=evidence["surrogate"].p_value,
        extrapolated=circumstances.extrapolation is not None,
        sides=told,
    )


def _threshold(examination: Examination, calibration: Calibration, standing: Standing) -> float | None:
    """Return the least value that accuses, see `Decision.threshold`; of two ranks the larger of theirs."""
    controls, rate = examination.controls, calibration.fpr / examination.options.factor
    among_sources = None if controls is None else controls.threshold(rate)
    if controls is not None and controls.null != NullHypothesis.BOTH:
        return among_sources
    asked = len(examination.matches)
    among_references = standing.threshold(asked, rate=rate, parametric=calibration.parametric)
    return among_references if controls is None else largest((among_references, among_sources))


def limited(outcome: Outcome, reason: str, remedy: str, circumstances: Circumstances) -> tuple[Outcome, str, str]:
    """Return outcome, reason and remedy once the circumstances have had their say."""
    if outcome == "surrogate":
        reason += circumstances.ancestry
    for doubt in circumstances.doubts:
        if outcome in doubt.blocks:
            return "inconclusive", doubt.reason if doubt.alone else f"{doubt.reason} ({reason})", doubt.remedy
    if outcome != "inconclusive" and circumstances.extrapolation is not None:
        told = circumstances.extrapolation
        reason += f"; {told}" if circumstances.adjusted else f"; --allow-extrapolation accepts that {told}"
    return outcome, reason, remedy


def _by_the_literature(examination: Examination) -> Decision:
    caeacc, threshold = examination.caeacc, LITERATURE_THRESHOLD
    reached = caeacc.value >= threshold
    reason = (
        f"CAEAcc {caeacc.value:.2f} reaches the literature's threshold {threshold}, whose error rate is unknown"
        if reached
        else f"CAEAcc {caeacc.value:.2f} is below the literature's threshold {threshold}, whose error rate is unknown"
    )
    outcome, reason, remedy = limited("surrogate" if reached else "independent", reason, "", examination.circumstances)
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=threshold,
        origin="literature",
        value=caeacc.value,
        weak=outcome == "surrogate" and caeacc.low < threshold,
    )


def _by_rank(
    calibration: Calibration,
    standing: Standing,
    asked: int,
    sides: Sides | None,
    evidence: Mapping[Null, Evidence],
) -> tuple[Outcome, str, str]:
    """Return outcome, reason and remedy by the ranks; ``sides`` is None where copies cannot keep from accusing."""
    independent, surrogate = evidence["independent"], evidence["surrogate"]
    name, p, p_surrogate = standing.score.words, independent.p_value, surrogate.p_value
    if p <= calibration.fpr and sides is not None and sides.fits_neither:
        reason = (
            f"{name} {standing.value:.2f} is {_above(sides)} {_below_all(sides)} "
            f"(p = {p:.4f} for an independent model and {p_surrogate:.4f} for a copy)"
        )
        return "inconclusive", reason, NEITHER_KIND
    if p <= calibration.fpr:
        reason = _high(name, standing, independent) + _other_side_of_high(calibration, sides, p_surrogate)
        return "surrogate", reason, ""
    if p_surrogate <= calibration.fnr and independent.p_once > calibration.fpr:
        return "independent", _low(standing, surrogate, _other_side_of_low(sides, p)), ""
    return "inconclusive", *_between(calibration, standing, asked, evidence)


def _high(name: str, standing: Standing, evidence: Evidence) -> str:
    if evidence.origin == "parametric":
        return (
            f"{name} {standing.value:.2f} is higher than a beta-binomial model of the references allows "
            f"(p = {evidence.p_value:.4f})"
        )
    models = f"{reached_by(evidence, standing.among)}{standing.counted_as}"
    return f"{name} {standing.value:.2f} is {models} ({_p_in_words(evidence)})"


def _p_in_words(evidence: Evidence) -> str:
    average = (
        "; the error rate is an average over sources" if any(rank.null.asks_controls for rank in evidence.ranks) else ""
    )
    if evidence.p_value == evidence.p_once:
        return f"p = {evidence.p_value:.4f}{average}"
    return (
        f"p = {evidence.p_value:.4f}, which is {evidence.p_once:.4f} multiplied for earlier verifications of this "
        f"suspect{average}"
    )


def reached_by(evidence: Evidence, among: str = "") -> str:
    """Return in words how many independent models score as high, or how many sources are matched as often.

    Where both count, the one whose larger p decides is told first.

    Args:
        evidence: against "independent".
        among: which references these are, see `Standing.among`.
    """
    first = f"reached{_reached(evidence.ranks[0], among)}"
    if evidence.beside is None:
        return first
    equal = evidence.ranks[0].p_value == evidence.beside.p_value
    return f"{first}{'' if equal else ', whose p is the larger and counts,'} and{_reached(evidence.beside, among)}"


def _reached(rank: Rank, among: str) -> str:
    found = f"{rank.as_extreme} of {rank.models}"
    if rank.null == NullHypothesis.SOURCES:
        return f" with {found} control sources in the source's place"
    if rank.null == NullHypothesis.TWO_WAY:
        pairs = f"{found} other pairs of a model and a source"
        return f" by {pairs}{among}, once the average of each model and of each source is subtracted"
    return f" by {found} independent models{among}"


def _low(standing: Standing, evidence: Evidence, other_side: str) -> str:
    name, value = standing.low.score.words, standing.low.value
    if evidence.origin == "parametric":
        return (
            f"{name} {value:.2f} is lower than a beta-binomial model of the known copies allows "
            f"(p = {evidence.p_value:.4f}){other_side}"
        )
    return (
        f"{name} {value:.2f} is low: {evidence.as_extreme} of {evidence.models} known copies score as low "
        f"({_p_in_words(evidence)}){other_side}; {NOT_PROVEN}"
    )


def _other_side_of_high(calibration: Calibration, sides: Sides | None, p: float) -> str:
    if sides is not None:
        return f", and {sides.low} (p = {p:.4f})" if sides.low else ""
    return f", but it is also lower than known copies score (p = {p:.4f})" if p <= calibration.fnr else ""


def _other_side_of_low(sides: Sides | None, p: float) -> str:
    return "" if sides is None else f", and {sides.high} (p = {p:.4f})"


def _above(sides: Sides) -> str:
    if sides.null.asks_controls:
        return f"high ({sides.high})"
    if not sides.as_high:
        return f"above all {sides.references} references"
    return f"reached by {sides.as_high} of {sides.references} references"


def _below_all(sides: Sides) -> str:
    return f"and below all {sides.surrogates} known copies, so the suspect fits neither kind"


_RANKED_AMONG = {
    NullHypothesis.REFERENCES: "references",
    NullHypothesis.SOURCES: "control sources",
    NullHypothesis.TWO_WAY: "other pairs of a model and a source",
}


def _ranked_among(standing: Standing, evidence: Evidence) -> list[tuple[str, int]]:
    """Return among what the suspect is ranked, in words, and how many of that there are."""
    if standing.high.unit == Unit.MODEL:
        return [(_RANKED_AMONG[rank.null] + _of_references(rank, standing), rank.models) for rank in evidence.ranks]
    return [(f"{standing.high.unit.plural} of references{standing.among}", standing.high.draws)]


def _of_references(rank: Rank, standing: Standing) -> str:
    return "" if rank.null == NullHypothesis.SOURCES else standing.among


def _between(
    calibration: Calibration, standing: Standing, asked: int, evidence: Mapping[Null, Evidence]
) -> tuple[str, str]:
    p = evidence["independent"].p_value, evidence["surrogate"].p_value
    lacking: list[str] = []
    needed: list[str] = []
    ranked = [(*rank, calibration.fpr) for rank in _ranked_among(standing, evidence["independent"])]
    for relation, models, rate in (*ranked, ("surrogates", len(standing.low), calibration.fnr)):
        least = LEAST_PARAMETRIC if calibration.parametric else models_needed(rate)
        if models < least:
            lacking.append(f"{models} {relation} are too few for an error rate of {rate:.3g}")
            needed.append(f"at least {least} {relation}")
    between = (
        f"{standing.score.words} {standing.value:.2f} rules out neither an independent model (p = {p[0]:.3f}) nor a "
        f"copy (p = {p[1]:.3f})"
    )
    if evidence["independent"].p_once <= calibration.fpr or evidence["surrogate"].p_once <= calibration.fnr:
        return f"{between}; both p-values were multiplied for earlier verifications of this suspect", ASK_ALL
    if lacking:
        verb = "Generate and calibrate" if calibration.null.asks_controls else "Calibrate"
        return f"{between}; {' and '.join(lacking)}", f"{verb} with {' and '.join(needed)} (`cae calibrate --plan`)."
    if asked < calibration.chosen.sum():
        return between, "Ask more examples (raise --max-queries)."
    return between, "Make a fingerprint with larger pools, or with more examples."
