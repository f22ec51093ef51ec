"""How often is an innocent model accused by each rank, where the references lack its kind? On digits, tiny networks.

    python examples/experiments/control_sources.py --output control-sources --seed 0

Some sources are *claimed*; others, trained by the same recipe on the same images, are their controls. Every source has
five surrogates and a fingerprint by the same settings. Of the innocents some are made as the references are, and others
by recipes, of architectures, or from data that no reference has. 200 times a claimed source, its controls and the
references of a calibration are drawn, and every innocent, and every thief of that source, is ranked.

What is done is kept under ``OUTPUT``, and a run that was interrupted goes on. It prints Markdown. Rates are in percent,
with standard errors over models, and over claimed sources: neither the draws of one model nor those of one source are
independent.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cae_backends.datasets import open_data
from cae_backends.torch.model import TorchModel
from cae_core.arrays import Floats64
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.generation.generate import generate
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.statistics.adjustment import adjusted_scores, outside_hull
from cae_core.statistics.ranks import rank_p_value
from stacked_networks import ARCHITECTURES, Network, Training, halved, train

EPS, TAU, EXAMPLES = 48 / 255, 0.6, 50  # the demonstration's
DEGREE = 1
SHARE = 0.6  # of the training images, which an innocent draws
SURROGATES = (
    ("hard labels", "convolutions"),
    ("hard labels", "perceptron"),
    ("hard labels", "wide perceptron"),
    ("soft labels", "convolutions"),
    ("fine-tuned", ""),
)
THIEVES = (
    *SURROGATES,
    ("hard labels", "smooth convolutions"),
    ("soft labels", "deep perceptron"),
    ("pruned", ""),
)
_CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY")

Matches: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Sources of one recipe.

    Attributes:
        name: of the family.
        training: fields of `Training` that all share.
        claimed: how many are claimed in turn.
        controls: how many there are to draw controls from.
        groups: of innocents that are asked.
    """

    name: str
    training: Mapping[str, Any]
    claimed: int
    controls: int
    groups: Sequence[str]

    @property
    def size(self) -> int:
        """How many sources there are, the claimed ones first."""
        return self.claimed + self.controls


GROUPS = (
    "as the references",
    "other recipes",
    "other architectures",
    "little data",
    "moved data",
    "the owner's images",
    "none of the owner's images",
    "robust",
)

FAMILIES = (
    Family(
        name="ordinary", training={"architecture": "convolutions", "epochs": 40}, claimed=20, controls=40, groups=GROUPS
    ),
    Family(
        name="robust",
        training={"architecture": "wide perceptron", "epochs": 25, "robust": 0.15},
        claimed=10,
        controls=99,
        groups=(GROUPS[0], GROUPS[2], GROUPS[3], GROUPS[-1]),
    ),
)


def _number(family: Family) -> int:
    return [one.name for one in FAMILIES].index(family.name)


_RECIPES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "noise": {"noise": 0.12},
    "blends": {"mix": 0.4},
    "noise and blends": {"noise": 0.08, "mix": 0.3},
    "slow": {"rate": 2e-3},
    "little noise": {"noise": 0.05},
    "fast": {"rate": 1e-2},
}
_COMMON = ("perceptron", "wide perceptron", "convolutions")
_OTHER_RECIPES: tuple[Mapping[str, Any], ...] = ({"epochs": 6}, {"decay": 5e-3}, {"epochs": 40, "noise": 0.2})
CELLS = len(_RECIPES) * len(_COMMON)


@dataclass(frozen=True)
class Digits:
    """The images, and who has which.

    Attributes:
        train: images to train on, of which the owner has the half ``owned``.
        test: images of nobody's training: seeds, probes, accuracies.
    """

    train: ImageSet
    test: ImageSet

    @cached_property
    def images(self) -> Tensor:
        """Of the training set, float32 (n, 1, 8, 8)."""
        return torch.tensor(self.train.images.transpose(0, 3, 1, 2)).float() / 255

    @cached_property
    def targets(self) -> Tensor:
        """Of the training set, float32 (n, 10)."""
        return torch.nn.functional.one_hot(torch.tensor(self.train.labels), 10).float()

    @cached_property
    def owned(self) -> NDArray[np.int64]:
        """The owner's training images."""
        return np.random.default_rng(99).permutation(len(self.train))[: len(self.train) // 2]

    def rows(self, where: NDArray[np.int64]) -> dict[str, Any]:
        """Return the fields of a `Training` on some training images."""
        return {"images": self.images[where], "targets": self.targets[where]}


@dataclass(frozen=True, kw_only=True)
class Study:
    """Where the study keeps what it has done, and how large it is."""

    output: Path
    seed: int
    models: int
    draws: int
    digits: Digits = field(repr=False)

    def seeds(self, part: int) -> int:
        """Return the first seed of a part of the study: its models have that one and the next."""
        return 10_000_000 * self.seed + 100_000 * part


def main() -> None:
    """Do what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=int, default=150, help="innocents of each group")
    parser.add_argument("--draws", type=int, default=200, help="of claimed source, controls and references")
    parser.add_argument("--controls", type=int, default=99, help="sources to draw controls from, at most")
    options = parser.parse_args()
    torch.set_num_threads(1)
    digits = Digits(open_data("digits", split="train"), open_data("digits", split="test"))
    study = Study(output=options.output, seed=options.seed, models=options.models, draws=options.draws, digits=digits)
    for part, whole in enumerate(FAMILIES):
        family = replace(whole, controls=min(whole.controls, options.controls))
        page = study.output / f"{family.name}-{family.size}.md"
        if page.exists():
            print(page.read_text(), flush=True)
            continue
        answers = {name: answered(study, family, name) for name in (REFERENCES, *family.groups, THIEVES_OF)}
        text = "\n".join(tables(study, family, part, answers))
        page.write_text(text)
        print(text, flush=True)


# Models

REFERENCES, THIEVES_OF = "references", "thieves"


def innocent(study: Study, group: str, number: int, seed: int) -> Training:
    """Return the training of an innocent of a group: its ``number`` decides recipe and architecture in turn."""
    digits, random = study.digits, np.random.default_rng(seed)
    drawn = random.permutation(len(digits.train))
    names = list(_RECIPES)
    usual = Training(
        architecture=_COMMON[number % 3],
        seed=seed,
        **digits.rows(drawn[: int(SHARE * len(drawn))]),
        **_RECIPES[names[number // 3 % len(names)]],
    )
    changes: dict[str, Any] = {}
    match group:
        case "other recipes":
            changes = {"noise": 0.0, "mix": 0.0, "rate": 5e-3, **_OTHER_RECIPES[number // 3 % 3]}
        case "other architectures":
            changes = {"architecture": ("deep perceptron", "smooth convolutions")[number % 2]}
        case "little data":
            changes = {**digits.rows(drawn[: len(drawn) // 8]), "epochs": 30}
        case "moved data":
            changes = {"images": _moved(usual.images, seed)}
        case "none of the owner's images":
            changes = digits.rows(np.setdiff1d(drawn, digits.owned))
        case "the owner's images":
            changes = digits.rows(digits.owned)
        case "robust":
            changes = {"architecture": ARCHITECTURES[number % 5], "robust": (0.1, 0.2)[number % 2], "noise": 0.0}
        case _:
            pass
    return replace(usual, **changes)


def _moved(images: Tensor, seed: int) -> Tensor:
    """Return each image moved by a pixel to either side, or not."""
    by = np.random.default_rng([seed, 1]).integers(-1, 2, len(images))
    return torch.stack([image.roll(int(step), dims=2) for image, step in zip(images, by, strict=True)])


def derived(study: Study, source: Network, kind: str, architecture: str, seed: int) -> Training:
    """Return the training of a model derived from a source."""
    digits, random = study.digits, torch.Generator().manual_seed(seed)
    if kind in ("fine-tuned", "pruned"):
        some = np.random.default_rng(seed).permutation(len(digits.train))[:500]
        start = halved(source) if kind == "pruned" else tuple(weight.detach().clone() for weight in source.weights)
        return Training(
            architecture=source.architecture, seed=seed, epochs=4, rate=1e-3, start=start, **digits.rows(some)
        )
    first, second = (torch.randint(0, len(digits.train), (2000,), generator=random) for _ in range(2))
    share = 0.8 * torch.rand((2000, 1, 1, 1), generator=random)
    blends = (1 - share) * digits.images[first] + share * digits.images[second]
    queries = (blends + 0.1 * torch.randn(blends.shape, generator=random)).clamp(0, 1)
    told = source(queries).softmax(-1)
    if kind == "hard labels":
        told = torch.nn.functional.one_hot(told.argmax(1), 10).float()
    return Training(architecture=architecture, seed=seed, images=queries, targets=told)


def sources_of(study: Study, family: Family) -> list[Network]:
    """Train all sources of a family, on the owner's images; those of a stack depend on one another."""
    first = study.seeds(10 + _number(family))
    rows = study.digits.rows(study.digits.owned)
    return train(
        [Training(seed=first + number, **family.training, **rows) for number in range(FAMILIES[_number(family)].size)]
    )


# Fingerprints and answers


@dataclass(frozen=True)
class Answers:
    """What a group of models answered.

    Attributes:
        rates: float64 (k, sources), match rates on each source's examples.
        accuracy: float64 (k,), on the test images.
        of: int64 (k,), whose thief each is, or its cell; -1 where neither.
    """

    rates: Floats64
    accuracy: Floats64
    of: NDArray[np.int64]


def examples_of(study: Study, family: Family) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Return images and labels of each source's examples; what is missing is made."""
    paths = [study.output / family.name / f"fingerprint-{number:03}.npz" for number in range(family.size)]
    if not all(path.exists() for path in paths):
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        _generate(study, family, paths)
    found = [np.load(path, allow_pickle=False) for path in paths]
    return [(kept["images"], kept["labels"]) for kept in found]


def _generate(study: Study, family: Family, paths: Sequence[Path]) -> None:
    sources, part = sources_of(study, family), 20 + _number(family)
    references = [innocent(study, REFERENCES, 4 * number, study.seeds(part) + number) for number in range(6)]
    own = [
        derived(study, source, *line, seed=study.seeds(part) + 100 + len(SURROGATES) * number + place)
        for number, source in enumerate(sources)
        for place, line in enumerate(SURROGATES)
    ]
    trained = train([*references, *own])
    opened = [_opened(network) for network in trained]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        first = len(references) + len(SURROGATES) * number
        boxes = WhiteBoxes(_opened(sources[number]), opened[first : first + len(SURROGATES)], opened[: len(references)])
        settings = GenerationSettings(eps=EPS, tau=TAU, count=EXAMPLES, batch=EXAMPLES, seed=number)
        named = {"source": {"name": path.stem, "sha256": "0"}, "surrogates": [], "references": []}
        made = generate(boxes, study.digits.test, settings, provenance=named).fingerprint
        with path.open("wb") as file:
            np.savez(file, images=made.images, labels=made.labels)
        print(f"{family.name} source {number + 1} of {family.size}: {len(made)} examples", flush=True)


def _opened(network: Network) -> TorchModel:
    return TorchModel(network, contract=_CONTRACT, device="cpu")


def answered(study: Study, family: Family, group: str) -> Answers:
    """Return what a group answered to every source of a family; it is trained where that is missing."""
    path = study.output / family.name / f"{group.replace(' ', '-')}-{family.size}.npz"
    if not path.exists():
        examples = examples_of(study, family)
        n = min(len(labels) for _, labels in examples)
        networks, of = _thieves(study, family) if group == THIEVES_OF else _innocents(study, group)
        rates = np.array(
            [[_match(network, images[:n], labels[:n]) for images, labels in examples] for network in networks]
        )
        accuracy = np.array(
            [_match(network, study.digits.test.images, study.digits.test.labels) for network in networks]
        )
        with path.open("wb") as file:
            np.savez(file, rates=rates, accuracy=accuracy, of=of)
        print(f"{family.name}: {group}, {len(networks)} models", flush=True)
    kept = np.load(path, allow_pickle=False)
    return Answers(kept["rates"], kept["accuracy"], kept["of"])


def _innocents(study: Study, group: str) -> tuple[list[Network], NDArray[np.int64]]:
    part, count = (0, 12 * CELLS) if group == REFERENCES else (1 + GROUPS.index(group), study.models)
    numbers = range(count)
    of = np.array([number % CELLS if group == REFERENCES else -1 for number in numbers])
    seeds = study.seeds(part)
    path = study.output / "networks" / f"{group.replace(' ', '-')}.pt"
    return _kept(path, [innocent(study, group, number, seeds + number) for number in numbers]), of


def _thieves(study: Study, family: Family) -> tuple[list[Network], NDArray[np.int64]]:
    first = study.seeds(30 + _number(family))
    sources = sources_of(study, family)[: family.claimed]
    each = 2 * len(THIEVES)
    trainings = [
        derived(study, source, *THIEVES[place % len(THIEVES)], seed=first + each * number + place)
        for number, source in enumerate(sources)
        for place in range(each)
    ]
    return _kept(study.output / "networks" / f"{family.name}-thieves.pt", trainings), np.repeat(
        np.arange(family.claimed), each
    )


def _kept(path: Path, trainings: Sequence[Training]) -> list[Network]:
    """Return the trained networks of a file; it is made where it is missing."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = [(network.architecture, [w.detach() for w in network.weights]) for network in train(trainings)]
        torch.save(made, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    kept = torch.load(path, weights_only=True)
    return [Network(name, weights).eval().requires_grad_(requires_grad=False) for name, weights in kept]


def _match(network: Network, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    shown = torch.tensor(images.transpose(0, 3, 1, 2)).float() / 255
    with torch.no_grad():
        return float((network(shown).argmax(1).numpy() == labels).mean())


# Ranks


@dataclass(frozen=True)
class Draw:
    """One calibration: the claimed source, an order of its controls, and orders of the references."""

    claimed: int
    controls: NDArray[np.int64]
    references: NDArray[np.int64]


def _draws(study: Study, family: Family, part: int) -> list[Draw]:
    random = np.random.default_rng([study.seed, part])
    return [
        Draw(
            number % family.claimed,
            family.claimed + random.permutation(family.controls),
            random.permutation(12 * CELLS),
        )
        for number in range(study.draws)
    ]


def p_values(asked: Answers, references: Answers, draw: Draw) -> dict[str, Floats64]:
    """Return p of every model of a group by each rank; the column's name says what stands behind it."""
    claimed = asked.rates[:, draw.claimed]
    few, many = draw.references[:19], draw.references[:99]
    found = {
        f"plain, {len(rows)} references": _ranks(claimed, references.rates[rows, draw.claimed]) for rows in (few, many)
    }
    for rows in (few, many):
        adjusted = [_adjusted(asked, references, draw.claimed, rows, model) for model in range(len(claimed))]
        found[f"adjusted, {len(rows)} references"] = np.array(adjusted)
    found[f"by cell, {CELLS} cells"] = _by_cell(claimed, references, draw.claimed)
    for count in (19, 99):
        if count <= len(draw.controls):
            found[f"source rank, {count} controls"] = _ranks(claimed, asked.rates[:, draw.controls[:count]])
    columns = np.r_[draw.claimed, draw.controls[:4]]
    found["two-way, 19 + 4"] = _two_way_ranks(asked.rates[:, columns], references.rates[np.ix_(few, columns)])
    return found


def _ranks(claimed: Floats64, others: Floats64) -> Floats64:
    """Return `rank_p_value` of each model (k,) among ``others``, (r,) or its own (k, r)."""
    return np.asarray((1 + (others >= claimed[:, np.newaxis]).sum(axis=-1)) / (1 + others.shape[-1]), np.float64)


def _two_way_ranks(asked: Floats64, references: Floats64) -> Floats64:
    """Return `two_way_p_value` of each model, whose rates (k, m + 1) stand above those of the references (r, m + 1)."""
    below = np.broadcast_to(references, (len(asked), *references.shape))
    tables = np.arcsin(np.sqrt(np.concatenate([asked[:, np.newaxis], below], axis=1)))
    residuals = tables - tables.mean(axis=1, keepdims=True) - tables.mean(axis=2, keepdims=True)
    residuals += tables.mean(axis=(1, 2), keepdims=True)
    as_high = (residuals >= residuals[:, :1, :1] - 1e-9).sum(axis=(1, 2))
    return np.asarray(as_high / tables[0].size, np.float64)


def _adjusted(asked: Answers, references: Answers, claimed: int, rows: NDArray[np.int64], model: int) -> float:
    """Return p by accuracy-adjusted scores; outside of the references' accuracies the larger of it and the plain p."""
    rates = np.r_[asked.rates[model, claimed], references.rates[rows, claimed]]
    accuracy = np.r_[asked.accuracy[model], references.accuracy[rows]]
    scores = adjusted_scores(rates[np.newaxis], accuracy, DEGREE)
    p = rank_p_value(scores[1:], scores[0])
    return max(p, rank_p_value(rates[1:], rates[0])) if outside_hull(accuracy[0], accuracy[1:]) else p


def _by_cell(claimed: Floats64, references: Answers, source: int) -> Floats64:
    """Return (1 + sum over cells of recipe and architecture of the share of models as high) / (cells + 1)."""
    as_high = references.rates[:, source] >= claimed[:, np.newaxis]
    shares = [as_high[:, references.of == cell].mean(axis=1) for cell in range(CELLS)]
    return np.asarray((1 + np.sum(shares, axis=0)) / (CELLS + 1), np.float64)


# The tables


def tables(study: Study, family: Family, part: int, answers: Mapping[str, Answers]) -> Iterator[str]:
    """Yield the lines of a family's tables, one for each rate."""
    draws = _draws(study, family, part)
    found = {
        group: [p_values(answers[group], answers[REFERENCES], draw) for draw in draws]
        for group in (*family.groups, THIEVES_OF)
    }
    for rate in (0.05, 0.01):
        yield from _table(family, rate, draws, answers, found)


def _table(
    family: Family,
    rate: float,
    draws: Sequence[Draw],
    answers: Mapping[str, Answers],
    found: Mapping[str, list[dict[str, Floats64]]],
) -> Iterator[str]:
    able = [name for name in found[THIEVES_OF][0] if _least(name) <= rate + 1e-12]
    yield f"\n**{family.name} sources, nominal {rate:.0%}: accused**\n"
    yield "| models | accuracy | " + " | ".join(able) + " |"
    yield "| --- " * (2 + len(able)) + "|"
    for group, ps in found.items():
        of = answers[group].of
        cells = [_cell(np.array([p[name] <= rate + 1e-12 for p in ps]), draws, of) for name in able]
        label = f"{group} of the claimed source" if group == THIEVES_OF else group
        yield f"| {label} ({len(of)}) | {answers[group].accuracy.mean():.3f} | " + " | ".join(cells) + " |"


def _least(name: str) -> float:
    """Return the least p that a rank of this name can give."""
    numbers = [int(word) for word in name.replace("+", " ").split() if word.isdigit()]
    return float(1 / np.prod([number + 1 for number in numbers]))


def _cell(accused: Matches, draws: Sequence[Draw], of: NDArray[np.int64]) -> str:
    """Return the rate, its standard errors over models and sources, and that of the worst source; in percent."""
    claimed = np.array([draw.claimed for draw in draws])
    counts = (of[np.newaxis] == claimed[:, np.newaxis]) if (of >= 0).any() else np.ones_like(accused)
    by_model = (accused & counts).sum(axis=0) / counts.sum(axis=0)
    by_source = [(accused & counts)[claimed == one].sum() / counts[claimed == one].sum() for one in np.unique(claimed)]
    errors = [100 * np.std(rates, ddof=1) / len(rates) ** 0.5 for rates in (by_model, by_source)]
    return f"{100 * by_model.mean():.1f} ± {errors[0]:.1f} / {errors[1]:.1f} (to {100 * max(by_source):.0f})"


if __name__ == "__main__":
    main()
