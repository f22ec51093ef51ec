"""A judgement in sentences, for a reader who knows nothing of the method: with its error rate and its limits."""

from collections.abc import Iterator

from cae_report.judgement import Case
from cae_report.limits import Limit, ancestor_of
from cae_report.null_hypothesis import innocents, likely_as, presumed_innocence
from cae_report.text import counted, percent

__all__ = ["error_rate_of", "judged_in_words", "limits_of", "null_of"]


def judged_in_words(case: Case) -> str:
    """Return the judgement in one sentence."""
    judgement, dossier = case.judgement, case.dossier
    if dossier is None or judgement.outcome == "cannot judge":
        return f"The judge cannot decide this claim: {judgement.reason}."
    caeacc, sides = dossier.examination.caeacc, dossier.examination.sides
    told = (
        f"the suspect gave the source's own wrong answer to {caeacc.matches} of "
        f"{counted(caeacc.asked, 'image')} that the judge made"
    )
    told += "" if sides is None else f"; {sides.words}"
    if judgement.outcome == "upheld":
        return f"The judge upholds the claim: {told}; and the seal is older than the suspect."
    return f"The judge rejects the claim: {told}; this does not prove that the suspect is independent."


def error_rate_of(case: Case) -> str:
    """Return how often this procedure errs."""
    judgement = case.judgement
    seals = "" if judgement.seals == 1 else f" Each p-value is multiplied by {judgement.seals}, the number of seals."
    if case.dossier is None:
        return f"Nothing was tested. A rate of {percent(judgement.fpr)} was asked for."
    rate = (
        f"This procedure upholds at most {percent(judgement.fpr)} of claims against {innocents(case.dossier)}, on "
        f"average over many regenerations.{seals}"
    )
    return f"{rate} How many copies it misses is not bounded." if judgement.outcome == "rejected" else rate


def null_of(case: Case) -> tuple[str, ...]:
    """Return the hypothesis that upholding has to reject, with its p-value; empty where nothing was tested."""
    adjusted = case.judgement.p_adjusted
    if case.dossier is None or adjusted is None:
        return ()
    innocence = presumed_innocence(case.dossier.subject)
    return (f"Before the claim is upheld, the suspect counts as innocent: {innocence}. {likely_as(adjusted)}",)


def limits_of(case: Case) -> tuple[Limit, ...]:
    """Return what nobody may read into this judgement, the gravest first."""
    return tuple(_limits(case))


def _limits(case: Case) -> Iterator[Limit]:
    outcome, dossier = case.judgement.outcome, case.dossier
    if outcome != "upheld":
        yield Limit(
            "Independence",
            "The claim was not upheld. A copy that was retrained on few answers, or whose answers are disturbed on "
            "purpose, can match as seldom as an independent model.",
        )
        yield Limit("Bad faith", "Nothing here says that the claim was made in bad faith.")
    if dossier is not None:
        yield Limit(
            "Anything about a suspect unlike the judge's references",
            "The rate holds if the suspect, were it independent, would be like the references that the judge chose"
            f"{_or_controls(case)}. It says nothing about other models.",
        )
        yield ancestor_of(dossier)
    yield Limit(
        "That the dates are right",
        "The judge verified the timestamp of the seal, and was shown since when the suspect has existed. This page "
        "repeats both dates and verifies neither.",
    )
    yield Limit(
        "That this record is the judge's",
        "The recorded answers give the recorded judgement. Whether the judge wrote them, and whether they are the "
        "suspect's, only the judge can show, or another judgement.",
    )
    yield Limit("Legal advice", "This page says what was measured. It is no legal advice.")


def _or_controls(case: Case) -> str:
    return "" if case.judgement.controls is None else ", or if the claimed source is like the judge's control sources"
