"""Which images make a fingerprint that tells thieves from innocents: rankings of the source's errors, and other kinds.

    python examples/experiments/example_choice.py --pool cifar10/pool.toml --data cifar-10-batches-py --output choice \
        --fingerprint perturbed.safetensors

Everything rests on the development roles: the *generate* members rank, the *screen* and *calibrate* members are judged.
The test role is left alone. Every member is asked once about the source's errors, training and test images, and about
2000 random test images, of which probes are drawn; the answers are kept in ``OUTPUT``. With ``--fingerprint`` the same
members are asked about the examples of a fingerprint that was made otherwise, too: alone, and half and half with the
best ranking.

Columns: plain match rate, then the adjusted score of degree 2: AUC of working thieves against references; share of
them accused at 5 % and at 1.5 %; the largest share of an architecture's references accused at 5 % by the references of
the others. Mean over draws of the probes.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets import open_data
from cae_core.arrays import Floats64, Labels
from cae_core.dataset import ImageSet
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.generation.seeds import checked_probabilities
from cae_core.pool.manifest import Pool, PoolMember, Relation, Role, read_pool
from cae_core.pool.members import OpenPool
from cae_core.statistics.adjustment import adjusted_scores
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.roc import roc_auc

Number = TypeVar("Number", bound=np.generic)

TEST_IMAGES = 2000
DRAWS = 6
RATE, LEAST = 0.05, 0.015
WORKING = 0.8
SIZES = ((45, 50), (100, 185), (150, 135), (150, 200))
"""Examples and probes: with 5 % of repeats 100, 300, 300 and 368 queries."""


@dataclass(frozen=True)
class Asked:
    """A member with its labels (n,) and probabilities (n, c) of the images, and its labels of the fingerprint's."""

    member: PoolMember
    probabilities: Floats64
    others: Labels

    @property
    def labels(self) -> Labels:
        """Of the images."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)


@dataclass(frozen=True)
class Study:
    """What is known of the images and of the development members.

    Attributes:
        source: int64 (n,), the source's labels.
        truth: int64 (n,).
        train: bool (n,), which are training images.
        probes: int64, which are the random test images.
        thieves: working ones that are judged.
        innocents: references that are judged.
        surrogates: of the role generate.
        references: of the role generate.
        fingerprint: made otherwise; None: none.
    """

    source: Labels
    truth: Labels
    train: NDArray[np.bool_]
    probes: Labels
    thieves: Sequence[Asked]
    innocents: Sequence[Asked]
    surrogates: Sequence[Asked]
    references: Sequence[Asked]
    fingerprint: Fingerprint | None

    def given(self, members: Sequence[Asked]) -> Floats64:
        """Return the probability of the source's label by each member, (m, n)."""
        rows = np.arange(len(self.source))
        return np.stack([one.probabilities[rows, self.source] for one in members])


def main() -> None:
    """Ask whoever was not asked, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--fingerprint", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    made = load_fingerprint(options.fingerprint) if options.fingerprint else None
    study = _ask(read_pool(options.pool), open_data(options.data, split="all"), made, options.output)
    lines = [
        f"{len(study.thieves)} working thieves, {len(study.innocents)} references.",
        "",
        "| images | examples, probes | plain: AUC | 5 % | 1.5 % | left out | adjusted: AUC | 5 % | 1.5 % | left out |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, kinds, probes in _choices(study):
        cells = " | ".join(f"{x:.3f}" for x in _measures(study, kinds, probes))
        lines.append(f"| {name} | {sum(_sizes(study, kinds))}, {probes} | {cells} |")
    text = "\n".join(lines) + "\n"
    (options.output / "choice.md").write_text(text)
    print(text)


def _ask(pool: Pool, data: ImageSet, made: Fingerprint | None, folder: Path) -> Study:
    opened = OpenPool()
    (source,) = pool.select(role="source")
    labels = _kept(folder / "source.npy", lambda: opened.open(source).model.predict(data.images).labels, np.int64)
    held_out = np.arange(len(data)) if data.held_out is None else np.flatnonzero(data.held_out)
    random = held_out[np.random.default_rng(5).permutation(len(held_out))[:TEST_IMAGES]]
    places = np.union1d(np.flatnonzero(labels != data.labels), random)
    images, probes = data.images[places], np.flatnonzero(np.isin(places, random))

    def asked(member: PoolMember) -> Asked:
        def probabilities() -> Floats64:
            answers = opened.open(member).model.predict(images)
            return checked_probabilities(answers, member.name, len(data.class_names))

        given = _kept(folder / f"{member.name}.npy", probabilities, np.float64)
        if made is None:
            return Asked(member, given, np.zeros(0, np.int64))
        path, others = folder / f"{member.name}-{made.id[:12]}.npy", made.images
        return Asked(member, given, _kept(path, lambda: opened.open(member).model.predict(others).labels, np.int64))

    def of(relation: Relation, *roles: Role) -> list[Asked]:
        return [asked(member) for role in roles for member in pool.select(role=role) if member.relation == relation]

    innocents, truth = of("reference", "screen", "calibrate"), data.labels[places]
    return Study(
        source=labels[places],
        truth=truth,
        train=~np.isin(places, held_out),
        probes=probes,
        thieves=_working(of("surrogate", "screen", "calibrate"), innocents, probes, truth),
        innocents=innocents,
        surrogates=of("surrogate", "generate"),
        references=of("reference", "generate"),
        fingerprint=made,
    )


def _kept(path: Path, make: Callable[[], NDArray[Any]], kind: type[Number]) -> NDArray[Number]:
    if not path.exists():
        np.save(path, make())
    return np.asarray(np.load(path), kind)


def _working(thieves: Sequence[Asked], innocents: Sequence[Asked], probes: Labels, truth: Labels) -> list[Asked]:
    """Return the thieves that keep their use, as a study counts them (`working`)."""
    usual = np.median([_accuracy(one, probes, truth) for one in innocents])
    return [one for one in thieves if _accuracy(one, probes, truth) >= WORKING * usual]


def _accuracy(one: Asked, probes: Labels, truth: Labels) -> float:
    return float((one.labels[probes] == truth[probes]).mean())


def _choices(study: Study) -> Iterator[tuple[str, list[Labels | None], int]]:
    """Yield names, the places of the examples of each kind (None: the fingerprint's), and how many probes."""
    error = study.source != study.truth
    for name, worth in _rankings(study):
        for where, images in (("training", error & study.train), ("test", error & ~study.train), ("all", error)):
            for count, probes in SIZES if where == "all" else SIZES[1:2]:
                yield f"{name}, {where} images", [_best(worth, images, count)], probes
    if study.fingerprint is not None:
        gap = next(_rankings(study))[1]
        half = len(study.fingerprint) // 2
        yield "the fingerprint", [None], 200
        yield "gap and the fingerprint", [_best(gap, error, half), None], 200


def _rankings(study: Study) -> Iterator[tuple[str, Floats64]]:
    given, references = study.given(study.surrogates).mean(axis=0), study.given(study.references)
    mean = references.mean(axis=0)
    yield "gap to the mean", given - mean
    yield "gap to the worst group", given - _worst(study, references, towards=4)
    yield "conferrability", given * (1 - mean)
    yield "conferrability, worst group", given * (1 - _worst(study, references, towards=0))


def _worst(study: Study, references: Floats64, *, towards: int) -> Floats64:
    """Return the largest mean of a group by architecture or kind, each drawn towards the mean of all."""
    mean, means = references.mean(axis=0), list[Floats64]()
    for attribute in ("architecture", "kind"):
        labels = np.array([getattr(one.member, attribute) for one in study.references])
        for label in np.unique(labels):
            own = references[labels == label]
            means.append((own.sum(axis=0) + towards * mean) / (len(own) + towards))
    return np.asarray(np.max(means, axis=0), np.float64)


def _best(worth: Floats64, among: NDArray[np.bool_], count: int) -> Labels:
    places = np.flatnonzero(among)
    return places[np.argsort(-worth[places], kind="stable")[:count]].astype(np.int64)


def _measures(study: Study, kinds: Sequence[Labels | None], probes: int) -> list[float]:
    """Return the columns of the table, see above."""
    rng, found = np.random.default_rng(1), list[list[float]]()
    thieves, innocents = (_rates(study, side, kinds) for side in (study.thieves, study.innocents))
    for _ in range(DRAWS):
        drawn = rng.choice(study.probes, probes, replace=False)
        accuracies = [
            np.array([_accuracy(one, drawn, study.truth) for one in side]) for side in (study.thieves, study.innocents)
        ]
        weights = _sizes(study, kinds)
        plain = [np.average(rates, axis=0, weights=weights)[np.newaxis] for rates in (thieves, innocents)]
        found.append([*_told(study, plain, accuracies, None), *_told(study, [thieves, innocents], accuracies, 2)])
    return [float(mean) for mean in np.mean(found, axis=0)]


def _sizes(study: Study, kinds: Sequence[Labels | None]) -> list[int]:
    made = 0 if study.fingerprint is None else len(study.fingerprint)
    return [made if kind is None else len(kind) for kind in kinds]


def _rates(study: Study, side: Sequence[Asked], kinds: Sequence[Labels | None]) -> Floats64:
    """Return match rates by kind, (k, m)."""
    rows: list[list[float]] = []
    for kind in kinds:
        if kind is not None:
            rows.append([float((one.labels[kind] == study.source[kind]).mean()) for one in side])
        elif study.fingerprint is not None:
            rows.append([float((one.others == study.fingerprint.labels).mean()) for one in side])
    return np.array(rows)


def _told(study: Study, rates: Sequence[Floats64], accuracies: Sequence[Floats64], degree: int | None) -> list[float]:
    thieves, innocents = rates
    architecture = np.array([one.member.architecture for one in study.innocents])

    def ranked(suspect: Floats64, accuracy: float, among: NDArray[np.bool_]) -> tuple[float, float]:
        if degree is None:
            return float(suspect[0]), rank_p_value(innocents[0, among], float(suspect[0]))
        together = np.column_stack([innocents[:, among], suspect]), np.append(accuracies[1][among], accuracy)
        scores = adjusted_scores(*together, degree)
        return float(scores[-1]), rank_p_value(scores[:-1], float(scores[-1]))

    every = np.ones(len(architecture), bool)
    suspects = [ranked(thieves[:, i], a, every) for i, a in enumerate(accuracies[0])]
    others = [ranked(innocents[:, i], a, np.arange(len(every)) != i)[0] for i, a in enumerate(accuracies[1])]
    left_out = [
        np.mean([ranked(innocents[:, i], accuracies[1][i], architecture != own)[1] <= RATE for i in rows])
        for own in np.unique(architecture)
        for rows in [np.flatnonzero(architecture == own)]
    ]
    accused = [np.mean([p <= rate for _, p in suspects]) for rate in (RATE, LEAST)]
    return [roc_auc([value for value, _ in suspects], others), *map(float, accused), float(max(left_out))]


if __name__ == "__main__":
    main()
