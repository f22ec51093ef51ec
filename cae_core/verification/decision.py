"""The rule: from matches, calibration and checks to one of three outcomes, each with its reason.

``surrogate`` where the rank among the references gives p <= fpr, unless the suspect scores below every known copy;
``independent`` where p is larger, and the rank among the surrogates gives p <= fnr; ``inconclusive`` otherwise. A rate
that the calibration models are too few for blocks its own side only.
"""

from dataclasses import dataclass

from cae_core.calibration.calibrated import Calibration, Standing
from cae_core.method.caeacc import CAEAcc
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.thresholds import LEAST_PARAMETRIC, as_counts, least_accused
from cae_core.verification.verdict import Decision, Outcome, Provenance, Sides

__all__ = [
    "LITERATURE_THRESHOLD",
    "NEITHER_KIND",
    "Circumstances",
    "decide",
    "decide_uncalibrated",
    "limited",
    "sides_of",
]

LITERATURE_THRESHOLD = 0.75
"""CAEAcc from which the literature calls a suspect a surrogate. It carries no error rate and does not travel."""

NEITHER_KIND = (
    "Calibrate with references that are made otherwise, as an honest suspect may be, and with weaker copies: models of "
    "the suspect's kind, whichever it is, are missing."
)
"""What would help where a suspect scores above the references and below every known copy."""

_SCORE_NAMES = {"caeacc": "CAEAcc", "llr": "mean log-likelihood ratio"}
_MORE_CARE = (
    "Let the suspect's owner attest how it is served, ask it through another channel, or take the case to `cae judge`."
)


@dataclass(frozen=True)
class Circumstances:
    """What limits a verdict, whatever the score.

    Attributes:
        benign_reason: why the benign check failed, or None.
        evasion: signs that the suspect does not answer as it does its customers.
        extrapolated: why its benign accuracy is outside what the calibration references cover, or None.
        benign_range: lowest and highest accuracy of the calibration references on the probes asked; None without any.
        shared_ancestor: the source's pretrained ancestor where not every calibration reference has it; empty otherwise.
        allow_extrapolation: whether the user lets such a verdict stand.
        two_sided: whether known copies can keep a suspect from being accused; not so in the first rule.
    """

    benign_reason: str | None = None
    evasion: tuple[str, ...] = ()
    extrapolated: str | None = None
    benign_range: tuple[float, float] | None = None
    shared_ancestor: str = ""
    allow_extrapolation: bool = False
    two_sided: bool = True


def decide_uncalibrated(caeacc: CAEAcc, circumstances: Circumstances) -> Decision:
    """Decide by the literature's threshold, where the fingerprint carries no calibration."""
    threshold = LITERATURE_THRESHOLD
    reached = caeacc.value >= threshold
    reason = (
        f"CAEAcc {caeacc.value:.2f} reaches the literature's threshold {threshold}, which has no error rate"
        if reached
        else f"no evidence at the literature's threshold {threshold}, which has no error rate"
    )
    outcome, reason, remedy = limited("surrogate" if reached else "independent", reason, circumstances)
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=threshold,
        provenance="literature",
        value=caeacc.value,
        weak=outcome == "surrogate" and caeacc.low < threshold,
    )


def decide(calibration: Calibration, standing: Standing, asked: int, circumstances: Circumstances) -> Decision:
    """Decide by the calibration models.

    Args:
        calibration: with the rates.
        standing: of the suspect, by the deciding score.
        asked: examples that the score is over.
        circumstances: see `Circumstances`.
    """
    if calibration.parametric:
        p, p_surrogate = _parametric(standing, asked)
        provenance: Provenance = "parametric"
    else:
        p, p_surrogate, provenance = standing.p_value, standing.p_value_surrogate, "rank"
    name = _SCORE_NAMES[standing.score]
    sides = sides_of(standing) if circumstances.two_sided else None
    outcome: Outcome
    remedy = ""
    if p <= calibration.fpr and sides is not None and sides.below_all_copies:
        outcome, remedy = "inconclusive", NEITHER_KIND
        reason = (
            f"{name} {standing.value:.2f} is {_above(sides)} {_below_all(sides)} (p = {p:.4f} and {p_surrogate:.4f})"
        )
    elif p <= calibration.fpr:
        outcome = "surrogate"
        reason = _high(name, standing, provenance, p) + _other_side_of_high(calibration, sides, p_surrogate)
    elif p_surrogate <= calibration.fnr:
        outcome = "independent"
        reason = _low(name, standing, provenance, p_surrogate, _other_side_of_low(sides, p))
    else:
        outcome = "inconclusive"
        reason, remedy = _between(calibration, standing, asked, (p, p_surrogate))
    outcome, reason, limited_remedy = limited(outcome, reason, circumstances)
    remedy = limited_remedy or remedy
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=least_accused(
            standing.references,
            asked,
            fpr=calibration.fpr,
            score=standing.score,
            parametric=calibration.parametric,
        ),
        provenance=provenance,
        score=standing.score,
        value=standing.value,
        p_value=p,
        p_value_surrogate=p_surrogate,
        extrapolated=circumstances.extrapolated is not None,
        sides=sides,
    )


def sides_of(standing: Standing) -> Sides:
    """Count the calibration models that score as high, and as low, as the suspect."""
    return Sides(
        references=len(standing.references),
        as_high=int((standing.references >= standing.value).sum()),
        surrogates=len(standing.surrogates),
        as_low=int((standing.surrogates <= standing.value).sum()),
    )


def limited(outcome: Outcome, reason: str, circumstances: Circumstances) -> tuple[Outcome, str, str]:
    """Return outcome, reason and remedy once the circumstances have had their say."""
    if circumstances.benign_reason is not None:
        return (
            "inconclusive",
            circumstances.benign_reason,
            "Check how the suspect is asked (its contract), then ask again.",
        )
    if outcome == "inconclusive":
        return outcome, reason, ""
    if outcome == "surrogate" and circumstances.shared_ancestor:
        reason += (
            f"; it is derived from the source, or shares its ancestor ({circumstances.shared_ancestor}), which the "
            "references do not represent"
        )
    if circumstances.extrapolated is not None and not circumstances.allow_extrapolation:
        remedy = "Calibrate with references as accurate as the suspect, or accept it with --allow-extrapolation."
        return "inconclusive", f"{circumstances.extrapolated} ({reason})", remedy
    # a suspect that answers the examples on purpose at random matches seldom; it cannot match often by that
    if outcome == "independent" and circumstances.evasion:
        return "inconclusive", f"possible evasion: {circumstances.evasion[0]}", _MORE_CARE
    if circumstances.extrapolated is not None:
        reason += f"; allowed although {circumstances.extrapolated}"
    return outcome, reason, ""


def _parametric(standing: Standing, asked: int) -> tuple[float, float]:
    from cae_core.statistics.parametric import beta_binomial_p_value

    observed = round(standing.value * asked)
    references, surrogates = as_counts(standing.references, asked), as_counts(standing.surrogates, asked)
    p = beta_binomial_p_value(references, asked, observed)
    if len(surrogates) < LEAST_PARAMETRIC:
        return p, 1.0
    return p, beta_binomial_p_value(asked - surrogates, asked, asked - observed)


def _high(name: str, standing: Standing, provenance: Provenance, p: float) -> str:
    if provenance == "parametric":
        return (
            f"{name} {standing.value:.2f} is higher than a beta-binomial model of the references allows (p = {p:.4f})"
        )
    above, r = int((standing.references >= standing.value).sum()), len(standing.references)
    return f"{name} {standing.value:.2f} is reached by {above} of {r} independent models (p = {p:.4f})"


def _low(name: str, standing: Standing, provenance: Provenance, p: float, other_side: str) -> str:
    if provenance == "parametric":
        lower = (
            f"{name} {standing.value:.2f} is lower than a beta-binomial model of the surrogates allows (p = {p:.4f})"
        )
        return lower + other_side
    below, r = int((standing.surrogates <= standing.value).sum()), len(standing.surrogates)
    return (
        f"{name} {standing.value:.2f}: {below} of {r} known surrogates score as low (p = {p:.4f}){other_side}; "
        "this finds no derivation and does not prove independence"
    )


def _other_side_of_high(calibration: Calibration, sides: Sides | None, p: float) -> str:
    if sides is not None:
        return f", and {sides.low} (p = {p:.4f})" if sides.low else ""
    return f", but also lower than known surrogates score (p = {p:.4f})" if p <= calibration.fnr else ""


def _other_side_of_low(sides: Sides | None, p: float) -> str:
    return "" if sides is None else f", and {sides.high} (p = {p:.4f})"


def _above(sides: Sides) -> str:
    if not sides.as_high:
        return f"above all {sides.references} references"
    return f"reached by {sides.as_high} of {sides.references} references"


def _below_all(sides: Sides) -> str:
    return f"and below all {sides.surrogates} known copies, so that it fits neither kind"


def _between(calibration: Calibration, standing: Standing, asked: int, p: tuple[float, float]) -> tuple[str, str]:
    lacking: list[str] = []
    needed: list[str] = []
    for relation, models, rate in (
        ("references", len(standing.references), calibration.fpr),
        ("surrogates", len(standing.surrogates), calibration.fnr),
    ):
        least = LEAST_PARAMETRIC if calibration.parametric else models_needed(rate)
        if models < least:
            lacking.append(f"{models} {relation} cannot support a rate of {rate:.3g}")
            needed.append(f"at least {least} {relation}")
    name = _SCORE_NAMES[standing.score]
    between = f"{name} {standing.value:.2f} fits independent models (p = {p[0]:.3f}) and surrogates (p = {p[1]:.3f})"
    if lacking:
        return f"{between}; {' and '.join(lacking)}", f"Calibrate with {' and '.join(needed)} (`cae calibrate --plan`)."
    if asked < calibration.chosen.sum():
        return between, "Ask more examples (raise --max-queries)."
    return between, "Make a fingerprint with larger pools, or with more examples."
