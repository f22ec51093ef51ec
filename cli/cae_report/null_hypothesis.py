"""What a verdict's error rate is, and which hypothesis its p-value speaks of, in sentences for a reader of the page."""

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_report.dossier import Dossier
from cae_report.text import counted, number, percent

__all__ = ["error_rate_in_words", "innocents", "likely_as", "null_in_words", "presumed_innocence"]


def error_rate_in_words(dossier: Dossier) -> str:
    """Return how often this procedure errs, as far as anybody knows."""
    calibration, verdict = dossier.calibration, dossier.verdict.decision.verdict
    if calibration is None:
        return "The error rate is unknown. The fingerprint is not calibrated, and the threshold is a rule of thumb."
    accused = f"This procedure accuses at most {percent(calibration.fpr)} of {innocents(dossier)}"
    if dossier.verdict.decision.origin == "parametric":
        return f"{accused}, if a fitted statistical model holds. The rate is not guaranteed."
    if verdict == "independent":
        return f"This procedure misses at most {percent(calibration.fnr)} of copies like the known ones, on average."
    if verdict == "surrogate":
        return f"{accused}, on average over many calibrations."
    misses = f" and misses at most {percent(calibration.fnr)} of copies like the known ones"
    return (
        f"This verdict accuses nobody and clears nobody. {accused}{misses if len(calibration.surrogates) else ''}, on "
        "average."
    )


def null_in_words(dossier: Dossier) -> tuple[str, ...]:
    """Return each hypothesis that the verdict tests, with its p-value, a paragraph an entry; empty where there is none.

    The first is what an accusation has to reject. The second is what the verdict "independent" has to reject; an
    accusation leaves it out.
    """
    decision, calibration = dossier.verdict.decision, dossier.calibration
    if calibration is None or decision.p_value is None:
        return ()
    modelled, innocence = decision.origin == "parametric", presumed_innocence(dossier.subject)
    likely = likely_as(decision.p_value, modelled=modelled)
    told = [f"Before it is accused, the suspect counts as innocent: {innocence}. {likely}"]
    copies = len(calibration.surrogates)
    if copies and decision.p_value_surrogate is not None and decision.verdict != "surrogate":
        likely = likely_as(decision.p_value_surrogate, modelled=modelled)
        known = "the known copy" if copies == 1 else f"the {copies} known copies"
        told.append(f"Before it is cleared, the suspect counts as one more copy like {known} of the source. {likely}")
    return tuple(told)


def likely_as(p_value: float, *, modelled: bool = False) -> str:
    """Return what a p-value says of its hypothesis, and what it does not."""
    found = number(p_value)
    if modelled:
        return f"By a fitted statistical model p is {found} under this hypothesis. This number is not guaranteed."
    if p_value >= 1:
        return "Nothing speaks against this hypothesis: p is 1."
    return (
        f"If that hypothesis is true, a result at least as extreme turns up in at most {percent(p_value)} of cases "
        f"(p = {found}). That is not the probability that the hypothesis is true."
    )


def innocents(dossier: Dossier) -> str:
    """Return of which independent models the rate of false accusations speaks."""
    controls = dossier.examination.controls
    if controls is not None and controls.null.for_any_suspect:
        return "independent models of whatever kind"
    return "independent models like the references"


def presumed_innocence(subject: CalibratedFingerprint) -> str:
    """Return the hypothesis that an accusation has to reject, in a clause of which the suspect is "it"."""
    references = 0 if subject.calibration is None else len(subject.calibration.references)
    like_references = (
        f"it was trained without the source, and is one more model like the {counted(references, 'reference')}"
    )
    if subject.calibration is None or not subject.asks_controls:
        return like_references
    return _among_sources(subject.calibration.null, subject.fingerprint.controls, like_references)


def _among_sources(null: NullHypothesis, controls: int, like_references: str) -> str:
    like_sources = (
        "it derives from none of the sources, and the claimed source is one more of those that were trained by its "
        f"recipe, of which there are {controls + 1}"
    )
    if null == NullHypothesis.SOURCES:
        return like_sources
    if null == NullHypothesis.BOTH:
        return f"either {like_references}; or {like_sources}"
    return (
        "it and the claimed source are one more pair like the pairs of an independently trained model and one of the "
        f"{counted(controls, 'control source')}"
    )
