"""Choosing examples and weighing them, by the *screen* role alone.

A pool that has chosen examples cannot calibrate them: choosing 100 of 300 on the calibration models accuses 51 % of
independent models at a nominal 11 % (8 references; ``docs/results/simulations.md``). So the screen role's models appear
in no threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = ["MatchRates", "check_keep", "choose_examples", "match_rates", "match_weights"]

_PSEUDO_MODELS = 2.0
"""How many models the pool's mean rate counts for.

With a handful of screen models a rate of 0 or 1 is no knowledge, and an unshrunk log-likelihood ratio would be
infinite.
"""


@dataclass(frozen=True)
class MatchRates:
    """How often each relation answers the source's label, an example, shrunk towards the mean of all examples.

    Attributes:
        surrogates: float64 (n,), in (0, 1).
        references: float64 (n,), in (0, 1).
    """

    surrogates: Floats64
    references: Floats64

    @property
    def gap(self) -> Floats64:
        """How much more often surrogates match, (n,), in (-1, 1)."""
        return self.surrogates - self.references


def match_rates(surrogates: NDArray[np.bool_], references: NDArray[np.bool_]) -> MatchRates:
    """Estimate the rates from the matches of the screen models, bool (r_S, n) and (r, n)."""
    return MatchRates(_shrunk(surrogates), _shrunk(references))


def _shrunk(matches: NDArray[np.bool_]) -> Floats64:
    models, n = matches.shape
    mean = (matches.sum() + 1) / (models * n + 2)  # Laplace's rule: never 0 or 1
    return np.asarray((matches.sum(axis=0) + _PSEUDO_MODELS * mean) / (models + _PSEUDO_MODELS), np.float64)


def choose_examples(rates: MatchRates, keep: int | None = None) -> NDArray[np.bool_]:
    """Return bool (n,): the ``keep`` examples with the largest gap, or all with a gap above 0 where None.

    Raises:
        OptionError: ``keep`` is not in 1 .. n.
    """
    n = len(rates.gap)
    if keep is None:
        chosen = rates.gap > 0
        return chosen if chosen.any() else np.ones(n, bool)
    check_keep(keep, n)
    chosen = np.zeros(n, bool)
    chosen[np.argsort(-rates.gap, kind="stable")[:keep]] = True
    return chosen


def check_keep(keep: int, n: int) -> None:
    """Refuse to choose none, or more than there are.

    Raises:
        OptionError: ``keep`` is not in 1 .. n.
    """
    if not 1 <= keep <= n:
        raise OptionError(f"keep must lie in 1 .. {n}, the examples of the fingerprint; found {keep}.")


def match_weights(rates: MatchRates) -> Floats64:
    """Return float64 (2, n): the log-likelihood ratio of surrogate to reference for a match, and for anything else."""
    q, r = rates.surrogates, rates.references
    return np.stack([np.log(q / r), np.log((1 - q) / (1 - r))])
