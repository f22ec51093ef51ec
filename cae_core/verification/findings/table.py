"""Which findings there are, in the order in which they are told."""

from collections.abc import Callable

from cae_core.verification.examination import Examination
from cae_core.verification.findings.adjusted_score import adjusted_score
from cae_core.verification.findings.finding import Finding
from cae_core.verification.findings.other_scores import other_scores
from cae_core.verification.findings.repeated_errors import repeated_errors

__all__ = ["FINDINGS", "findings_of"]

FINDINGS: tuple[Callable[[Examination], Finding], ...] = (other_scores, adjusted_score, repeated_errors)
"""The functions that find something; each gets the whole examination."""


def findings_of(examination: Examination) -> tuple[Finding, ...]:
    """Return what ``examination`` shows for information."""
    return tuple(find(examination) for find in FINDINGS)
