"""Where a suspect stands among the calibration models: its rank by a score, in each group of references by itself.

A p-value against "independent" is the largest of those that count, so that it is valid wherever any one of them is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.group_ranks import exceeded_score, group_p_value
from cae_core.statistics.ranks import models_needed, rank_p_value
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import just_above, least_accused
from cae_core.statistics.unit import Unit

__all__ = ["Ranking", "Seen", "Standing", "behind_words", "largest"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a suspect showed, as far as scores are made of it.

    Attributes:
        asked: int64 (a,), the examples that it was asked.
        matches: bool (a,), to which of them it gives the source's label.
        probed: int64 (b,), the benign probes that it was asked.
        right: bool (b,), about which of them it is right.
    """

    asked: Labels
    matches: NDArray[np.bool_]
    probed: Labels
    right: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A suspect beside calibration models of one relation, by one score over the same images.

    Attributes:
        score: which one.
        value: the suspect's.
        rows: int64 (r,), which of the relation's models these are.
        scores: float64 (r,), theirs.
        high: whether it is asked if the value is unusually high, as among references; else unusually low.
        exposure: of the references that it is ranked among, or adjusted by; unknown where they are not told apart.
        behind: the defence behind which the references were asked; empty where none.
        unit: what counts as one draw.
        units: int64 (r,), to which one each of the models belongs; None: each is one.
        opposite: among surrogates, the highest score of a reference on the same scale; NaN where there is none.
    """

    score: Score
    value: float
    rows: Labels
    scores: Floats64
    high: bool = True
    exposure: Exposure = Exposure.UNKNOWN
    behind: str = ""
    unit: Unit = Unit.MODEL
    units: Labels | None = None
    opposite: float = np.nan

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def draws(self) -> int:
        """How many units there are."""
        return len(self) if self.units is None else len(set(self.units.tolist()))

    @property
    def as_extreme(self) -> int:
        """How many of the models score as high as the suspect, or as low; ties count."""
        return int((self.scores >= self.value if self.high else self.scores <= self.value).sum())

    @property
    def highest(self) -> float:
        """The highest score of the models; NaN where there is none."""
        return float(self.scores.max()) if len(self) else np.nan

    @property
    def among(self) -> str:
        """Which models these are, in words after a noun and a space; empty where nothing tells them apart."""
        return " ".join(filter(None, (self.exposure.words if self.exposure else "", behind_words(self.behind))))

    def described(self) -> dict[str, str | float]:
        """Return it as JSON holds it, without what tells its models apart."""
        return {
            "score": self.score.value,
            "value": self.value,
            "models": len(self),
            "as_extreme": self.as_extreme,
            "p_value": self.p_value,
        }

    @property
    def nearer_to_references(self) -> bool:
        """Among surrogates: whether the suspect is nearer to the highest reference than to the lowest surrogate."""
        return len(self) > 0 and self.value - self.opposite < float(self.scores.min()) - self.value

    def unlike_all(self, fnr: float, as_extreme: int | None = None) -> bool:
        """Among surrogates: whether the suspect, if it stands out from the references, is like none of these either.

        It scores below every one of them, and they are enough to say so at the rate ``fnr``; or they are fewer, and it
        is nearer to the references. One more copy of their kind is below all s of them with a probability of up to
        1 / (s + 1), which is much where s is small.

        Args:
            fnr: how often a copy may be said to be none.
            as_extreme: how many score as low, where another score than this one decides that.
        """
        as_low = self.as_extreme if as_extreme is None else as_extreme
        if as_low or not len(self):
            return False
        return len(self) >= models_needed(fnr) or self.nearer_to_references

    @property
    def p_value(self) -> float:
        """How likely one more such model scores as extreme, by rank."""
        sign = 1 if self.high else -1
        if self.units is not None:
            return float(self.exact_p_value)
        return rank_p_value(sign * self.scores, sign * self.value)

    @property
    def exact_p_value(self) -> Fraction:
        """The same without rounding: multiplied, 1/60 is to stay what it is."""
        if self.units is not None:
            sign = 1 if self.high else -1
            return group_p_value(sign * self.scores, sign * self.value, self.units)
        return Fraction(1 + self.as_extreme, len(self) + 1)

    def threshold(self, asked: int, *, rate: float, parametric: bool = False) -> float | None:
        """Return the least value with p <= rate among models that must not score high; None where there is none."""
        if self.units is None:
            return least_accused(self.scores, asked, fpr=rate, score=self.score, parametric=parametric)
        exceeded = exceeded_score(self.scores, self.units, rate)
        return None if exceeded is None else just_above(exceeded, asked, self.score)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a suspect stands among the calibration models.

    Attributes:
        references: every ranking among references that counts; the largest p decides.
        surrogates: likewise among surrogates.
        outside: whether the suspect's accuracy lies beyond those of references by which a score was adjusted.
    """

    references: tuple[Ranking, ...]
    surrogates: tuple[Ranking, ...]
    outside: bool = False

    @property
    def among(self) -> str:
        """Which references decide, in words after a noun and a space; empty where all are one group."""
        several = len({(ranking.exposure, ranking.behind) for ranking in self.references}) > 1
        return f" {self.high.among}" if several and self.high.among else ""

    @property
    def counted_as(self) -> str:
        """How they are counted, in a clause; empty where each is one draw."""
        if self.high.unit == Unit.MODEL:
            return ""
        return f", in {self.high.draws} {self.high.unit.plural} that count as one each"

    def accuses(self, *, fpr: float, fnr: float) -> bool:
        """Return whether the ranks accuse: the references' does, and known copies do not stand against it."""
        return self.p_value <= fpr and not self.low.unlike_all(fnr)

    @property
    def high(self) -> Ranking:
        """The ranking among references that decides; of equal ones the first."""
        return max(self.references, key=lambda ranking: ranking.p_value)

    @property
    def low(self) -> Ranking:
        """The ranking among surrogates that decides."""
        return max(self.surrogates, key=lambda ranking: ranking.p_value)

    @property
    def beside(self) -> Ranking:
        """The ranking among surrogates by the score that decides an accusation."""
        return next(ranking for ranking in self.surrogates if ranking.score == self.score)

    @property
    def score(self) -> Score:
        """By which an accusation is decided."""
        return self.high.score

    @property
    def value(self) -> float:
        """The suspect's, by that score."""
        return self.high.value

    @property
    def p_value(self) -> float:
        """How likely an independent model scores this high, by rank."""
        return self.high.p_value

    @property
    def p_value_surrogate(self) -> float:
        """How likely a surrogate scores this low, by rank."""
        return self.low.p_value

    def threshold(self, asked: int, *, rate: float, parametric: bool) -> float | None:
        """Return the least value of the deciding score with p <= rate, see `least_accused`; None where there is none.

        An adjusted score is made of suspect and references together: there it is what this suspect would have had to
        exceed, with the references' scores as they are beside it.
        """
        decides = [self.high] if self.score == Score.ADJUSTED else self.references
        same = (ranking for ranking in decides if ranking.score == self.score)
        return largest(ranking.threshold(asked, rate=rate, parametric=parametric) for ranking in same)


def behind_words(behind: str) -> str:
    """Return what is said of references that were asked behind a defence, after a noun; empty without one."""
    return f"behind {behind}" if behind else ""


def largest(thresholds: Iterable[float | None]) -> float | None:
    """Return the threshold of several groups that all have to be exceeded; None where one of them has none."""
    found = list(thresholds)
    known = [threshold for threshold in found if threshold is not None]
    return max(known) if known and len(known) == len(found) else None
