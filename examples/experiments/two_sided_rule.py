"""What it costs, and saves, that a suspect which fits neither references nor known copies is not accused.

    python examples/experiments/two_sided_rule.py --seed 0

Prints Markdown. Match rates are drawn for references, known copies and a suspect, and matches of 100 examples with
them. The suspect is accused where its rank among the references gives p <= 5 %, unless it is below every known copy
and either these are enough to say so at 5 %, or it is nearer to the highest reference than to the lowest copy. In
brackets: whenever it is below every known copy, however few there are, as the rule was before.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.statistics.ranks import exceeded_rank, models_needed

Counts: TypeAlias = NDArray[np.int64]
Law: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
"""Draws match rates of the given shape."""

EXAMPLES, REFERENCES, RATE = 100, 19, 0.05
COPIES = (0, 1, 3, 9, 19, 39)


def references(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Independent models as the references are: mean 0.4, deviation 0.12."""
    return random.beta(6, 9, shape)


def strangers(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Independent models that the references do not stand for: mean 0.6, deviation 0.09."""
    return random.beta(18, 12, shape)


def alike(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Copies that all match often: mean 0.9, deviation 0.065."""
    return random.beta(18, 2, shape)


def mixed(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Copies of which 3 in 10 are weak: mean 0.7, deviation 0.1."""
    return np.where(random.random(shape) < 0.7, random.beta(18, 2, shape), random.beta(14, 6, shape))


LAWS: Mapping[str, Law] = {"copies alike": alike, "3 in 10 copies weak": mixed}


def main() -> None:
    """Print a table for each law of the copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=20_000, help="of all models, for each line")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    for name, law in LAWS.items():
        print(f"\n**{name}**\n")
        _row("known copies", "references' kind accused", "strangers accused", "copies accused")
        _row(*["---"] * 4)
        for copies in COPIES:
            kinds = (references, strangers, law)
            shares = (accused(suspects, law, copies, options.draws, random) for suspects in kinds)
            _row(copies, *(f"{100 * present:.1f} % ({100 * before:.1f} %)" for present, before in shares))


def accused(
    suspects: Law, copies_law: Law, copies: int, draws: int, random: np.random.Generator
) -> tuple[float, float]:
    """Return the share of suspects that are accused, by the rule and by the one of before.

    With no known copy the references alone decide.
    """
    independent = _matches(references, (draws, REFERENCES), random)
    known = _matches(copies_law, (draws, copies), random)
    suspect = _matches(suspects, (draws,), random)
    exceeded = np.sort(independent, axis=1)[:, -exceeded_rank(REFERENCES, RATE)]
    high = suspect > exceeded
    if not copies:
        return float(high.mean()), float(high.mean())
    lowest = known.min(axis=1)
    below = suspect < lowest
    near = suspect - independent.max(axis=1) < lowest - suspect
    neither = below & (near | (copies >= models_needed(RATE)))
    return float((high & ~neither).mean()), float((high & ~below).mean())


def _matches(law: Law, shape: tuple[int, ...], random: np.random.Generator) -> Counts:
    return np.asarray(random.binomial(EXAMPLES, law(random, shape)), np.int64)


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
