"""The verdict in a sentence for a reader who knows nothing of the method, how the test works, and the replay."""

from cae_core.calibration.groups import Group
from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.statistics.score import Score
from cae_report.dossier import Dossier
from cae_report.sources import rank_in_words, sources_in_words
from cae_report.text import counted, percent

__all__ = ["method_in_words", "replay_in_words", "verdict_in_words"]


def verdict_in_words(dossier: Dossier) -> str:
    """Return the verdict in one sentence, which begins with a simulated defence where there is one."""
    defence = dossier.examination.options.defence
    return (
        f"With the defence {defence} simulated before the suspect: {_judged(dossier)}" if defence else _judged(dossier)
    )


def _judged(dossier: Dossier) -> str:
    decision = dossier.verdict.decision
    caeacc = dossier.examination.caeacc
    images = counted(caeacc.asked, f"specially {_made(dossier)} image")
    answers = f"gave the source's own wrong answer to {caeacc.matches} of {images}"
    if decision.verdict == "surrogate" and dossier.calibration is None:
        return (
            "By the literature's rule of thumb, whose error rates are unknown, the suspect counts as derived from the "
            f"source: it {answers}{_extrapolation(dossier)}; {_comparison(dossier)}."
        )
    if decision.verdict == "surrogate":
        return (
            f"The suspect is judged to be derived from the source: it {answers}{_extrapolation(dossier)}; "
            f"{_comparison(dossier)}."
        )
    if decision.verdict == "independent":
        return (
            f"No evidence was found that the suspect is derived from the source: it {answers}"
            f"{_extrapolation(dossier)}; {_comparison(dossier)}; this does not prove that it is independent."
        )
    sides = dossier.examination.sides
    both = "" if sides is None or "known copies" in decision.reason else f"; {sides.words}"
    return (
        f"The test does not decide whether the suspect, which {answers}, is derived from the source: "
        f"{decision.reason}{both}."
    )


def _extrapolation(dossier: Dossier) -> str:
    """Return what the answers to a part of the examples show of all of them, in sequential mode."""
    sequential = dossier.examination.sequential
    if sequential is None:
        return ""
    accused = dossier.verdict.decision.verdict == "surrogate"
    count = f"more than {sequential.k0}" if accused else f"fewer than {sequential.k1}"
    return f", which shows that it would do so for {count} of all {sequential.examples}"


def _comparison(dossier: Dossier) -> str:
    decision, calibration = dossier.verdict.decision, dossier.calibration
    accused = decision.verdict == "surrogate"
    if calibration is None:
        limit = percent(decision.threshold or 0)
        doubt = ", though the interval of this estimate reaches below it" if decision.weak else ""
        return (
            f"that is at or above {limit}{doubt}"
            if accused
            else f"that is below the literature's rule of thumb, {limit}"
        )
    if accused and dossier.examination.controls is not None:
        return rank_in_words(dossier.examination.controls, calibration.fpr)
    group, other = calibration.references, calibration.surrogates
    if not accused:
        group, other = other, group
    path = dossier.examination.path
    count = len(group) if path is None else (path.high if accused else path.low).models
    models = _models(count, independent=accused)
    if decision.origin == "parametric":
        doubt = f"a statistical model that was fitted to {models} says that this is unlikely, which is no guarantee"
        return doubt if dossier.examination.sides is None else f"{doubt}; {dossier.examination.sides.words}"
    rate = (
        f"at most {percent(calibration.fpr)} of independent models like these are wrongly accused by this procedure"
        if accused
        else f"at most {percent(calibration.fnr)} of copies like these are missed by this procedure"
    )
    sides = dossier.examination.sides
    alike, perhaps = _as_extreme(dossier, accused=accused), ""
    if sides is not None and not sides.exact:  # as the heading counts them
        alike, perhaps = sides.as_high if accused else sides.as_low, "perhaps "
    if decision.score != Score.CAEACC:  # so that it is not the count that is compared
        by = "the examples' weights" if decision.score == Score.LLR else "the matches that accuracy does not explain"
        how = f"{'scores' if alike == 1 else 'score'} as {'high' if accused else 'low'} by {by}"
    else:
        how = f"{'does' if alike == 1 else 'do'} so as {'often' if accused else 'seldom'}"
    if path is not None:
        how += " at some point of the same order"
    return f"{perhaps}{alike} of {models} {how}{_other_side(dossier, other, accused=accused)}, and {rate}"


def _models(count: int, *, independent: bool) -> str:
    if independent:
        return counted(count, "independently trained model")
    return "1 known copy" if count == 1 else f"{count} known copies"


def _other_side(dossier: Dossier, other: Group, *, accused: bool) -> str:
    """Return how many models of the other kind are as extreme the other way; empty where there are none."""
    sides = dossier.examination.sides
    if sides is not None and sides.null.asks_controls:
        return f", {sides.high}"
    if sides is None or not len(other):
        return ""
    alike = sides.as_low if accused else sides.as_high
    perhaps = "" if sides.exact else "perhaps "
    low, high = ("seldom", "often") if dossier.verdict.decision.score == Score.CAEACC else ("low", "high")
    how = low if accused else high
    return f", {perhaps}{alike} of {_models(len(other), independent=not accused)} as {how}"


def _as_extreme(dossier: Dossier, *, accused: bool) -> int:
    """Count the calibration models that would be judged the same by their own answers."""
    sequential, standing = dossier.examination.sequential, dossier.examination.standing
    if standing is None:
        return 0
    if dossier.examination.path is not None and dossier.examination.sides is not None:
        return dossier.examination.sides.as_high if accused else dossier.examination.sides.as_low
    ranking = standing.high if accused else standing.low
    if sequential is not None:
        counts = (ranking.scores * sequential.examples).round()
        return int((counts > sequential.k0).sum() if accused else (counts < (sequential.k1 or 0)).sum())
    return ranking.as_extreme


def _made(dossier: Dossier) -> str:
    """Return whether all examples are made, or some are images that were chosen as they are."""
    return "chosen" if NATURAL_ERROR.code in dossier.fingerprint.example_kinds else "made"


def _examples(dossier: Dossier) -> str:
    """Return what an example is."""
    natural = dossier.fingerprint.example_kinds == NATURAL_ERROR.code
    some = ", some of them changed a little" if natural.any() else " that was changed a little"
    changed = "" if natural.all() else some
    return (
        f"Each is an ordinary image{changed}. The source and models made from it put it into one particular wrong "
        "class, while independently trained models do not."
    )


def method_in_words(dossier: Dossier) -> tuple[str, ...]:
    """Return how the test works, a paragraph an entry."""
    total, asked, benign = len(dossier.fingerprint), dossier.examination.caeacc.asked, len(dossier.examination.right)
    fingerprint = (
        f"The fingerprint of the source is a set of {counted(total, 'image')}. {_examples(dossier)} An answer equal to "
        "the source's is a match."
    )
    questions = (
        f"The suspect was asked {asked} of these images, mixed at random with {benign} ordinary ones. Only its answers "
        "were used. CAEAcc is the fraction of matches, between 0 and 1."
    )
    if dossier.calibration is None:
        return fingerprint, questions
    references, surrogates = len(dossier.calibration.references), len(dossier.calibration.surrogates)
    calibration = (
        f"What counts as high was fixed beforehand by asking {counted(references, 'reference')}, models trained "
        f"without the source, and {counted(surrogates, 'surrogate')}, models made from it. None of them had a part "
        "in making the fingerprint."
    )
    sources = sources_in_words(dossier)
    return (fingerprint, questions, *([sources] if sources else []), calibration)


def replay_in_words(dossier: Dossier) -> tuple[str, ...]:
    """Return what deriving the verdict again has shown, a sentence an entry."""
    answers = counted(len(dossier.verdict.answers), "recorded answer")
    derived = f"The verdict was derived again from the {answers}. They give the recorded verdict, in every figure."
    if dossier.subject.sha256 in ("", dossier.file[1]):  # a judge's record does not say by which file
        return (derived,)
    other = (
        "The fingerprint's file at hand has another SHA-256 than the one that was used. Its id is the same, so its "
        "examples are the same. The part of its calibration that enters this verdict is the same too."
    )
    return derived, other
