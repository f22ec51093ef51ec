"""A p-value from a model of the match counts, for calibrations with too few models for a rank.

**Model-based, and it claims no bound.** The r calibration models' counts are taken as draws from one beta-binomial law:
each model has its own match rate, from a Beta distribution of mean μ and concentration κ, and matches each of the n
examples with it. The p-value is P(X >= observed) for one more draw, averaged over what the counts leave open about μ and
κ. Where the law is another (clusters of models, a long tail), false accusations are more frequent or rarer than the
p-value says, by an amount that the counts do not show (``docs/results/simulations.md``).

Priors, both weak: μ uniform on (0, 1), and the correlation ρ = 1 / (κ + 1) of two answers of one model uniform on (0, 1).
The posterior is summed over a grid in logit μ and log κ that is narrowed to where its mass lies; nothing is random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.errors import OptionError

__all__ = ["beta_binomial_p_value", "beta_binomial_tails"]

_NEGLIGIBLE = 30.0  # in log posterior below its maximum: e^-30 = 1e-13


@dataclass(frozen=True)
class _Box:
    """Ranges of logit μ and log κ."""

    mean: tuple[float, float] = (-14.0, 14.0)
    concentration: tuple[float, float] = (-7.0, 13.0)

    def axes(self, points: int) -> tuple[Floats64, Floats64]:
        return np.linspace(*self.mean, points), np.linspace(*self.concentration, points)


def beta_binomial_p_value(matches: Sequence[int] | Labels, trials: int, observed: int) -> float:
    """Return P(X >= observed) for one more model, under the beta-binomial model of this module.

    The lower tail, P(X <= observed), is the upper one of ``trials - matches`` at ``trials - observed``.

    Args:
        matches: (r,) of the calibration models, r >= 2, each 0 .. trials.
        trials: n, the examples that each was asked; at least 1.
        observed: of the model under test, 0 .. trials.

    Raises:
        OptionError: fewer than two models, or a count outside 0 .. trials.

    Example:
        >>> round(beta_binomial_p_value([40, 44, 47, 52], 100, 80), 4)
        0.0113
    """
    tails = beta_binomial_tails(matches, trials)
    if not 0 <= observed <= trials:
        raise OptionError(f"observed must lie in 0 .. {trials}; found {observed}.")
    return float(tails[observed])


def beta_binomial_tails(matches: Sequence[int] | Labels, trials: int) -> Floats64:
    """Return the p-value of every count 0 .. trials, (trials + 1,): falling, the first 1.

    Args:
        matches: (r,) of the calibration models, r >= 2, each 0 .. trials.
        trials: n, at least 1.

    Raises:
        OptionError: fewer than two models, or a count outside 0 .. trials.
    """
    counts = np.asarray(matches, np.int64)
    if counts.ndim != 1 or len(counts) < 2:
        raise OptionError(f"A beta-binomial model takes the counts of at least 2 models; found shape {counts.shape}.")
    if trials < 1 or counts.min() < 0 or counts.max() > trials:
        raise OptionError(f"Match counts must lie in 0 .. trials = {trials}; found {counts.min()} .. {counts.max()}.")
    seen = np.bincount(counts, minlength=trials + 1).astype(np.float64)
    box = _Box()
    for points in (24, 24, 24):
        box = _narrowed(box, points, seen)
    posterior, log_path = _posterior(*box.axes(40), seen)
    predictive = np.tensordot(posterior, np.exp(log_path + _log_choose(trials)), axes=2)
    tails = np.cumsum(predictive[::-1])[::-1]
    return np.minimum(tails / tails[0], 1.0)


def _narrowed(box: _Box, points: int, seen: Floats64) -> _Box:
    """Return the box around what is not negligible, one grid step wider on each side."""
    mean, concentration = box.axes(points)
    posterior, _ = _posterior(mean, concentration, seen)
    kept = posterior > np.exp(-_NEGLIGIBLE) * posterior.max()
    return _Box(_around(mean, kept.any(axis=1)), _around(concentration, kept.any(axis=0)))


def _around(axis: Floats64, kept: NDArray[np.bool_]) -> tuple[float, float]:
    inside = np.flatnonzero(kept)
    return float(axis[max(inside[0] - 1, 0)]), float(axis[min(inside[-1] + 1, len(axis) - 1)])


def _posterior(mean: Floats64, concentration: Floats64, seen: Floats64) -> tuple[Floats64, Floats64]:
    """Return the posterior on the grid (u, v), of sum 1, and log P(a path of x matches in n | μ, κ), (u, v, n + 1)."""
    share, kappa = 1 / (1 + np.exp(-mean))[:, None], np.exp(concentration)[None, :]
    trials = len(seen) - 1
    log_path = _log_rising(share * kappa, trials) + _log_rising((1 - share) * kappa, trials)[..., ::-1]
    log_path -= _log_rising(kappa, trials)[..., -1:]
    log_prior = np.log(share * (1 - share)) + np.log(kappa) - 2 * np.log1p(kappa)  # densities in logit μ and log κ
    log_posterior = log_path @ seen + log_prior
    posterior = np.exp(log_posterior - log_posterior.max())
    return posterior / posterior.sum(), log_path


def _log_rising(first: Floats64, factors: int) -> Floats64:
    """Return log(a (a+1) … (a + x - 1)) for x = 0 .. factors, (…, factors + 1)."""
    logs = np.log(first[..., None] + np.arange(factors))
    return np.concatenate([np.zeros((*first.shape, 1)), np.cumsum(logs, axis=-1)], axis=-1)


def _log_choose(trials: int) -> Floats64:
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    return np.asarray(log_factorial[-1] - log_factorial - log_factorial[::-1], np.float64)
