"""What a verdict rests on, in lines for people."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.fingerprint.kinds import KINDS
from cae_core.foreign_text import LONGEST_LINE, visible
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import NO_THRESHOLD
from cae_core.verification.examination import Sides
from cae_core.verification.occasion import Occasion
from cae_core.verification.path_evidence import PathEvidence
from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_core.verification.verdict import Verdict
from cae_report.text import contract_in_words, few_examples

__all__ = ["Fact", "describe_models", "verdict_facts"]


@dataclass(frozen=True)
class Fact:
    """One line of what a verdict rests on.

    Attributes:
        name: name of what was measured.
        value: value in words or digits; empty if it does not apply.
        doubt: whether it weakens the evidence.
    """

    name: str
    value: str
    doubt: bool = False


def verdict_facts(verdict: Verdict) -> tuple[Fact, ...]:
    """Return what a verdict rests on, in the order in which it is to be read; what does not apply is left out."""
    return tuple(fact for fact in _facts(verdict) if fact.value)


def _facts(verdict: Verdict) -> Iterator[Fact]:
    decision = verdict.decision
    yield Fact("reason", _lines([decision.reason]))
    yield Fact("what to do", _lines([decision.remedy]))
    yield Fact("few examples", few_examples(verdict), doubt=True)
    yield from (Fact(name, value) for name, value in (*_scores(verdict), *_origin(verdict)))
    yield Fact("simulated defence", visible(verdict.examination.options.defence), doubt=True)
    yield Fact("benign accuracy", _benign(verdict))
    yield from _findings(verdict, "asked")
    queries = verdict.queries
    yield Fact("queries", " + ".join(f"{queries[kind.name]} {kind.words}" for kind in KINDS if kind.name in queries))
    unanswered, changed = verdict.unanswered, verdict.nondeterministic
    yield Fact("unanswered", f"{unanswered} queries (refused or not a number; no match)" if unanswered else "")
    yield Fact("nondeterministic", f"{changed} repeated images got another answer" if changed else "", doubt=True)
    yield Fact("signs of evasion", _lines(verdict.evasion), doubt=True)
    yield Fact("warning", _lines(verdict.warnings), doubt=True)
    yield Fact("seen before", _earlier(verdict), doubt=True)
    yield Fact("p multiplied", _repeated(verdict), doubt=True)
    yield from _identity(verdict)
    yield from _containment(verdict)
    yield Fact("service", _service(verdict))
    yield Fact("nonce", _nonce(verdict))
    yield Fact("beacon", _beacon(verdict))
    yield Fact("fingerprint", verdict.examination.subject.fingerprint.id[:16])
    yield Fact("suspect SHA-256", visible(verdict.suspect.sha256[:16]))
    yield from _occasion(verdict.occasion)


def _containment(verdict: Verdict) -> Iterator[Fact]:
    if verdict.containment is not None:
        yield Fact("containment", verdict.containment.words)


def _service(verdict: Verdict) -> str:
    served = verdict.service
    if served is None:
        return ""
    named = f", by the versions {', '.join(served.versions)}" if len(served.versions) > 1 else ""
    version = f"version {served.version}, as declared; " if served.version else ""
    return visible(f"{version}{served.requests} requests with {served.sent} images, repeated ones included{named}")


def _lines(sentences: Iterable[str]) -> str:
    """Return each sentence as one line, whatever names are in it."""
    return "\n".join(visible(sentence, LONGEST_LINE) for sentence in sentences)


def _findings(verdict: Verdict, section: Literal["scores", "asked"]) -> Iterator[Fact]:
    for finding in verdict.findings:
        if finding.section == section:
            yield from (Fact(line.label, _lines([line.text])) for line in finding.lines)


def _scores(verdict: Verdict) -> Iterator[tuple[str, str]]:
    decision, caeacc, sequential = verdict.decision, verdict.caeacc, verdict.sequential or verdict.path
    yield "CAEAcc", f"{caeacc.value:.3f}  ({caeacc.matches} of {caeacc.asked} examples)"
    over = "over examples, not over models"
    if sequential is not None:
        how = "a confidence sequence, which is valid wherever the questions stop"
        if verdict.path is not None:
            how = "certain, whatever the answers to the remaining ones would be"
        over = f"of all {sequential.examples} examples; {how}"
    yield "95 % interval", f"{caeacc.low:.3f} to {caeacc.high:.3f}  ({over})"
    if decision.score != Score.CAEACC:
        yield "decided by", f"{decision.score.words}, {decision.value:.4g}"
    threshold = decision.threshold if verdict.path is None else verdict.path.threshold
    value = NO_THRESHOLD if threshold is None else f"{threshold:.4g}"
    yield "threshold", f"{value}  ({_source(verdict)})"
    if decision.p_value is None:
        yield "p-value", "none: uncalibrated"
    else:
        yield "p-value, independent", f"{decision.p_value:.4g}{_side(decision.sides, 'high')}"
    if decision.p_value_surrogate is not None:
        yield "p-value, surrogate", f"{decision.p_value_surrogate:.4g}{_side(decision.sides, 'low')}"
    for fact in _findings(verdict, "scores"):
        yield fact.name, fact.value


def _side(sides: Sides | None, side: Literal["high", "low"]) -> str:
    """Return what a p-value is the rank of."""
    words = "" if sides is None else sides.high if side == "high" else sides.low
    return f"  ({words})" if words else ""


def _source(verdict: Verdict) -> str:
    controls = verdict.examination.controls
    among = "the references" if controls is None else "sources"
    if controls is not None and controls.null == NullHypothesis.BOTH:
        among = "the references and by rank among sources; the larger value counts"
    return {
        "rank": f"by rank among {among}",
        "path": "for the lower limit of the match rate, by rank among the references in the same order",
        "parametric": "by a fitted distribution; its error rate is not guaranteed",
        "literature": "from the literature; its error rate is unknown",
    }[verdict.decision.origin]


def _origin(verdict: Verdict) -> Iterator[tuple[str, str]]:
    behind = verdict.behind
    if behind is not None:
        yield "error rates", f"{behind.fpr:g} false accusations, {behind.fnr:g} surrogates missed"
        yield "references", describe_models(behind.references, behind.kinds["references"])
        yield "surrogates", describe_models(behind.surrogates, behind.kinds["surrogates"])
        if behind.screen:
            chosen = behind.examples_chosen
            yield "screened", f"{chosen} examples, chosen by {behind.screen} models that set no threshold"
    if verdict.sequential is not None:
        yield "sequential", _sequential(verdict.sequential, verdict.caeacc.asked)
    if verdict.path is not None:
        yield "sequential", _along_the_path(verdict.path, verdict.caeacc.asked)


def describe_models(count: int, kinds: dict[str, int]) -> str:
    """Return how many models of which kinds there are."""
    listed = ", ".join(f"{number} {visible(kind)}" for kind, number in kinds.items())
    return f"{count}: {listed}" if count else "none"


def _sequential(evidence: SequentialEvidence, asked: int) -> str:
    sides = [
        f"surrogate if more than {evidence.k0} of all match (level {evidence.level_surrogate:g})"
        if evidence.k0 < evidence.examples
        else "never surrogate: too few references",
        f"independent if fewer than {evidence.k1} match (level {evidence.level_independent:g})"
        if evidence.k1 is not None
        else "never independent: too few surrogates",
    ]
    return f"{asked} of {evidence.examples} examples asked; {'; '.join(sides)}"


def _along_the_path(path: PathEvidence, asked: int) -> str:
    """Return how far the path came; each limit is of the rate of matches, or of other answers."""
    sides = [
        f"the lower limit of the rate of {counted} reached {reached:.3g}, and the verdict {outcome} takes "
        + ("more models" if needed is None else f"more than {needed:.3g}")
        for counted, outcome, reached, needed in (
            ("matches", "surrogate", path.score, path.threshold),
            ("other answers", "independent", path.score_independent, path.threshold_independent),
        )
    ]
    return f"{asked} of {path.examples} examples asked; {'; '.join(sides)}"


def _benign(verdict: Verdict) -> str:
    found = f"{verdict.benign_accuracy:.3f}"
    if verdict.benign_range is None:
        return found
    low, high = verdict.benign_range
    outside = ": extrapolated" if verdict.decision.extrapolated else ""
    return f"{found}  (references: {low:.3f} to {high:.3f}{outside})"


def _earlier(verdict: Verdict) -> str:
    earlier = verdict.earlier
    if earlier is None or not earlier.verifications:
        return ""
    times = earlier.verifications
    return (
        f"verified {times} time{'s' * (times > 1)} before{earlier.details}; it had been asked {earlier.examples_seen} "
        "of these examples"
    )


def _repeated(verdict: Verdict) -> str:
    found = verdict.repeated
    if found is None:
        return ""
    part = ", in the half of p that depends on the order" if verdict.sequential is not None else ""
    once = "" if found.p_value is None else f"; without them p would be {found.p_value:.4g}"
    return f"by {found.factor:g} for earlier verifications of this suspect{part}{once}"


def _identity(verdict: Verdict) -> Iterator[Fact]:
    occasion = verdict.occasion
    if occasion is None or occasion.is_source is None:
        return
    how = {"file": "its file is the source's own", "scores": "it answers every image as the source does"}
    meant = " (checked on purpose)" if occasion.self_check else ", a copy of it or the model itself"
    yield Fact("the source itself", how[occasion.is_source] + meant, doubt=not occasion.self_check)


def _nonce(verdict: Verdict) -> str:
    occasion = verdict.occasion
    if verdict.examination.options.beacon:
        return f"{verdict.nonce}  (follows from calibration, suspect and beacon)"
    return verdict.nonce + ("" if occasion is None else "  (given)" if occasion.nonce_given else "  (drawn)")


def _beacon(verdict: Verdict) -> str:
    options = verdict.examination.options
    return f"{options.beacon} of {visible(options.beacon_time)}" if options.beacon else ""


def _occasion(occasion: Occasion | None) -> Iterator[Fact]:
    if occasion is None:
        return
    yield Fact("contract", "" if occasion.contract is None else contract_in_words(occasion.contract))
    for rival in occasion.rivals:
        yield Fact(
            "or",
            f"{contract_in_words(rival)}: the suspect was asked by this contract too, with a verdict that claims no "
            "less",
        )
    yield Fact("asked", f"{occasion.date}, by {occasion.tool}" + (f", {occasion.runtime}" * bool(occasion.runtime)))
    yield Fact("case", visible(occasion.case))
