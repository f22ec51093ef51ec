"""What it costs, and saves, that a suspect below every known copy is not accused.

    python examples/studies/two_sided_rule.py --seed 0

Prints Markdown. Match rates are drawn for references, known copies and a suspect, and matches of 100 examples with
them; the suspect is accused where its rank among the references gives p <= 5 %, with or without the second condition.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.statistics.ranks import exceeded_rank

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
            _row(copies, *(f"{100 * share:.1f} %" for share in shares))


def accused(suspects: Law, copies_law: Law, copies: int, draws: int, random: np.random.Generator) -> float:
    """Return the share of suspects that are accused, with so many known copies; with none the references decide."""
    independent = _matches(references, (draws, REFERENCES), random)
    known = _matches(copies_law, (draws, copies), random)
    suspect = _matches(suspects, (draws,), random)
    exceeded = np.sort(independent, axis=1)[:, -exceeded_rank(REFERENCES, RATE)]
    low_enough = (known <= suspect[:, np.newaxis]).any(axis=1) if copies else np.ones(draws, bool)
    return float(((suspect > exceeded) & low_enough).mean())


def _matches(law: Law, shape: tuple[int, ...], random: np.random.Generator) -> Counts:
    return np.asarray(random.binomial(EXAMPLES, law(random, shape)), np.int64)


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
