"""What each null hypothesis costs at a rate: models to train, and queries that each suspect takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.fingerprint.questions import queries_for_examples
from cae_core.statistics.ranks import models_needed

__all__ = ["LEAST_CONTROLS", "NullPlan", "plan_nulls"]

LEAST_CONTROLS = 3
"""Of a two-way plan: with fewer, hardly anything is known of how sources differ."""


@dataclass(frozen=True, kw_only=True)
class NullPlan:
    """What one null hypothesis takes at least.

    Attributes:
        null: which one.
        references: of the role calibrate.
        controls: control sources.
        models: to train, the controls' surrogates among them.
        queries: that each suspect is asked, with the benign images and the repeats.
    """

    null: NullHypothesis
    references: int
    controls: int
    models: int
    queries: int


def plan_nulls(fpr: float, *, surrogates: int, examples: int, probes: int) -> list[NullPlan]:
    """Say what each null hypothesis takes at the rate ``fpr``; of the two-way rank the way with the fewest models.

    Args:
        fpr: rate of false accusations.
        surrogates: that each control source has, as many as the claimed one's generate ones.
        examples: of each source.
        probes: benign images.

    Example:
        >>> [(p.references, p.controls, p.models) for p in plan_nulls(0.05, surrogates=5, examples=50, probes=200)]
        [(19, 0, 19), (0, 19, 114), (4, 3, 22), (19, 19, 133)]

    Raises:
        OptionError: the rate is not in (0, 1).
    """
    needed = models_needed(fpr)

    def plan(null: NullHypothesis, references: int, controls: int) -> NullPlan:
        return NullPlan(
            null=null,
            references=references,
            controls=controls,
            models=references + controls * (1 + surrogates),
            queries=queries_for_examples((1 + controls) * examples, probes),
        )

    two_way = [plan(NullHypothesis.TWO_WAY, r, m) for r, m in _tables(fpr)]
    return [
        plan(NullHypothesis.REFERENCES, needed, 0),
        plan(NullHypothesis.SOURCES, 0, needed),
        min(two_way, key=lambda found: found.models),
        plan(NullHypothesis.BOTH, needed, needed),
    ]


def _tables(fpr: float) -> Iterator[tuple[int, int]]:
    """Yield numbers of references and controls, at least 1 and `LEAST_CONTROLS`, that give the pairs a rate takes."""
    cells = models_needed(fpr) + 1
    for controls in range(LEAST_CONTROLS, max(cells, LEAST_CONTROLS + 1)):
        yield max(1, ceil(Fraction(cells, controls + 1)) - 1), controls
