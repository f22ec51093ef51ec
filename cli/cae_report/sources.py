"""What the report says where a suspect is ranked among sources, and not, or not only, among references."""

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.verification.control_standing import ControlStanding
from cae_report.dossier import Dossier
from cae_report.text import counted, percent

__all__ = ["SOURCES_THRESHOLD", "limit_of_sources", "rank_in_words", "ranked_among", "sources_in_words"]

SOURCES_THRESHOLD = (
    "the score from which the suspect is accused at the chosen error rate, given its matches with the control sources"
)


def rank_in_words(controls: ControlStanding, fpr: float) -> str:
    """Return why the suspect is accused, in a clause for people who do not know the method."""
    as_extreme, of = controls.as_extreme
    if controls.null.for_any_suspect:
        found = (
            f"it does so as often with {as_extreme} of {counted(of, 'other source')} that were trained like this one"
        )
        kind = "independent models, of whatever kind,"
        if controls.null == NullHypothesis.BOTH:
            models = counted(len(controls.references), "independently trained model")
            found += f", and {controls.references_as_high} of {models} as often with this one"
            kind = "independent models, like these or not,"
    else:
        found = (
            f"once the average of each model and of each source is subtracted, {as_extreme} of {of} other pairs of an "
            "independently trained model and a source stand as high"
        )
        kind = "independent models like the references"
    return f"{found}, and at most {percent(fpr)} of {kind} are wrongly accused by this procedure, averaged over sources"


def ranked_among(dossier: Dossier) -> str:
    """Return among what the p-value is a rank; empty where among references alone."""
    controls = dossier.examination.controls
    if controls is None:
        return ""
    control_sources = counted(controls.sources, "control source")
    if controls.null == NullHypothesis.SOURCES:
        return control_sources
    models = counted(len(controls.references), "reference")
    if controls.null == NullHypothesis.BOTH:
        return f"{models}, and by rank among {control_sources}, whichever p is larger"
    return f"pairs of {models} or the suspect with {control_sources} or the claimed one"


def sources_in_words(dossier: Dossier) -> str:
    """Return how control sources enter, in two sentences; empty where they do not."""
    controls = dossier.examination.controls
    if controls is None:
        return ""
    return (
        f"The owner also trained {counted(controls.sources, 'control source')} by the claimed source's own recipe, and "
        "made images of each in the same way. The suspect was asked equally many images of each source. A model that "
        "derives from none of the sources cannot tell which one is claimed."
    )


def limit_of_sources(controls: ControlStanding, fpr: float) -> tuple[str, str]:
    """Return title and text of what the rate does not hold for."""
    text = (
        f"The rate of false accusations, {percent(fpr)}, is an average over sources that are made alike: the claimed "
        f"source and {counted(controls.sources, 'control source')}. For this very source it may be higher. Only the "
        "owner says that the control sources were made by its recipe, on the same data and with as many surrogates."
    )
    if controls.null == NullHypothesis.BOTH:
        text += (
            f" It also holds, whatever the control sources are, for a suspect that is one more model like the "
            f"{counted(len(controls.references), 'reference')}. Where neither is so, it says nothing."
        )
        return "Anything about a suspect unlike the references and a source unlike its control sources", text
    return "Anything about a source unlike its control sources", text
