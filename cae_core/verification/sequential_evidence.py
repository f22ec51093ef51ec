"""What the sequential mode saw, step by step."""

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["SequentialEvidence"]


@dataclass(frozen=True, kw_only=True)
class SequentialEvidence:
    """What the sequential mode saw.

    Attributes:
        examples: n, of the whole (chosen) fingerprint.
        k0: matches on all of them that an independent model may have.
        k1: matches on all of them that a surrogate has at least; None: this side was not asked.
        level_surrogate: rate of false accusations that the e-process allows, beside that of k0.
        level_independent: rate of missed surrogates that its mirror allows, beside that of k1.
        outcome: None where the budget ended first.
        interval: the 95 % confidence sequence of the fraction of matches on all n.
        trace: after each example: asked, matches, and log e of both sides; infinite where the count alone proves it.
    """

    examples: int
    k0: int
    k1: int | None
    level_surrogate: float
    level_independent: float
    outcome: Literal["surrogate", "independent"] | None
    interval: tuple[float, float]
    trace: tuple[tuple[int, int, float, float], ...] = field(repr=False)

    @property
    def log_e(self) -> tuple[float, float]:
        """At the stop, log e against an independent model and against a surrogate; 0 before the first answer."""
        return self.trace[-1][2:] if self.trace else (0.0, 0.0)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: each step of the trace by names; null stands for an infinite log e."""
        names = ("asked", "matches", "log_e_surrogate", "log_e_independent")
        trace = [
            {name: value if math.isfinite(value) else None for name, value in zip(names, row, strict=True)}
            for row in self.trace
        ]
        return {**vars(self), "trace": trace}
