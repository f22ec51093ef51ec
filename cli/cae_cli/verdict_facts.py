"""What a verdict rests on, in lines for people."""

from collections.abc import Iterator
from typing import Any, Literal

from cae_core.verification.verdict import RepeatedErrors, SequentialEvidence, Sides, Verdict

__all__ = ["NO_THRESHOLD", "describe_models", "verdict_facts"]

NO_THRESHOLD = "none: the references are too few for the rate, or match too often"
"""What people read where no score is called a surrogate."""

_KINDS = {"fingerprint": "fingerprint", "benign": "benign", "akh": "that the source gets wrong"}
_SCORE_NAMES = {"caeacc": "CAEAcc", "llr": "mean log-likelihood ratio"}


def verdict_facts(verdict: Verdict) -> dict[str, str]:
    """Return names and values, in the order in which they are to be read; what does not apply is left out."""
    decision = verdict.decision
    facts = {"reason": decision.reason, "what to do": decision.remedy}
    facts |= dict(_scores(verdict))
    facts |= dict(_origin(verdict))
    facts |= {
        "benign accuracy": _benign(verdict),
        "source's errors": "" if verdict.akh is None else _akh(verdict.akh),
        "queries": " + ".join(f"{count} {_KINDS[kind]}" for kind, count in verdict.queries.items()),
        "unanswered": f"{verdict.unanswered} queries (refused or not a number; no match)" if verdict.unanswered else "",
        "nondeterministic": (
            f"{verdict.nondeterministic} repeated images got another answer" if verdict.nondeterministic else ""
        ),
        "signs of evasion": "\n".join(verdict.evasion),
        "warning": "\n".join(verdict.warnings),
        "seen before": _earlier(verdict.earlier),
        "nonce": verdict.nonce,
        "fingerprint": verdict.fingerprint["id"][:16],
        "suspect SHA-256": verdict.suspect["sha256"][:16],
    }
    return {name: value for name, value in facts.items() if value}


def _scores(verdict: Verdict) -> Iterator[tuple[str, str]]:
    decision, caeacc, sequential = verdict.decision, verdict.caeacc, verdict.sequential
    yield "CAEAcc", f"{caeacc.value:.3f}  ({caeacc.matches} of {caeacc.asked} examples)"
    over = "over examples, not over models"
    if sequential is not None:
        over = f"of all {sequential.examples} examples; a confidence sequence, which holds wherever one stops"
    yield "95 % interval", f"{caeacc.low:.3f} to {caeacc.high:.3f}  ({over})"
    if decision.score != "caeacc":
        yield "decided by", f"{_SCORE_NAMES[decision.score]}, {decision.value:.4g}"
    value = NO_THRESHOLD if decision.threshold is None else f"{decision.threshold:.4g}"
    yield "threshold", f"{value}  ({_source(verdict)})"
    if decision.p_value is None:
        yield "p-value", "none: uncalibrated"
    else:
        yield "p-value, independent", f"{decision.p_value:.4g}{_side(decision.sides, 'high')}"
    if decision.p_value_surrogate is not None:
        yield "p-value, surrogate", f"{decision.p_value_surrogate:.4g}{_side(decision.sides, 'low')}"
    for name, other in verdict.other_scores.items():
        values = f"{other['value']:.4g}, p = {other['p_value']:.4g}"
        yield _SCORE_NAMES[name], f"{values}  (for information; it decides nothing)"


def _side(sides: Sides | None, side: Literal["high", "low"]) -> str:
    """Return what a p-value is the rank of."""
    words = "" if sides is None else sides.high if side == "high" else sides.low
    return f"  ({words})" if words else ""


def _source(verdict: Verdict) -> str:
    return {
        "rank": "by rank among the references",
        "parametric": "parametric: model-based, no bound",
        "literature": "literature; no error rate stands behind it",
    }[verdict.decision.provenance]


def _origin(verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.calibration is not None:
        calibration = verdict.calibration
        yield "error rates", f"{calibration['fpr']:g} false accusations, {calibration['fnr']:g} surrogates missed"
        for relation in ("references", "surrogates"):
            yield relation, describe_models(calibration[relation], calibration["kinds"][relation])
        if calibration["screen"]:
            chosen = calibration["examples_chosen"]
            yield "screened", f"{chosen} examples, chosen by {calibration['screen']} models that are in no threshold"
    if verdict.sequential is not None:
        yield "sequential", _sequential(verdict.sequential, verdict.caeacc.asked)


def describe_models(count: int, kinds: dict[str, int]) -> str:
    """Return how many models of which kinds there are."""
    listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return f"{count}: {listed}" if count else "none"


def _sequential(evidence: SequentialEvidence, asked: int) -> str:
    sides = [
        f"a surrogate has more than {evidence.k0} matches on all (level {evidence.level_surrogate:g})"
        if evidence.k0 < evidence.examples
        else "no count is called a surrogate: too few references",
        f"an independent model fewer than {evidence.k1} (level {evidence.level_independent:g})"
        if evidence.k1 is not None
        else "none is called independent: too few surrogates",
    ]
    return f"{asked} of {evidence.examples} examples asked; {'; '.join(sides)}"


def _benign(verdict: Verdict) -> str:
    found = f"{verdict.benign_accuracy:.3f}"
    if verdict.benign_range is None:
        return found
    low, high = verdict.benign_range
    outside = ": extrapolated" if verdict.decision.extrapolated else ""
    return f"{found}  (references: {low:.3f} to {high:.3f}{outside})"


def _akh(akh: RepeatedErrors) -> str:
    p = "" if akh.p_value is None else f", p = {akh.p_value:.4g}"
    return f"{akh.matches} of {akh.asked} repeated{p}  (on benign images; for information, it decides nothing)"


def _earlier(earlier: dict[str, Any] | None) -> str:
    if not earlier or not earlier["verifications"]:
        return ""
    times = earlier["verifications"]
    return (
        f"verified {times} time{'s' * (times > 1)} before in another order; it had been asked "
        f"{earlier['examples_seen']} of these examples"
    )
