"""The sequential verdict by one rank: known models' recorded answers, replayed in the order of the suspect's.

After t answers, s of them matches, stands the lower Wilson limit of the match rate at z = 2 (Wilson 1927; Brown, Cai &
DasGupta 2001):

    g(t, s) = (s + 2 - 2 √(s (t - s) / t + 1)) / (t + 4)

The score of a path is its largest g from the fifth answer on. **Exact at every stopping time**: the score of a whole
path is one number a model, computed alike for all, so that among r references the suspect's exceeds the k-th largest
with a probability of at most k / (r + 1), whatever the answers are like and however they hang together
(`cae_core.statistics.ranks`). The largest g so far never exceeds that of the whole path: wherever one stops, an
accusation is one that the whole path would have been. So nothing is halved, and 19 references support 5 %. The mirror
takes the answers that are *no* match, and ranks the suspect among surrogates.

**It takes an order that nobody chose.** The order is the same for all models and does not depend on the suspect's
answers; whoever can try ten has ten draws (``docs/results/simulations.md``).

**Why this g.** Any function of t and s would be as valid. The lower Jeffreys limit, a quantile of Beta(s + 1/2,
t - s + 1/2), needs 1 to 2 % more answers at its best level, 1 %; this one is square roots and divisions, which give the
same bits on every machine, so that ties stay ties. Of z from 1.5 to 4, 2 took the fewest
answers where rates are 5 and 1 % (`examples/experiments/few_queries.py`).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.errors import OptionError
from cae_core.statistics.e_process import SequentialOutcome
from cae_core.statistics.ranks import Among, exceeded_rank, rank_p_value

__all__ = ["FEWEST_ANSWERS", "PathState", "PathTest", "path_scores", "wilson_limits"]

FEWEST_ANSWERS = 5
"""Nothing is decided by fewer: one answer would be enough where known models hardly ever give it."""

_Z = 2.0


def wilson_limits(matches: Labels, asked: Labels) -> Floats64:
    """Return the lower Wilson limits at z = 2 of match rates; the arguments broadcast.

    Args:
        matches: s, 0 .. t.
        asked: t, at least 1.

    Example:
        >>> wilson_limits(np.array([0, 4, 12]), np.array([4, 4, 12]))
        array([0.  , 0.5 , 0.75])
    """
    s, t = np.asarray(matches, np.float64), np.asarray(asked, np.float64)
    return np.asarray((s + _Z - _Z * np.sqrt(s * (t - s) / t + 1)) / (t + _Z * _Z), np.float64)


def path_scores(matches: NDArray[np.bool_]) -> Floats64:
    """Return the scores (m,) of whole paths, in [0, 1).

    Args:
        matches: bool (m, n), of m models in the order asked, n at least 1.
    """
    asked: Labels = np.arange(FEWEST_ANSWERS, matches.shape[1] + 1, dtype=np.int64)
    counts: Labels = np.cumsum(matches, axis=1, dtype=np.int64)[:, FEWEST_ANSWERS - 1 :]
    return np.asarray(wilson_limits(counts, asked).max(axis=1, initial=0), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class PathTest:
    """Two ranks of one path, among references by its matches and among surrogates by the others.

    A model exchangeable with the references of *some* group is called a surrogate with probability at most ``fpr``,
    one exchangeable with the surrogates independent with probability at most ``fnr``: over models and orders together,
    at every stopping time.

    Attributes:
        references: float64 (r_g,) of each group, the scores of whole paths in the suspect's order; at least one group.
        surrogates: float64 (r_S,), likewise by the answers that are no match.
        fpr: rate of the first, in (0, 1).
        fnr: rate of the second, in (0, 1).
    """

    references: tuple[Floats64, ...]
    surrogates: Floats64
    fpr: float
    fnr: float

    def __post_init__(self) -> None:
        if not self.references:
            raise OptionError("A test by path ranks takes at least one group of references; found none.")

    @cached_property
    def threshold(self) -> float | None:
        """What a path has to exceed to be accused: the highest of the groups'; None: some group is too small."""
        found = [_exceeded(group, self.fpr) for group in self.references]
        return max((x for x in found if x is not None), default=None) if None not in found else None

    @cached_property
    def threshold_independent(self) -> float | None:
        """Likewise by the answers that are no match; None: there are too few surrogates."""
        return _exceeded(self.surrogates, self.fnr)

    def fewest_answers(self) -> tuple[int | None, int | None]:
        """Return after how few answers *surrogate* and *independent* can come, if all are matches or none is.

        None: that outcome never comes.

        Example:
            >>> test = PathTest(references=(np.full(19, 0.5),), surrogates=np.zeros(9), fpr=0.05, fnr=0.05)
            >>> test.fewest_answers()
            (5, None)
        """
        return _fewest(self.threshold), _fewest(self.threshold_independent)

    def high(self, score: float) -> Among:
        """Return how a path's score stands among the references: in the group where it is least extreme."""
        return max((_among(group, score) for group in self.references), key=lambda found: found.p_value)

    def low(self, score: float) -> Among:
        """Return how a path's score, by the answers that are no match, stands among the surrogates."""
        return _among(self.surrogates, score)

    def start(self) -> "PathState":
        """Return the state before the first answer."""
        return PathState(test=self, asked=0, matches=0, score=0.0, score_independent=0.0, outcome=None)


@dataclass(frozen=True, kw_only=True)
class PathState:
    """What the answers so far say.

    Attributes:
        test: that is under way.
        asked: answers so far, t.
        matches: of them, s.
        score: the largest lower limit of the match rate so far, 0 before the fifth answer.
        score_independent: likewise of the rate of answers that are no match.
        outcome: of the first threshold exceeded; later answers do not change it.
    """

    test: PathTest
    asked: int
    matches: int
    score: float
    score_independent: float
    outcome: SequentialOutcome | None

    def updated(self, match: bool) -> "PathState":  # noqa: FBT001 - the one thing that an answer is
        """Return the state after one more answer; a refusal is no match."""
        asked, matches = self.asked + 1, self.matches + bool(match)
        early = asked < FEWEST_ANSWERS
        now = [0.0, 0.0] if early else wilson_limits(np.array([matches, asked - matches]), np.array(asked)).tolist()
        score, independent = max(self.score, now[0]), max(self.score_independent, now[1])
        outcome = self.outcome
        if outcome is None and _exceeds(score, self.test.threshold):
            outcome = "surrogate"
        elif outcome is None and _exceeds(independent, self.test.threshold_independent):
            outcome = "independent"
        return PathState(
            test=self.test,
            asked=asked,
            matches=matches,
            score=score,
            score_independent=independent,
            outcome=outcome,
        )


def _exceeds(score: float, threshold: float | None) -> bool:
    return threshold is not None and score > threshold


def _exceeded(scores: Floats64, rate: float) -> float | None:
    """Return the score that p <= rate takes more than; None: there are too few models."""
    k = exceeded_rank(len(scores), rate)
    return float(np.sort(scores)[-k]) if k else None


def _fewest(threshold: float | None) -> int | None:
    """Return the least t with g(t, t) = t / (t + 4) above the threshold."""
    if threshold is None:
        return None
    least = max(FEWEST_ANSWERS, math.floor(_Z * _Z * threshold / (1 - threshold)))
    return next(t for t in range(least, least + 3) if float(wilson_limits(np.array(t), np.array(t))) > threshold)


def _among(scores: Floats64, score: float) -> Among:
    reached = int((scores >= score).sum())
    return Among(models=len(scores), as_extreme=reached, p_value=rank_p_value(scores, score))
