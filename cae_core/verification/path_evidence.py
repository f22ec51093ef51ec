"""What the sequential mode by path ranks saw, step by step."""

from dataclasses import dataclass, field
from typing import Literal

from cae_core.statistics.ranks import Among

__all__ = ["PathEvidence"]


@dataclass(frozen=True, kw_only=True)
class PathEvidence:
    """What the sequential mode saw.

    Attributes:
        examples: n, of the whole (chosen) fingerprint.
        high: place of the path's score among the references at the stop, see `PathTest.high`.
        low: place among the surrogates at the stop, by the answers that are no match.
        score: the largest lower limit of the match rate at the stop.
        score_independent: the largest lower limit of the rate of answers that are no match, at the stop.
        threshold: what the first had to exceed; None: there are too few references.
        threshold_independent: what the second had to exceed; None: there are too few surrogates.
        outcome: None where all was asked, or the budget ended, first.
        interval: where the fraction of matches on all n lies for certain, whatever those not asked would have shown.
        trace: after each example: asked, matches, and the lower limits of both rates so far.
    """

    examples: int
    high: Among
    low: Among
    score: float
    score_independent: float
    threshold: float | None
    threshold_independent: float | None
    outcome: Literal["surrogate", "independent"] | None
    interval: tuple[float, float]
    trace: tuple[tuple[int, int, float, float], ...] = field(repr=False)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: each step of the trace by names."""
        names = ("asked", "matches", "score", "score_independent")
        told = {name: value for name, value in vars(self).items() if name not in ("high", "low")}
        return {**told, "trace": [dict(zip(names, row, strict=True)) for row in self.trace]}
