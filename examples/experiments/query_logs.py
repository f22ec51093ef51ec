"""How often is an innocent model accused by a query log, and how often a thief of it? On digits, tiny networks.

    python examples/experiments/query_logs.py --seed 0

A log is 1,200 blends of digits with noise, that no source was trained on. Claimed sources and their controls, trained
by one recipe on the same images, answer it, and each gets 40 examples by `cae_core.generation.query_log`. Thieves learn
the answers; the hardest innocents learn *the very images* with labels of their own: the truth, or another model's
answers. Rates are in percent, at a nominal 5 % with 19 controls, with standard errors over claimed sources: innocents
answer much alike, so that the source is the unit.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cae_backends.datasets import open_data
from cae_core.arrays import Floats64
from cae_core.generation.query_log import choose_from_log
from cae_core.statistics.source_ranks import source_rank_p_value
from control_sources import FAMILIES, GROUPS, Digits, Study, innocent
from stacked_networks import ARCHITECTURES, Network, Training, train

LOG, EXAMPLES, CONTROLS, RATE = 1200, 40, 19, 0.05
CLAIMED, AT_HAND, ROBBED = 120, 40, 20
"""Sources that are claimed in turn, those to draw controls from, and how many of the former have thieves."""


def main() -> None:
    """Train everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=int, default=60, help="innocents of each group, and thieves")
    parser.add_argument("--draws", type=int, default=360, help="of claimed source and controls")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = Digits(open_data("digits", split="train"), open_data("digits", split="test"))
    study = Study(output=Path(), seed=options.seed, models=options.models, draws=options.draws, digits=digits)
    print("\n".join(table(study)))


def table(study: Study) -> list[str]:
    """Return the lines of the table."""
    log, truth = queries(study)
    first, rows = study.seeds(42), study.digits.rows(study.digits.owned)
    trainings = [Training(seed=first + i, **FAMILIES[0].training, **rows) for i in range(CLAIMED + AT_HAND)]
    sources = train(trainings)
    told = np.stack([probabilities(source, log) for source in sources])
    groups = innocents(study, log, truth)
    thieves, of = stolen(study, log, sources[:ROBBED])
    answers = {name: np.stack([probabilities(m, log).argmax(1) for m in group]) for name, group in groups.items()}
    answers["thieves of the claimed source's answers"] = np.stack([probabilities(m, log).argmax(1) for m in thieves])
    accused: Mapping[str, list[NDArray[np.bool_]]] = {name: [] for name in answers}
    claims: list[int] = []
    random = np.random.default_rng([study.seed, 7])
    for draw in range(study.draws):
        claimed = draw % CLAIMED
        behind = np.r_[claimed, CLAIMED + random.permutation(AT_HAND)[:CONTROLS]]
        chosen = choose_from_log(told[behind], EXAMPLES)
        claims.append(claimed)
        for name, labels in answers.items():
            rates = np.stack([(labels[:, own.index] == own.labels).mean(axis=1) for own in chosen], axis=1)
            accused[name].append(np.array([source_rank_p_value(row) <= RATE + 1e-12 for row in rates]))
    lines = [f"| models, nominal {RATE:.0%} with {CONTROLS} controls | accused |", "| --- | --- |"]
    for name, found in accused.items():
        counts = (
            np.equal.outer(claims, of) if name.startswith("thieves") else np.ones((len(claims), len(found[0])), bool)
        )
        lines.append(f"| {name} ({len(found[0])}) | {_cell(np.array(found), counts, np.array(claims))} |")
    return lines


def queries(study: Study) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the log, float32 (n, 1, 8, 8), and the true classes of what it shows most of, int64 (n,)."""
    digits, random = study.digits, np.random.default_rng([study.seed, 8])
    first, second = random.integers(0, len(digits.train), (2, LOG))
    share = torch.tensor(random.uniform(0, 0.45, (LOG, 1, 1, 1))).float()
    noise = 0.15 * torch.tensor(random.normal(size=(LOG, 1, 8, 8))).float()
    blends = (1 - share) * digits.images[first] + share * digits.images[second]
    return (blends + noise).clamp(0, 1), digits.train.labels[first]


def innocents(study: Study, log: Tensor, truth: NDArray[np.int64]) -> dict[str, list[Network]]:
    """Return those who never saw the log, and those who learned its images with labels of their own."""
    first, numbers = study.seeds(40), range(study.models)
    own = train([innocent(study, GROUPS[0], number, first + number) for number in numbers])
    others = train([innocent(study, GROUPS[0], number, first + 1000 + number) for number in numbers])
    labels = [probabilities(other, log).argmax(1) for other in others]
    return {
        "never saw the log": own,
        "learned the log with the truth": _learned(log, [truth] * study.models, first + 2000),
        "learned the log with another model's answers": _learned(log, labels, first + 3000),
    }


def stolen(study: Study, log: Tensor, sources: Sequence[Network]) -> tuple[list[Network], NDArray[np.int64]]:
    """Return thieves of the claimed sources' hard labels, and whose each is."""
    of = np.arange(study.models) % len(sources)
    labels = [probabilities(source, log).argmax(1) for source in sources]
    return _learned(log, [labels[source] for source in of], study.seeds(41)), of


def _learned(log: Tensor, labels: Sequence[NDArray[np.int64]], seed: int) -> list[Network]:
    trainings = [
        Training(
            architecture=ARCHITECTURES[number % len(ARCHITECTURES)],
            seed=seed + number,
            images=log,
            targets=torch.nn.functional.one_hot(torch.tensor(given), 10).float(),
        )
        for number, given in enumerate(labels)
    ]
    return train(trainings)


def probabilities(network: Network, images: Tensor) -> Floats64:
    """Return what a network tells of images, float64 (n, 10)."""
    with torch.no_grad():
        return np.asarray(network(images).softmax(-1).double().numpy(), np.float64)


def _cell(accused: NDArray[np.bool_], counts: NDArray[np.bool_], claims: NDArray[np.int64]) -> str:
    """Return the mean over claimed sources, in percent, with its standard error."""
    each = [
        (accused & counts)[claims == one].sum() / counts[claims == one].sum()
        for one in np.unique(claims)
        if counts[claims == one].any()
    ]
    return f"{100 * np.mean(each):.1f} ± {100 * np.std(each, ddof=1) / len(each) ** 0.5:.1f}"


if __name__ == "__main__":
    main()
