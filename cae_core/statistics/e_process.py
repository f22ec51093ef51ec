"""The sequential verdict: ask in random order and stop as soon as the answers prove what the whole count would be.

The suspect is fixed, so its matches K on all n examples are a fixed number, and the random order draws them without
replacement. After t answers, s of them matches, a path's likelihood is proportional to

    L_K = K (K-1) … (K-s+1)  ·  (n-K) (n-K-1) … (n-K-(t-s)+1)

(Waudby-Smith & Ramdas 2020, "Confidence sequences for sampling without replacement"). Against H0: K <= k0 stands

    E_t = Σ_{K1 > k0} w_{K1} L_{K1} / L_{k0},    w_{K1} ∝ K1 - k0,

a mixture of bets on every larger count, the larger the heavier. It is an e-process: E[E_τ] <= 1 at every stopping
time τ, so that P(E ever reaches 1/level) <= level (Ville's inequality), however often one looks.

**For K < k0 too**, not only for K = k0. E_t multiplies by q/p at a match and by (1-q)/(1-p) otherwise, where
p = (k0-s)/(n-t) and q is the mixture's own probability of a match: the mean of (K1-s)/(n-t) over its posterior. Every
K1 is larger than k0, so q >= p and a match never lowers E. With K <= k0 a match has probability π <= p, and the
expected factor π q/p + (1-π)(1-q)/(1-p) <= p q/p + (1-p)(1-q)/(1-p) = 1. Where s > k0 the count alone refutes H0, and E
is infinite.

**Why these weights.** Of uniform, Beta-binomial and power weights, with n = 100, true rates 0.95, 0.87, 0.60 against k0
of 50, 60, 75 and levels of 5, 2.5 and 1 %, K1 - k0 took 24, 26 and 30 queries on average, 6 to 8 % more than all weight
on the true K; none was better at every level, and these have no constant to tune (``docs/results/simulations.md``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = [
    "SequentialOutcome",
    "SequentialState",
    "SequentialTest",
    "confidence_sequence",
    "log_e_values",
    "running_confidence_sequence",
    "trace",
]

SequentialOutcome: TypeAlias = Literal["surrogate", "independent"]


@dataclass(frozen=True, kw_only=True)
class SequentialTest:
    """Two e-processes on one stream of answers, each stopped at 1 / its level; what crosses first is the outcome.

    Under K <= k0 the outcome is *surrogate* with probability at most ``fpr``, under K >= k1 *independent* with
    probability at most ``fnr``, over the random order of the examples. Both need the order to be independent of the
    answers. Where everything was asked and k1 > k0, there always is an outcome.

    Attributes:
        examples: n, of the whole fingerprint or of its chosen part; at least 1.
        k0: H0: K <= k0, at least 0; from n on the outcome is never *surrogate*.
        k1: the mirror's H0': K >= k1, at most n; None, 0 or less: the outcome is never *independent*.
        fpr: level of the first, in (0, 1).
        fnr: level of the second, in (0, 1).
    """

    examples: int
    k0: int
    k1: int | None
    fpr: float
    fnr: float

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise OptionError(f"A sequential test takes at least one example; found {self.examples}.")
        if self.k0 < 0:
            raise OptionError(f"k0 must be at least 0, or no answer would be needed to accuse; found {self.k0}.")
        if self.k1 is not None and self.k1 > self.examples:
            raise OptionError(f"k1 must be at most n = {self.examples}, or no answer would acquit; found {self.k1}.")
        for name, level in (("fpr", self.fpr), ("fnr", self.fnr)):
            if not 0 < level < 1:
                raise OptionError(f"{name} must lie between 0 and 1; found {level}.")

    def fewest_answers(self) -> tuple[int | None, int | None]:
        """Return after how few answers *surrogate* and *independent* can come, if all are matches or none is.

        None: that outcome never comes.

        Example:
            >>> SequentialTest(examples=100, k0=50, k1=90, fpr=0.01, fnr=0.01).fewest_answers()
            (8, 3)
        """
        surrogate = _fewest(self.examples, self.k0, self.fpr)
        independent = None if self.k1 is None else _fewest(self.examples, self.examples - self.k1, self.fnr)
        return surrogate, independent

    def start(self) -> "SequentialState":
        """Return the state before the first answer."""
        return _state(self, asked=0, matches=0, outcome=None)


@dataclass(frozen=True, kw_only=True)
class SequentialState:
    """What the answers so far say.

    Attributes:
        test: that is under way.
        asked: answers so far, t.
        matches: of them, s.
        log_e_surrogate: natural logarithm of the present e-value (not of its maximum) against K <= k0. ``inf``: the
            count alone refutes it; ``-inf``: the count alone proves it, or nothing can be decided on this side.
        log_e_independent: the same against K >= k1.
        outcome: of the first crossing; later answers do not change it.
    """

    test: SequentialTest
    asked: int
    matches: int
    log_e_surrogate: float
    log_e_independent: float
    outcome: SequentialOutcome | None

    def updated(self, match: bool) -> "SequentialState":  # noqa: FBT001 - the one thing that an answer is
        """Return the state after one more answer; a refusal is no match.

        Raises:
            OptionError: every example was asked before.
        """
        if self.asked == self.test.examples:
            raise OptionError(f"All {self.asked} examples were asked before; there is no further answer.")
        return _state(self.test, asked=self.asked + 1, matches=self.matches + bool(match), outcome=self.outcome)


def trace(test: SequentialTest, matches: Sequence[bool]) -> list[SequentialState]:
    """Return the state after each answer, in the order asked; it goes on after the outcome.

    Example:
        >>> test = SequentialTest(examples=100, k0=50, k1=90, fpr=0.01, fnr=0.01)
        >>> states = trace(test, [True] * 12)
        >>> [(state.asked, state.outcome) for state in states[5:10]]
        [(6, None), (7, None), (8, 'surrogate'), (9, 'surrogate'), (10, 'surrogate')]
    """
    state = test.start()
    states: list[SequentialState] = []
    for match in matches:
        state = state.updated(match)
        states.append(state)
    return states


def _fewest(examples: int, k: int, level: float) -> int | None:
    """Return after how many matches in a row E against K <= k reaches 1 / level; at the latest, after k + 1."""
    if k >= examples:
        return None
    reached = (t for t in range(1, k + 2) if log_e_values(examples, t, t)[k] >= -math.log(level))
    return next(reached)


def _state(test: SequentialTest, *, asked: int, matches: int, outcome: SequentialOutcome | None) -> SequentialState:
    n = test.examples
    surrogate = float(log_e_values(n, matches, asked)[min(test.k0, n)])
    independent = -math.inf
    if test.k1 is not None:
        independent = float(log_e_values(n, asked - matches, asked)[min(n - test.k1, n)])
    if outcome is None and surrogate >= -math.log(test.fpr):
        outcome = "surrogate"
    elif outcome is None and independent >= -math.log(test.fnr):
        outcome = "independent"
    return SequentialState(
        test=test,
        asked=asked,
        matches=matches,
        log_e_surrogate=surrogate,
        log_e_independent=independent,
        outcome=outcome,
    )


def log_e_values(examples: int, matches: int, asked: int) -> Floats64:
    """Return log E against K <= k for every k = 0 .. n, (n + 1,); against K >= k: of the other answers, at n - k.

    ``inf`` where k < s: so many matches are there already. ``-inf`` where k >= n - (t - s): no more can come.

    Args:
        examples: n.
        matches: s, 0 .. t.
        asked: t, 0 .. n.

    Raises:
        OptionError: the counts do not fit together.
    """
    if not 0 <= matches <= asked <= examples:
        raise OptionError(
            f"0 <= matches <= asked <= examples must hold; found {matches} of {asked} asked of {examples}."
        )
    others = asked - matches
    most = examples - others  # of the K that are still possible
    table = _log_factorials(examples)
    values = np.full(examples + 1, -np.inf)
    values[:matches] = np.inf
    log_path = _log_falling(table, matches, most) + _log_falling(table, others, examples - matches)[::-1]
    beyond = _log_sums_from_the_end(log_path[1:])  # Σ_{K1 > k} L_{K1} for k = s .. most - 1
    log_mixture = _log_sums_from_the_end(beyond)  # Σ_{K1 > k} (K1 - k) L_{K1}
    left = examples - np.arange(matches, most, dtype=np.float64)
    values[matches:most] = log_mixture - np.log(left * (left + 1) / 2) - log_path[:-1]
    return values


def _log_falling(log_factorials: Floats64, factors: int, last: int) -> Floats64:
    """Return log(k (k-1) … (k - factors + 1)) for k = factors .. last."""
    return log_factorials[factors : last + 1] - log_factorials[: last + 1 - factors]


@lru_cache(maxsize=16)
def _log_factorials(last: int) -> Floats64:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, last + 1)))])


def _log_sums_from_the_end(log_terms: Floats64) -> Floats64:
    """Return log(term_i + … + term_last) for each i, safe where the terms are tiny."""
    return np.logaddexp.accumulate(log_terms[::-1])[::-1]


def confidence_sequence(examples: int, matches: int, asked: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of K/n after ``asked`` answers; it holds at all times at once, so looking is free.

    The counts k that neither e-process, against K <= k and against K >= k, refutes at half of 1 - confidence.

    Example:
        >>> confidence_sequence(100, 20, 20)
        (0.82, 1.0)
        >>> confidence_sequence(100, 87, 100)
        (0.87, 0.87)

    Raises:
        OptionError: the counts do not fit together, or the confidence is not in (0, 1).
    """
    return _ends(_plausible(examples, matches, asked, confidence))


def running_confidence_sequence(
    examples: int, matches: Sequence[bool], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the intersection of the confidence sequence over all answers so far: never wider than its last interval.

    The true K/n is in every interval at once with the stated probability, hence in their intersection. Where that would
    become empty (then K had been missed) it stays what it was before.

    Args:
        examples: n.
        matches: the answers so far, in the order asked; at most n.
        confidence: such as 0.95.

    Raises:
        OptionError: more answers than examples, or the confidence is not in (0, 1).
    """
    kept = _plausible(examples, 0, 0, confidence)
    for asked, count in enumerate(np.cumsum(np.asarray(matches, np.int64)).tolist(), start=1):
        both = kept & _plausible(examples, count, asked, confidence)
        kept = both if both.any() else kept
    return _ends(kept)


def _plausible(examples: int, matches: int, asked: int, confidence: float) -> NDArray[np.bool_]:
    """Return which K = 0 .. n stand, (n + 1,); after any answers at least one does."""
    if not 0 < confidence < 1:
        raise OptionError(f"A confidence must lie between 0 and 1; found {confidence}.")
    limit = -math.log((1 - confidence) / 2)
    upward = log_e_values(examples, matches, asked)
    downward = log_e_values(examples, asked - matches, asked)[::-1]
    return (upward < limit) & (downward < limit)


def _ends(plausible: NDArray[np.bool_]) -> tuple[float, float]:
    counts = np.flatnonzero(plausible)
    last = len(plausible) - 1
    return float(counts[0] / last), float(counts[-1] / last)
