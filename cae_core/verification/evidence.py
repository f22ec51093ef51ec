"""Each null hypothesis that decides, against the answers: how likely a model of that kind scores as extreme.

A further null hypothesis that only informs is a finding (`cae_core.verification.findings`).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Ranking, Standing
from cae_core.statistics.thresholds import LEAST_PARAMETRIC, as_counts
from cae_core.verification.examination import Examination, Sides

__all__ = ["Evidence", "Null", "Origin", "Rank", "evidence_of"]

Null: TypeAlias = Literal["independent", "surrogate"]
Origin: TypeAlias = Literal["rank", "path", "parametric", "literature"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One null hypothesis against the answers.

    Attributes:
        models: number n of known models of that kind.
        as_extreme: number of them that score as extreme as the suspect, ties included.
        p_value: how likely a model of that kind scores as extreme, over calibrations and suspects together; multiplied
            for the verifications before this one, see `VerificationOptions.factor`.
        p_once: the p-value without that factor.
        origin: ``rank``, ``path`` (the rank of a path), or ``parametric``, a model that gives no bound.
        null: what the suspect is ranked among; for sources, ``models`` counts these, or pairs with them.
        beside: the other one of two ranks of which the larger p counts; None if only one counts.
    """

    models: int
    as_extreme: int
    p_value: float
    p_once: float
    origin: Origin
    null: NullHypothesis = NullHypothesis.REFERENCES
    beside: "Rank | None" = None

    @property
    def ranks(self) -> tuple["Rank", ...]:
        """All ranks that count; the one that decides comes first."""
        own = Rank(null=self.null, as_extreme=self.as_extreme, models=self.models)
        return (own,) if self.beside is None else (own, self.beside)


@dataclass(frozen=True, kw_only=True)
class Rank:
    """How many are as extreme, and of how many: independent models, sources, or pairs, as ``null`` says."""

    null: NullHypothesis
    as_extreme: int
    models: int

    @property
    def p_value(self) -> Fraction:
        """The p-value by this rank alone."""
        return Fraction(1 + self.as_extreme, 1 + self.models)


def evidence_of(examination: Examination) -> dict[Null, Evidence]:
    """Return the evidence against each null hypothesis in use; none where nothing is calibrated."""
    calibration, standing, sides = examination.subject.calibration, examination.standing, examination.sides
    if calibration is None or standing is None or sides is None:
        return {}
    (independent, independent_once), (surrogate, surrogate_once) = _p_values(examination, calibration, standing)
    origin: Origin = "path" if examination.path is not None else "parametric" if calibration.parametric else "rank"
    rank, *others = _ranks(sides)
    return {
        "independent": Evidence(
            models=rank.models,
            as_extreme=rank.as_extreme,
            p_value=independent,
            p_once=independent_once,
            origin=origin,
            null=rank.null,
            beside=others[0] if others else None,
        ),
        "surrogate": Evidence(
            models=sides.surrogates,
            as_extreme=sides.as_low,
            p_value=surrogate,
            p_once=surrogate_once,
            origin=origin,
        ),
    }


def _ranks(sides: Sides) -> list[Rank]:
    """Return the ranks that count, the one with the largest p first."""
    as_extreme, of = sides.controls
    references = Rank(null=NullHypothesis.REFERENCES, as_extreme=sides.as_high, models=sides.references)
    if sides.null == NullHypothesis.REFERENCES:
        return [references]
    if sides.null != NullHypothesis.BOTH:
        return [Rank(null=sides.null, as_extreme=as_extreme, models=of)]
    sources = Rank(null=NullHypothesis.SOURCES, as_extreme=as_extreme, models=of)
    return sorted([references, sources], key=lambda rank: rank.p_value, reverse=True)


def _p_values(examination: Examination, calibration: Calibration, standing: Standing) -> list[tuple[float, float]]:
    """Return p of either kind, multiplied and as of a single verification."""
    factor = examination.options.factor
    if examination.sequential is not None:
        sides = zip((calibration.fpr, calibration.fnr), examination.sequential.log_e, strict=True)
        return [(_at_the_stop(rate, log_e, factor), _at_the_stop(rate, log_e)) for rate, log_e in sides]
    if examination.path is not None:
        once = examination.path.high.p_value, examination.path.low.p_value
    elif examination.controls is not None and examination.exact_p_value is not None:
        once = float(examination.exact_p_value), standing.p_value_surrogate
    elif calibration.parametric:
        once = _parametric(standing, len(examination.matches))
    else:
        once = standing.p_value, standing.p_value_surrogate
    return [(min(1.0, factor * p), p) for p in once]


def _at_the_stop(rate: float, log_e: float, factor: float = 1) -> float:
    """Return rate(k) + factor / E at the stop, at most 1.

    K exceeds k0 for an independent model with at most the first, and E reaches 1/x while K <= k0 with at most x, so
    that p <= rate happens with at most that rate. Another order draws E anew and leaves K as it is: only the second
    part is multiplied.
    """
    at_most = rate if log_e >= -math.log(rate / 2 / factor) else 1.0  # rounded, two halves can be more than the whole
    return min(at_most, rate / 2 + factor * math.exp(-max(0.0, log_e)))


def _parametric(standing: Standing, asked: int) -> tuple[float, float]:
    """Return the largest p of either kind by beta-binomial models of the counts of `asked` examples."""
    references = max(_by_counts(ranking, asked) for ranking in standing.references)
    return references, max(_by_counts(ranking, asked) for ranking in standing.surrogates)


def _by_counts(ranking: Ranking, asked: int) -> float:
    from cae_core.statistics.parametric import beta_binomial_p_value

    counts, observed = as_counts(ranking.scores, asked), round(ranking.value * asked)
    if len(counts) < LEAST_PARAMETRIC:
        return 1.0
    if ranking.high:
        return beta_binomial_p_value(counts, asked, observed)
    return beta_binomial_p_value(asked - counts, asked, asked - observed)
