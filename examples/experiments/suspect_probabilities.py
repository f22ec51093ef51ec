"""Whether a suspect's probabilities tell more than its labels do: both, on the same examples, for development models.

    python examples/experiments/suspect_probabilities.py --pool cifar10/pool.toml --fingerprint fingerprint.safetensors

The *screen* and *calibrate* members are asked; the test role is left alone. Each way of reading an answer is a number
from 0 to 1 an example, whose mean is ranked as it is, and with what benign accuracy explains taken out (degree 2).

Columns: AUC of working thieves against references; share of them accused at 5 % and at 1.5 %; then the same of the
adjusted score.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from cae_core.arrays import Floats32, Floats64, Labels
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.models import Model
from cae_core.pool.manifest import read_pool
from cae_core.pool.members import open_member
from cae_core.statistics.adjustment import adjusted_scores
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.roc import roc_auc

Reading: TypeAlias = Callable[[Floats32, Floats32, Labels], Floats64]
"""Of a suspect's probabilities (n, c), the source's (n, c) and the source's labels (n,): a number 0 to 1 an example."""

WORKING = 0.8
RATES = (0.05, 0.015)
DEGREE = 2


@dataclass(frozen=True)
class Told:
    """What a model told: by each way of reading the mean over the examples, and its accuracy on the probes."""

    means: Mapping[str, float]
    accuracy: float


def main() -> None:
    """Ask the members, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--fingerprint", type=Path, required=True)
    options = parser.parse_args()
    pool, fingerprint = read_pool(options.pool), load_fingerprint(options.fingerprint)
    (source,) = pool.select(role="source")
    known = _probabilities(open_member(source), source.name, fingerprint)
    sides: dict[str, list[Told]] = {"surrogate": [], "reference": []}
    for member in (*pool.select(role="screen"), *pool.select(role="calibrate")):
        sides[member.relation].append(_told(open_member(member), member.name, fingerprint, known))
    innocents = sides["reference"]
    usual = float(np.median([one.accuracy for one in innocents]))
    thieves = [one for one in sides["surrogate"] if one.accuracy >= WORKING * usual]
    print(f"{len(thieves)} working thieves, {len(innocents)} references, {len(fingerprint.images)} examples.\n")
    print("| of each answer | AUC | 5 % | 1.5 % | adjusted: AUC | 5 % | 1.5 % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in READINGS:
        cells = [*_measures(name, thieves, innocents, None), *_measures(name, thieves, innocents, DEGREE)]
        print(f"| {name} | {' | '.join(f'{x:.3f}' for x in cells)} |")


def _told(model: Model, name: str, fingerprint: Fingerprint, known: Floats32) -> Told:
    answers = _probabilities(model, name, fingerprint)
    means = {way: float(read(answers, known, fingerprint.labels).mean()) for way, read in READINGS.items()}
    right = model.predict(fingerprint.probe_images).labels == fingerprint.probe_labels
    return Told(means, float(right.mean()))


def _probabilities(model: Model, name: str, fingerprint: Fingerprint) -> Floats32:
    told = model.predict(fingerprint.images).probabilities
    if told is None:
        raise SystemExit(f"{name} tells labels only; give a pool whose models tell probabilities.")
    return told


def _measures(way: str, thieves: Sequence[Told], innocents: Sequence[Told], degree: int | None) -> list[float]:
    def ranked(one: Told, among: Sequence[Told]) -> tuple[float, float]:
        means = np.array([x.means[way] for x in (*among, one)])
        if degree is not None:
            means = adjusted_scores(means[None], np.array([x.accuracy for x in (*among, one)]), degree)
        return float(means[-1]), rank_p_value(means[:-1], float(means[-1]))

    suspects = [ranked(one, innocents) for one in thieves]
    others = [ranked(one, [x for x in innocents if x is not one])[0] for one in innocents]
    accused = [float(np.mean([p <= rate for _, p in suspects])) for rate in RATES]
    return [roc_auc([value for value, _ in suspects], others), *accused]


def _of_label(answers: Floats32, labels: Labels) -> Floats64:
    return np.asarray(answers[np.arange(len(labels)), labels], np.float64)


def _against_the_next(answers: Floats32, _: Floats32, labels: Labels) -> Floats64:
    """Of the source's label and the likeliest other one, the share of the former: 1/2 where they are alike."""
    others = answers.astype(np.float64)
    others[np.arange(len(labels)), labels] = 0
    own = _of_label(answers, labels)
    return np.asarray(own / np.maximum(own + others.max(axis=1), np.finfo(np.float64).tiny), np.float64)


READINGS: Mapping[str, Reading] = {
    "the label is the source's": lambda answers, _, labels: np.asarray(answers.argmax(axis=1) == labels, np.float64),
    "probability of the source's label": lambda answers, _, labels: _of_label(answers, labels),
    "its share against the likeliest other": _against_the_next,
    "overlap with the source's probabilities": lambda answers, known, _: np.asarray(
        np.minimum(answers, known).sum(axis=1, dtype=np.float64), np.float64
    ),
}
"""By what it reads."""


if __name__ == "__main__":
    main()
