"""What a judged case rests on, in lines for people."""

from cae_core.disputes.case import Case
from cae_core.disputes.judging import Judgement
from cae_core.files.records import as_json
from cae_core.foreign_text import visible

__all__ = ["case_facts"]


def case_facts(case: Case) -> dict[str, str]:
    """Return names and values, in the order in which they are to be read; what does not apply is left out."""
    judgement, opening = case.judgement, case.claim.opening
    evidence = as_json(judgement.evidence)
    facts: dict[str, str | None] = {
        "reason": judgement.reason,
        "remedy": judgement.remedy or None,
        "p-value": _p_value(judgement),
        "references": f"{judgement.references} of the judge's; the rate needs {judgement.needed}",
        "control sources": _controls(judgement),
        "sealed": f"{evidence['sealed_at'] or 'not dated'}  {visible(judgement.evidence.authority)}",
        "suspect since": evidence["suspect_since"] or "not known",
        "claim": f"{opening.fingerprint_id[:16]}, by {visible(opening.claimant) or 'nobody named'}",
        "signed by": "not signed" if case.signed_by is None else f"the key {case.signed_by}; decides nothing",
        "consistency": _consistency(case),
        "replay": _replay(case),
        "regenerated": _regenerated(case),
        "containment": f"suspect: {case.containment.suspect.words}; claimant: {case.containment.claimant.words}",
        "nonce": case.nonce.hex(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _p_value(judgement: Judgement) -> str | None:
    if judgement.p_value is None or judgement.p_adjusted is None:
        return None
    return (
        f"{judgement.p_value:.4g}, times {judgement.seals} seal(s) {judgement.p_adjusted:.4g}; rate {judgement.fpr:g}"
    )


def _controls(judgement: Judgement) -> str | None:
    if judgement.controls is None:
        return None
    return f"{judgement.controls} of the judge's; the rate needs {judgement.controls_needed}; the larger p counts"


def _consistency(case: Case) -> str:
    found = case.consistency
    return (
        f"of {found.examples} examples {found.within_eps} within eps, {found.source_label} with the source's label, "
        f"{found.seeds_right} seeds right; decides nothing"
    )


def _replay(case: Case) -> str | None:
    if case.replay is None:
        return None
    found = case.replay
    return (
        f"{found.passed} of {len(found.examples)} examples; largest difference of conferrability "
        f"{found.largest_conferrability_difference:.2g}, least share of pixels within one level "
        f"{found.least_pixels_within_one_level:.3f}; decides nothing"
    )


def _regenerated(case: Case) -> str | None:
    if case.regeneration is None:
        return None
    made = case.regeneration.fingerprint
    return f"{made.id[:16]}, {len(made)} examples"
