"""The rule where the suspect was asked along a path, see `cae_core.verification.path`: the outcome at the stop."""

from collections.abc import Mapping

from cae_core.errors import OptionError
from cae_core.fingerprint.questions import MIN_BENIGN
from cae_core.verification.decision import ASK_ALL, NEITHER_KIND, NOT_PROVEN, Decision, Outcome, limited
from cae_core.verification.evidence import Evidence, Null
from cae_core.verification.examination import Examination
from cae_core.verification.path_evidence import PathEvidence

__all__ = ["decide_path", "of_few_probes"]


def decide_path(examination: Examination, evidence: Mapping[Null, Evidence]) -> Decision:
    """Decide by the outcome at the stop.

    Args:
        examination: of the suspect, with what the path showed.
        evidence: see `evidence_of`.

    Raises:
        OptionError: the suspect was not asked along a path.
    """
    seen, circumstances = examination.path, examination.circumstances
    if seen is None:
        raise OptionError("The suspect was not asked along a path. Decide by all answers at once.")
    found = _outlasting(_at_the_stop(examination, seen), examination, evidence)
    outcome, reason, remedy = limited(*found, circumstances)
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=None,  # of CAEAcc there is none: see the path's
        origin="path",
        value=examination.caeacc.value,
        p_value=evidence["independent"].p_value,
        p_value_surrogate=evidence["surrogate"].p_value,
        extrapolated=circumstances.extrapolation is not None,
        sides=examination.sides,
    )


def of_few_probes(examination: Examination) -> tuple[str, ...]:
    """Return in a sentence what so few benign probes do not show; empty where they are as many as elsewhere."""
    asked = len(examination.right)
    if asked >= min(MIN_BENIGN, len(examination.subject.fingerprint.probe_labels)):
        return ()
    measured = f"the suspect's accuracy was measured on only {asked} benign images"
    return (f"{measured}: they show that it was asked in the right way, but not whether any reference is as accurate",)


def _at_the_stop(examination: Examination, seen: PathEvidence) -> tuple[Outcome, str, str]:
    """Return outcome, reason and remedy by the ranks."""
    caeacc = examination.caeacc
    found = f"{caeacc.matches} matches in {caeacc.asked} of {seen.examples} examples"
    high = f"{seen.high.as_extreme} of {seen.high.models} independent models reach as high in the same order"
    low = f"{seen.low.as_extreme} of {seen.low.models} known copies fall as low"
    both = f"{found}: {high}, and {low}" if seen.low.models else f"{found}: {high}"
    if seen.outcome == "independent":
        return "independent", f"{both}; {NOT_PROVEN}", ""
    if seen.outcome is None:
        return "inconclusive", f"{both}, which is enough for neither outcome", _remedy(examination, seen)
    if examination.sides is not None and examination.sides.neither:
        return "inconclusive", f"{both}, so the suspect fits neither kind", NEITHER_KIND
    return "surrogate", both, ""


def _outlasting(
    found: tuple[Outcome, str, str], examination: Examination, evidence: Mapping[Null, Evidence]
) -> tuple[Outcome, str, str]:
    """Return the outcome where it holds although the answers showed further verifications of this suspect."""
    calibration, again = examination.subject.calibration, examination.options.recognised
    outcome, reason, _ = found
    if calibration is None or not again or outcome == "inconclusive":
        return found
    null: Null = "independent" if outcome == "surrogate" else "surrogate"
    if evidence[null].p_value <= (calibration.fpr if outcome == "surrogate" else calibration.fnr):
        return found
    times = f"{again} earlier verification{'s' * (again > 1)}"
    return "inconclusive", f"{reason}; this is not enough after {times} of the same model in another file", ASK_ALL


def _remedy(examination: Examination, seen: PathEvidence) -> str:
    if examination.caeacc.asked < seen.examples:
        return "Raise --max-queries."
    return "Ask all images at once, without --sequential, or make a fingerprint with larger pools."
