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
            f"The defence {dossier.examination.options.defence} was simulated before it. The verdict says what would "
            "be if the suspect had it, and is no evidence for or against the suspect.",
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
            "Anything of models unlike the references",
            f"The rate of false accusations, {percent(calibration.fpr)}, holds for models of the kind that the "
            f"{counted(len(calibration.references), 'reference')} are drawn from ({kinds}). Of a model made in another "
            "way, with other data or from other pretrained weights, it says nothing. It is an average over "
            "calibrations: that of this one may lie above or below it.",
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
            "Anything of models this accurate",
            "The suspect's accuracy on the benign images is outside what the references cover, so that its rank among "
            "them speaks of other models.",
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
            "It follows from calibration, suspect and a public random number. That both were fixed before that number "
            "was out, and that it was named beforehand, is the word of whoever ran the test.",
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
            f" The source descends from {ancestor}, and the suspect was not compared with references that all do: this "
            "verdict cannot tell derivation from that ancestor."
        )
    return Limit("That there is no shared ancestor", text)


def _of_every_verdict(dossier: Dossier) -> Iterator[Limit]:
    yield Limit(
        "The direction of copying",
        "That one of two models was made from the other does not show which from which. This takes dated evidence: a "
        "commitment to the fingerprint from before the suspect appeared (cae seal).",
    )
    yield Limit(
        "That the test was impartial",
        "Fingerprint, calibration and questions are those of whoever ran the test. Examples to which any model would "
        "answer alike can be made on purpose. A neutral party repeats the test with a fingerprint and models of its "
        "own (cae judge).",
    )
    yield Limit(
        "That the answers are the suspect's",
        "The recorded answers give the recorded verdict. That they are the suspect's own is shown by asking it again.",
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
