"""Simulate how often each rule accuses an innocent model, and how many queries the sequential mode takes.

    python examples/experiments/simulated_rates.py --seed 0

Prints Markdown. Of the calibration models, which are drawn, only the threshold matters; given that, the rate of false
accusations over all innocent suspects is computed and not drawn, and so are the sequential mode's rates and queries.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.statistics.e_process import log_e_values
from cae_core.statistics.parametric import beta_binomial_tails
from cae_core.statistics.ranks import exceeded_rank

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Law: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Floats]
"""Draws match rates of the given shape."""

N = 100
MODELS = (4, 8, 19, 39, 99, 199)
NOMINAL = (0.01, 0.05)
LEVELS = (0.01, 0.025, 0.05)
COUNTS = np.arange(N + 1)

LAWS: Mapping[str, Law] = {
    "Beta-binomial, as the model has it: Beta(6, 9)": lambda random, shape: random.beta(6, 9, shape),
    "Two clusters: Beta(24, 56), and Beta(35, 15) for 3 in 10": lambda random, shape: np.where(
        random.random(shape) < 0.7, random.beta(24, 56, shape), random.beta(35, 15, shape)
    ),
    "Logit-normal: mean -0.5, deviation 0.8": lambda random, shape: 1 / (1 + np.exp(-random.normal(-0.5, 0.8, shape))),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1000, help="of the calibration models, for each line")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    for name, law in LAWS.items():
        print(f"\n**{name}**\n")
        print_rates(law, options.draws, random)
    print("\n**Mean queries until the accusation**\n")
    print_queries("k0", (30, 40, 50, 60, 75, 90), (95, 87, 60))
    print("\n**Mean queries until the acquittal**\n")
    print_queries("k1", (40, 60, 75, 90), (10, 30, 50))
    print("\n**Weights of the larger counts**: mean queries over 0.95, 0.87 and 0.60 against k0 of 50, 60 and 75\n")
    print_weights()


def print_rates(law: Law, draws: int, random: np.random.Generator) -> None:
    """Print the realised rates of false accusation, and how often a suspect at 0.95 is accused."""
    innocent = np.bincount(random.binomial(N, law(random, (2_000_000,))), minlength=N + 1) / 2_000_000
    beyond = np.maximum(1 - np.cumsum(innocent), 0)  # P(count > k), k = 0 .. N
    _row("models", "nominal", "by rank", "sequential", "model-based", "by rank, of 0.95", "model-based, of 0.95")
    _row(*["---"] * 7)
    for models in MODELS:
        counts = random.binomial(N, law(random, (draws, models)))
        tails = np.stack([beta_binomial_tails(row, N) for row in counts])
        for rate in NOMINAL:
            limit = (tails > rate).sum(axis=1) - 1  # the largest count that is not accused
            rank, k0 = exceeded(counts, rate), exceeded(counts, rate / 2)
            _row(
                *(models, f"{100 * rate:g} %", _mean(beyond, rank), _mean(crossing(rate / 2) @ innocent, k0)),
                *(_mean(beyond, limit), _mean(COUNTS < 95, rank), _mean(COUNTS < 95, limit)),
            )


def exceeded(counts: Counts, rate: float) -> Counts | None:
    """Return the count that an accusation must exceed by rank, (draws,); None: the models do not support the rate."""
    k = exceeded_rank(counts.shape[1], rate)
    return np.partition(counts, -k, axis=1)[:, -k] if k else None


@cache
def crossing(level: float) -> Floats:
    """Return the probability that the e-process accuses, at [k0, K]."""
    return walk(library_bets(), level)[0]


def print_queries(name: Literal["k0", "k1"], limits: Sequence[int], counts: Sequence[int]) -> None:
    """Print the mean over all orders where K is beyond the limit; everything is asked where it takes that.

    Args:
        name: k0 counts the matches, k1 the other answers.
        limits: values of k0 or k1.
        counts: K.
    """
    _row("true rate", name, *(f"level {100 * level:g} %" for level in LEVELS))
    _row(*["---"] * 5)
    bets = library_bets()[[limit if name == "k0" else N - limit for limit in limits]]
    means = [walk(bets, level)[1] for level in LEVELS]
    for count in counts:
        for i, limit in enumerate(limits):
            if count > limit if name == "k0" else count < limit:
                seen = count if name == "k0" else N - count
                _row(f"{count / N:.2f}", limit, *(f"{mean[i, seen]:.1f}" for mean in means))


def print_weights() -> None:
    """Print one line for each way to weight, and for a bettor who knows K."""
    cases = [(k0, count) for count in (95, 87, 60) for k0 in (50, 60, 75) if k0 < count]
    lines = {name: [weighted_bets(k0, weights(k0)[name]) for k0, _ in cases] for name in weights(0)}
    lines["all on the true K"] = [weighted_bets(k0, np.eye(N + 1)[count]) for k0, count in cases]
    _row("weight of K1", *(f"level {100 * level:g} %" for level in LEVELS))
    _row(*["---"] * 4)
    for name, bets in lines.items():
        means = [walk(np.stack(bets), level)[1] for level in LEVELS]
        _row(name, *(f"{np.mean([mean[i, cases[i][1]] for i in range(len(cases))]):.2f}" for mean in means))


def weights(k0: int) -> dict[str, Floats]:
    """Return weights of the counts 0 .. n; only those beyond k0 are used."""
    count, above = COUNTS.astype(np.float64), np.maximum(COUNTS - k0, 0).astype(np.float64)
    return {
        "the same for all": np.ones(N + 1),
        "√(K1 - k0)": np.sqrt(above),
        "K1 - k0": above,
        "(K1 - k0)²": above * above,
        "K1³": count * count * count,
        "1 / √(K1 (n - K1))": 1 / np.sqrt((count + 0.5) * (N - count + 0.5)),
    }


@cache
def library_bets() -> Floats:
    """Return the library's log E against K <= k0 at [k0, t, s]; -inf where s > t."""
    bets = np.full((N + 1, N + 1, N + 1), -np.inf)
    for asked in range(N + 1):
        for matches in range(asked + 1):
            bets[:, asked, matches] = log_e_values(N, matches, asked)
    return bets


def weighted_bets(k0: int, weight: Floats) -> Floats:
    """Return log E for other weights, (n + 1,), of the counts, at [t, s]."""
    log_path = log_paths()
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and -inf - -inf where neither side is possible
        log_weight = np.log(weight[k0 + 1 :] / weight[k0 + 1 :].sum())
        bets: Floats = np.logaddexp.reduce(log_path[:, :, k0 + 1 :] + log_weight, axis=2) - log_path[:, :, k0]
    return np.where(np.isnan(bets), -np.inf, bets)


@cache
def log_paths() -> Floats:
    """Return log L_K of a path with s matches in t answers, up to a constant, at [t, s, K]; -inf: impossible."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, N + 1)))])
    asked, matches, count = np.ogrid[: N + 1, : N + 1, : N + 1]
    left, others_left = count - matches, N - count - (asked - matches)
    possible = (matches <= asked) & (left >= 0) & (others_left >= 0)
    log_left = log_factorial[np.where(possible, left, 0)] + log_factorial[np.where(possible, others_left, 0)]
    return np.where(possible, log_factorial[count] + log_factorial[N - count] - log_left, -np.inf)


def walk(bets: Floats, level: float) -> tuple[Floats, Floats]:
    """Return P(ever reaching 1/level) and the mean queries until then or n, at [bet, K], over all orders exactly.

    Args:
        bets: log E at [bet, t, s].
        level: of the e-process.
    """
    alive = np.zeros((len(bets), N + 1, N + 2))  # P(s matches so far, and not crossed) at [bet, K, s]
    alive[..., 0] = 1.0
    mean = np.zeros(alive.shape[:2])
    for asked in range(N):
        mean += alive.sum(axis=2)
        match = np.clip((COUNTS[:, None] - np.arange(N + 2)) / (N - asked), 0, 1)
        ahead = alive * (1 - match)
        ahead[..., 1:] += (alive * match)[..., :-1]
        below = np.append(bets[:, asked + 1] < -np.log(level), np.ones((len(bets), 1), bool), axis=1)
        alive = ahead * below[:, None]
    return 1 - alive.sum(axis=2), mean


def _mean(values: NDArray[np.generic], limits: Counts | None) -> str:
    """Return the mean over the draws and its standard error, in per cent."""
    if limits is None:
        return "never"
    drawn = values[limits].astype(np.float64)
    return f"{100 * drawn.mean():.2f} ± {100 * drawn.std() / len(drawn) ** 0.5:.2f} %"


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
