"""A p-value from a model of the match counts, for calibrations with too few models for a rank.

**Model-based, and it claims no bound.** The r calibration models' counts are taken as draws from one beta-binomial
law: each model has its own match rate, from a Beta distribution of mean μ and concentration κ, and matches each of the
n examples with it. The p-value is P(X >= observed) for one more draw, averaged over what the counts leave open about μ
and κ. Where the law is another (clusters of models, a long tail), false accusations are more frequent or rarer than the
p-value says, by an amount that the counts do not show (``docs/results/simulations.md``).

Priors, both weak: μ uniform on (0, 1), and ρ = 1 / (κ + 1), the correlation of two answers of one model, uniform on
(0, 1). The posterior is summed over a grid of log κ and, for each, of logit μ, narrowed to where its mass lies; nothing
is random.
"""

from collections.abc import Sequence

import numpy as np

from cae_core.arrays import Floats64, Labels
from cae_core.errors import OptionError
from cae_core.statistics.intervals import log_choose

__all__ = ["beta_binomial_p_value", "beta_binomial_tails"]

_NEGLIGIBLE = 16.0  # below the largest log density: e^-16 = 1e-7
_LOGIT_MEAN = 14.0  # from -14 to 14: 1e-6 to 1 - 1e-6
_LOG_CONCENTRATION = (-9.0, 16.0)  # outside lies 0.01 % of the prior
_POINTS = 24


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
        0.0212
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
    concentration = np.linspace(*_LOG_CONCENTRATION, _POINTS)
    mass = _posterior(concentration, seen)[0].sum(axis=0)
    kept = np.flatnonzero(mass > np.exp(-_NEGLIGIBLE) * mass.max())
    low, high = concentration[max(kept[0] - 1, 0)], concentration[min(kept[-1] + 1, _POINTS - 1)]
    mass, log_path = _posterior(np.linspace(low, high, 2 * _POINTS), seen)
    predictive = np.exp(log_path + log_choose(trials)).reshape(-1, trials + 1).T @ mass.ravel()
    tails: Floats64 = np.cumsum(predictive[::-1])[::-1]
    tails /= tails[0]
    return tails


def _posterior(concentration: Floats64, seen: Floats64) -> tuple[Floats64, Floats64]:
    """Return the posterior over means and concentrations, (u, v), of sum 1, and ``_log_joint``'s log P, (u, v, n + 1).

    The means are narrowed for each concentration by itself: their spread falls from a whole range to a hundredth of it.
    """
    low, high = np.full(len(concentration), -_LOGIT_MEAN), np.full(len(concentration), _LOGIT_MEAN)
    columns = np.arange(len(concentration))
    for _ in range(3):
        mean = np.linspace(low, high, _POINTS)
        density, _ = _log_joint(mean, concentration, seen)
        kept = density > density.max(axis=0) - _NEGLIGIBLE
        first, last = kept.argmax(axis=0) - 1, _POINTS - kept[::-1].argmax(axis=0)
        low, high = mean[np.maximum(first, 0), columns], mean[np.minimum(last, _POINTS - 1), columns]
    density, log_path = _log_joint(np.linspace(low, high, _POINTS), concentration, seen)
    mass = np.exp(density - density.max()) * (high - low)
    return mass / mass.sum(), log_path


def _log_joint(mean: Floats64, concentration: Floats64, seen: Floats64) -> tuple[Floats64, Floats64]:
    """Return the log density of prior and counts, (u, v), and log P(one path of x matches in n | μ, κ), (u, v, n + 1).

    Args:
        mean: logit μ, (u, v).
        concentration: log κ, (v,).
        seen: how many models have each count, (n + 1,).
    """
    share, kappa, trials = 1 / (1 + np.exp(-mean)), np.exp(concentration), len(seen) - 1
    log_path = _log_rising(share * kappa, trials) + _log_rising((1 - share) * kappa, trials)[..., ::-1]
    log_path -= _log_rising(kappa, trials)[:, -1:]
    log_prior = np.log(share * (1 - share)) + np.log(kappa) - 2 * np.log1p(kappa)  # densities in logit μ and log κ
    return log_path @ seen + log_prior, log_path


def _log_rising(first: Floats64, factors: int) -> Floats64:
    """Return log(a (a+1) … (a + x - 1)) for x = 0 .. factors, (…, factors + 1)."""
    logs = np.log(first[..., None] + np.arange(factors))
    return np.concatenate([np.zeros((*first.shape, 1)), np.cumsum(logs, axis=-1)], axis=-1)
