"""What a verdict does not prove."""

from collections.abc import Iterator
from dataclasses import dataclass

from cae_core.verification.options import EARLIER_RULES
from cae_report.dossier import Dossier
from cae_report.sources import limit_of_sources
from cae_report.text import counted, percent

__all__ = ["Limit", "ancestor_of", "what_is_not_proven"]


@dataclass(frozen=True)
class Limit:
    """One thing that the verdict does not say.

    Attributes:
        title: in a few words.
        text: why.
    """

    title: str
    text: str


def what_is_not_proven(dossier: Dossier) -> tuple[Limit, ...]:
    """Return what nobody may read into this verdict, the gravest first."""
    return (*_of_this_verdict(dossier), *_of_every_verdict(dossier))


def _of_this_verdict(dossier: Dossier) -> Iterator[Limit]:
    decision, calibration = dossier.verdict.decision, dossier.calibration
    controls = dossier.examination.controls
    if dossier.examination.options.defence:
        yield Limit(
            "Anything about the suspect as it answers",
            f"The defence {dossier.examination.options.defence} was simulated in front of it. The verdict is about a "
            "suspect with that defence, and is no evidence for or against this suspect.",
        )
    if controls is not None and calibration is not None:
        yield Limit(*limit_of_sources(controls, calibration.fpr))
    if calibration is None:
        yield Limit(
            "An error rate",
            "The verdict is uncalibrated. Its threshold comes from the literature and was not measured on models of "
            "this task; how often it accuses an innocent model, or misses a copy, is unknown.",
        )
    elif controls is None or not controls.null.for_any_suspect:
        kinds = ", ".join(calibration.references.kinds())
        yield Limit(
            "Anything about models unlike the references",
            f"The rate of false accusations, {percent(calibration.fpr)}, holds for models of the kind that the "
            f"{counted(len(calibration.references), 'reference')} are drawn from ({kinds}). It says nothing about a "
            "model that was made in another way, with other data or from other pretrained weights. It is an average "
            "over calibrations: the rate of this calibration may be higher or lower.",
        )
    rule = dossier.examination.options.rule
    if rule in EARLIER_RULES:
        otherwise = EARLIER_RULES[rule]
        yield Limit(
            "What the present rule would say", f"The verdict was made by the rule of an earlier release. {otherwise}"
        )
    if decision.origin == "parametric":
        yield Limit(
            "A bound on error rates",
            "The p-value follows from a fitted statistical model. It is not a bound on any rate.",
        )
    if decision.extrapolated:
        yield Limit(
            "Anything about models of this accuracy",
            "The suspect's accuracy on the benign images is outside the references' range. Its rank among them says "
            "nothing certain about models of that accuracy.",
        )
    if decision.verdict != "surrogate":
        yield Limit(
            "Independence",
            "No evidence of derivation was found, or not enough. A copy that was retrained on few answers, or whose "
            "answers are disturbed on purpose, can match as seldom as an independent model.",
        )
    if dossier.examination.options.beacon:
        yield Limit(
            "That nobody chose the order",
            "The order follows from calibration, suspect and a public random number. Only whoever ran the test says "
            "that both were fixed before that number was published, and that the number was named beforehand.",
        )
    yield ancestor_of(dossier)


def ancestor_of(dossier: Dossier) -> Limit:
    """Return what a shared ancestor would explain."""
    text = (
        "Two models that descend from the same pretrained weights, or from the same third model, may match each other "
        "although neither was made from the other."
    )
    ancestor = dossier.examination.circumstances.shared_ancestor
    if ancestor:
        text += (
            f" The source descends from {ancestor}, and not every reference does. So this verdict cannot tell whether "
            "the suspect was made from the source or from that ancestor."
        )
    return Limit("That there is no shared ancestor", text)


def _of_every_verdict(dossier: Dossier) -> Iterator[Limit]:
    yield Limit(
        "The direction of copying",
        "If one of two models was made from the other, this verdict does not show which came first. That takes dated "
        "evidence: a commitment to the fingerprint from before the suspect appeared (cae seal).",
    )
    yield Limit(
        "That the test was impartial",
        "Fingerprint, calibration and questions are those of whoever ran the test. Somebody can choose, on purpose, "
        "examples to which every model gives the same answer. A neutral party repeats the test with a fingerprint and "
        "models of its own (cae judge).",
    )
    yield Limit(
        "That the answers are the suspect's",
        "The recorded answers give the recorded verdict. To see whether they are the suspect's own, ask it again.",
    )
    reach = (
        "over many more examples made in the same way"
        if dossier.examination.stopped is None
        else "over all examples of this fingerprint"
    )
    yield Limit(
        "How other models score",
        f"The interval of CAEAcc says where the fraction may lie {reach}. It is over examples, not over models.",
    )
