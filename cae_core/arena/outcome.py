"""From scores to accusations: every method's scores are ranked among the same references, and the ranks are counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cae_core.arrays import Floats64
from cae_core.calibration.adjusting import LEAST_PROBES
from cae_core.pool.manifest import PoolMember, Relation
from cae_core.statistics.adjustment import REFERENCES_TO_ADJUST, adjusted_scores, default_degree
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.ranks import exceeded_rank
from cae_core.statistics.roc import auc_interval, roc_auc

__all__ = ["ALL", "Count", "Judged", "Outcome", "Scores", "Summary", "judged"]

ALL = "all"
"""In place of a kind of theft: whatever the kind."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a method says of some models.

    Attributes:
        scores: float64 (m,), the higher the more alike.
        accuracy: float64 (m,), on the benign probes, 0 to 1.
        probes: how many these are.
    """

    scores: Floats64
    accuracy: Floats64
    probes: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A suspect among the references.

    Attributes:
        name: name of the model's file.
        relation: what it is in truth.
        kind: how it was made, in words.
        architecture: architecture, in words.
        accuracy: accuracy on the benign probes, 0 to 1.
        score: the method's.
        value: by which it is ranked: the score, or what of it benign accuracy does not explain.
        as_extreme: how many references are ranked as high, ties included.
        p_value: (1 + as_extreme) / (r + 1).
    """

    name: str
    relation: Relation
    kind: str
    architecture: str
    accuracy: float
    score: float
    value: float
    as_extreme: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many of some models are accused.

    Attributes:
        accused: k.
        models: n.
    """

    accused: int
    models: int

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`; with the exact 95 % interval of the share."""
        return {**vars(self), "interval": clopper_pearson(self.accused, self.models)}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a method makes of the suspects of one kind.

    Attributes:
        kind: kind of theft, or `ALL`.
        auc: probability that a surrogate of this kind is ranked above a reference of the role.
        interval: of it, 95 %, over models.
        detected: surrogates accused at the rate; None: the references are too few for it.
        detected_least: those accused at the least rate that the references support.
    """

    kind: str
    auc: float
    interval: tuple[float, float]
    detected: Count | None
    detected_least: Count


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A method with one budget.

    Attributes:
        method: name of the method, as the user gave it.
        configuration: name of the configuration.
        budget: scoring queries that it may ask.
        queries: those that it asks.
        all_queries: with the benign probes, where the score is adjusted by them.
        adjusted: whether it is.
        references: r, of the calibration.
        rate: requested rate of false accusations.
        suspects: those judged.
    """

    method: str
    configuration: str
    budget: int
    queries: int
    all_queries: int
    adjusted: bool
    references: int
    rate: float
    suspects: tuple[Judged, ...] = field(repr=False)

    @property
    def least_rate(self) -> float:
        """The least rate that the references support, 1 / (r + 1)."""
        return 1 / (self.references + 1)

    @property
    def false_claims(self) -> Count | None:
        """References of the role that are accused at the rate; None: the calibration's are too few for it."""
        return self._at_rate(self._of("reference"))

    @property
    def false_claims_least(self) -> Count:
        """Those accused at the least rate."""
        return _above_all(self._of("reference"))

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Of all thefts, and of each kind by name."""
        kinds = sorted({one.kind for one in self._of("surrogate")})
        return (self._summary(ALL, self._of("surrogate")), *(self._summary(k, self._of("surrogate", k)) for k in kinds))

    def json_fields(self) -> dict[str, Any]:
        """See `JsonFields`."""
        derived = ("least_rate", "false_claims", "false_claims_least", "summaries")
        return {**vars(self), **{name: getattr(self, name) for name in derived}}

    def _of(self, relation: Relation, kind: str | None = None) -> list[Judged]:
        return [one for one in self.suspects if one.relation == relation and kind in (None, one.kind)]

    def _summary(self, kind: str, surrogates: Sequence[Judged]) -> Summary:
        sides = [one.value for one in surrogates], [one.value for one in self._of("reference")]
        return Summary(
            kind=kind,
            auc=roc_auc(*sides),
            interval=auc_interval(*sides),
            detected=self._at_rate(surrogates),
            detected_least=_above_all(surrogates),
        )

    def _at_rate(self, some: Sequence[Judged]) -> Count | None:
        k = exceeded_rank(self.references, self.rate)
        return Count(accused=sum(one.as_extreme < k for one in some), models=len(some)) if k else None


def _above_all(some: Sequence[Judged]) -> Count:
    return Count(accused=sum(one.as_extreme == 0 for one in some), models=len(some))


def judged(
    members: Sequence[PoolMember], suspects: Scores, references: Scores, *, adjusts: bool
) -> tuple[tuple[Judged, ...], bool]:
    """Rank each suspect among the references, as `cae verify` does; ties count against the accuser.

    Args:
        members: the suspects.
        suspects: what the method says of them, in this order.
        references: and of the calibration's references.
        adjusts: whether benign accuracy is taken out where there are references and probes enough, see
            `cae_core.statistics.adjustment`; the larger p of both counts.

    Returns:
        The suspects in their order, and whether their scores were adjusted.
    """
    enough = len(references.scores) >= REFERENCES_TO_ADJUST and references.probes >= LEAST_PROBES
    found: list[Judged] = []
    for place, member in enumerate(members):
        score, accuracy = float(suspects.scores[place]), float(suspects.accuracy[place])
        value, as_extreme = score, int((references.scores >= score).sum())
        if adjusts and enough:
            value, adjusted_extreme = _adjusted(score, accuracy, references)
            as_extreme = max(as_extreme, adjusted_extreme)
        found.append(
            Judged(
                name=member.name,
                relation=member.relation,
                kind=member.kind or "unknown",
                architecture=member.architecture,
                accuracy=accuracy,
                score=score,
                value=value,
                as_extreme=as_extreme,
                p_value=(1 + as_extreme) / (len(references.scores) + 1),
            )
        )
    return tuple(found), adjusts and enough


def _adjusted(score: float, accuracy: float, references: Scores) -> tuple[float, int]:
    rates = np.append(references.scores, score)[np.newaxis]
    together = np.append(references.accuracy, accuracy)
    values = adjusted_scores(rates, together, default_degree(len(references.scores)))
    return float(values[-1]), int((values[:-1] >= values[-1]).sum())
