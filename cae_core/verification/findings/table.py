"""Which findings there are, in the order in which they are told."""

from collections.abc import Callable

from cae_core.verification.examination import Examination
from cae_core.verification.findings.adjusted_score import adjusted_score
from cae_core.verification.findings.exposure_groups import exposure_groups
from cae_core.verification.findings.finding import Finding
from cae_core.verification.findings.null_hypothesis import null_hypothesis
from cae_core.verification.findings.other_scores import other_scores
from cae_core.verification.findings.power import power
from cae_core.verification.findings.preprocessed_groups import preprocessed_groups
from cae_core.verification.findings.repeated_errors import repeated_errors
from cae_core.verification.findings.source_ranks import source_ranks

__all__ = ["FINDINGS", "findings_of"]

FINDINGS: tuple[Callable[[Examination], Finding], ...] = (
    other_scores,
    adjusted_score,
    exposure_groups,
    preprocessed_groups,
    repeated_errors,
    source_ranks,
    null_hypothesis,
    power,
)
"""The functions that find something; each gets the whole examination."""


_WHERE_USED = ("controls", "preprocessed")
"""Keys of findings that are told of only where they find something."""


def findings_of(examination: Examination) -> tuple[Finding, ...]:
    """Return what ``examination`` shows for information."""
    found = (find(examination) for find in FINDINGS)
    return tuple(finding for finding in found if finding.value is not None or finding.key not in _WHERE_USED)
