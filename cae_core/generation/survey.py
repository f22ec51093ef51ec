"""What the models say of the images that may become examples, where the source's errors are wanted too.

They are asked in rounds: the source about all images, the surrogates about those that it gets wrong and about some of
the others, drawn at random, and the references about the errors that surrogates repeat and the same others. So the data
may be many times as many as where everybody is asked about all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.dataset import ImageSet
from cae_core.fingerprint.example_kinds import PERTURBED, PERTURBED_ERROR
from cae_core.generation.probes import benign_places
from cae_core.generation.seeds import (
    SeedQueue,
    checked_accuracy,
    checked_probabilities,
    evidence_for,
    seed_order,
)
from cae_core.generation.selection import nth_of_label
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.models import DifferentiableModel, Predictions
from cae_core.progress import StageProgress, detail, silent

__all__ = ["PoolAnswers", "SourceAnswers", "Survey", "ask_pool", "ask_source", "survey_images"]

_STAGE = "ranking seeds"

_ASKED_TOGETHER = 64
"""Images: all of a large set would take many times their room in the models. Of more at once than this, a CIFAR-10
ResNet20 spends half of its time in getting memory from the system: 2,048 take 2.3 s of a core by 64, 5.3 s by 512."""

_MOST_ERRORS = 10_000
"""Errors of the source about which the pools are asked: those that it is the surest of."""

_ERRORS_PER_EXAMPLE, _ERRORS_AT_LEAST = 20, 1000
"""Errors about which the references are asked: so many for each example, or this number."""

_RIGHT_PER_EXAMPLE, _RIGHT_AT_LEAST = 40, 1000
"""Images that the source gets right and that may become seeds: so many for each example of them that is wanted, or this
number; by them, too, a member is known to be a classifier of the data at all."""


@dataclass(frozen=True)
class SourceAnswers:
    """What the source says of images.

    Attributes:
        labels: int64 (n,).
        margin: float64 (n,), of its logits at ``labels``.
        probabilities: float64 (n, c).
    """

    labels: Labels
    margin: Floats64
    probabilities: Floats64


@dataclass(frozen=True)
class PoolAnswers:
    """What the surrogates, or the references, say of images.

    Attributes:
        given: float64 (m, n), the probability that each gives the source's label.
        total: float64 (n, c), the probabilities of all of them added up.
        right: int64 (n,), how many of them are right.
    """

    given: Floats64
    total: Floats64
    right: Labels

    def rows(self, index: Labels) -> "PoolAnswers":
        """Return what they say of the images at ``index``."""
        return PoolAnswers(self.given[:, index], self.total[index], self.right[index])


@dataclass(frozen=True)
class Survey:
    """What everybody says of the images that may become examples.

    Attributes:
        index: int64 (a,), their places in the data set: errors of the source, then images that it gets right.
        errors: how many errors there are.
        worth: float64 (a,), see `MemberGroups.worth`.
        margin: float64 (a,), of the source's logits at its label.
        evidence: float64 (a, c), see `evidence_for`.
        source_accuracy: on the data set, without images that may be training images where others are known.
        source_labels: int32 (n,), of all images of the data set.
        references_right: int32 (n,), how many references are right about each image; 0 where they were not asked.
    """

    index: Labels
    errors: int
    worth: Floats64
    margin: Floats64
    evidence: Floats64
    source_accuracy: float
    source_labels: NDArray[np.int32]
    references_right: NDArray[np.int32]

    def queue(self, settings: GenerationSettings, truth: Labels, *, without: Labels) -> SeedQueue:
        """Return the seeds of the search: first the source's errors, then the others.

        Args:
            settings: of the generation.
            truth: int64 (n,), of the data set.
            without: places in the data set that are taken.
        """
        free, error = ~np.isin(self.index, without), np.arange(len(self.index)) < self.errors
        wanted = settings.wanted()
        errors = self._ordered(np.flatnonzero(free & error), settings, wanted[PERTURBED_ERROR])
        rows = np.concatenate([errors, self._ordered(np.flatnonzero(free & ~error), settings, wanted[PERTURBED])])
        return SeedQueue(
            index=self.index[rows],
            original=truth[self.index[rows]],
            wanted=self.evidence[rows].argmax(axis=1).astype(np.int64),
            source_accuracy=self.source_accuracy,
            source_labels=self.source_labels,
            references_right=self.references_right,
            errors=len(errors),
        )

    def _ordered(self, rows: Labels, settings: GenerationSettings, wanted: int) -> Labels:
        """Return ``rows`` in the order in which they are tried for so many ``wanted`` examples.

        No label has more seeds among the first than it may have examples: its further ones follow those of the others.
        """
        evidence = self.evidence[rows]
        order = seed_order(evidence, ranking=settings.ranking, seed=settings.seed)
        turn = nth_of_label(evidence[order].argmax(axis=1)) // settings.label_cap(max(wanted, 1))
        return rows[order[np.argsort(turn, kind="stable")] if settings.label_quota is not None else order]


def survey_images(
    white_boxes: WhiteBoxes,
    data: ImageSet,
    settings: GenerationSettings,
    *,
    without: Labels,
    progress: StageProgress = silent,
) -> Survey:
    """Ask the source about all images, and the pools about those that may become examples.

    Args:
        white_boxes: source and *generate* members.
        data: labelled images.
        settings: of the generation.
        without: places in the data set that are taken, such as the benign probes.
        progress: called with the models done and in total.

    Raises:
        GenerationError: the source is no better than chance on the data.
        PoolError: a member answers with other class counts, or is no better than chance.
        ModelError: a member answers without probabilities.
    """
    classes = len(data.class_names)
    source = ask_source(white_boxes, data.images, classes=classes, progress=progress)
    benign = slice(None) if data.held_out is None else data.held_out
    accuracy = checked_accuracy(
        source.labels[benign], data.labels[benign], classes, white_boxes.name(0), source=True
    )  # fmt: skip
    progress(1, len(white_boxes.models))
    index, errors = _candidates(source, data, settings, without)

    def ask(relation: Literal["surrogates", "references"]) -> PoolAnswers:
        asked, benign = data.subset(index), slice(errors, None)
        return ask_pool(white_boxes, relation, asked, source.labels[index], benign=benign, progress=progress)

    surrogates = ask("surrogates")
    kept = _promising(surrogates, errors, settings.count)
    index, errors, surrogates = index[kept], int((kept < errors).sum()), surrogates.rows(kept)
    references = ask("references")
    right = np.zeros(len(data), np.int32)
    right[index] = references.right
    sums = np.stack([source.probabilities[index], surrogates.total, references.total])
    return Survey(
        index=index,
        errors=errors,
        worth=white_boxes.groups.worth(surrogates.given, references.given),
        margin=source.margin[index],
        evidence=evidence_for(sums, white_boxes, data.labels[index]),
        source_accuracy=accuracy,
        source_labels=source.labels.astype(np.int32),
        references_right=right,
    )


def ask_source(
    white_boxes: WhiteBoxes, images: NDArray[np.uint8], *, classes: int, progress: StageProgress = silent
) -> SourceAnswers:
    """Ask the source.

    Raises:
        PoolError: it answers with another class count.
        ModelError: it answers without probabilities.
    """
    labels, probabilities = _asked(white_boxes.source, images, white_boxes.name(0), classes, progress)
    top = np.sort(probabilities, axis=1)[:, -2:]
    with np.errstate(divide="ignore"):  # a rival may have probability 0
        margin = np.log(top[:, -1]) - np.log(top[:, 0])
    return SourceAnswers(labels, margin, probabilities)


def ask_pool(
    white_boxes: WhiteBoxes,
    relation: Literal["surrogates", "references"],
    asked: ImageSet,
    labels: Labels,
    *,
    benign: slice | None = None,
    progress: StageProgress = silent,
) -> PoolAnswers:
    """Ask the surrogates or the references.

    Args:
        white_boxes: source and *generate* members.
        relation: who is asked.
        asked: the n images.
        labels: int64 (n,), the source's labels of them.
        benign: which images show whether a member is a classifier of the data; None: this is known.
        progress: called with the models done and in total.

    Raises:
        PoolError: a member answers with other class counts, or is no better than chance on the benign images.
        ModelError: a member answers without probabilities.
    """
    classes, rows = len(asked.class_names), np.arange(len(asked))
    first = 1 if relation == "surrogates" else 1 + len(white_boxes.surrogates)
    models: Sequence[DifferentiableModel] = getattr(white_boxes, relation)
    given = np.zeros((len(models), len(asked)))
    total, right = np.zeros((len(asked), classes)), np.zeros(len(asked), np.int64)
    for place, model in enumerate(models):
        name = white_boxes.name(first + place)
        answers, probabilities = _asked(model, asked.images, name, classes, progress)
        if benign is not None:
            checked_accuracy(answers[benign], asked.labels[benign], classes, name, source=False)
        given[place] = probabilities[rows, labels]
        total += probabilities
        right += answers == asked.labels
        progress(first + place + 1, len(white_boxes.models))
    return PoolAnswers(given, total, right)


def _promising(surrogates: PoolAnswers, errors: int, count: int) -> Labels:
    """Return the rows about which the references are asked: not the errors that the surrogates do not repeat.

    An error is worth no more than the surrogates' mean probability of its label, but for twins.
    """
    most = max(_ERRORS_PER_EXAMPLE * count, _ERRORS_AT_LEAST)
    repeated = surrogates.given[:, :errors].mean(axis=0)
    asked = np.ones(len(surrogates.right), np.bool_)
    asked[np.argsort(-repeated, kind="stable")[most:]] = False
    return np.flatnonzero(asked).astype(np.int64)


def _candidates(
    source: SourceAnswers, data: ImageSet, settings: GenerationSettings, without: Labels
) -> tuple[Labels, int]:
    """Return the places of the images about which the pools are asked, and how many of them are errors."""
    free = source.labels >= 0
    free[without] = False
    wrong = np.flatnonzero(free & (source.labels != data.labels))
    sure = np.sort(wrong[np.argsort(-source.margin[wrong], kind="stable")[:_MOST_ERRORS]])
    right = np.flatnonzero(free & (source.labels == data.labels))
    right = np.intersect1d(right, benign_places(data))  # what was learned by heart says little of a model
    most = max(_RIGHT_PER_EXAMPLE * settings.wanted()[PERTURBED], _RIGHT_AT_LEAST)
    # another stream than those of the order, the probes and the source's errors that only inform
    drawn = np.random.default_rng([settings.seed, 3]).permutation(len(right))[:most]
    return np.concatenate([sure, right[np.sort(drawn)]]).astype(np.int64), len(sure)


def _asked(
    model: DifferentiableModel, images: NDArray[np.uint8], name: str, classes: int, progress: StageProgress = silent
) -> tuple[Labels, Floats64]:
    parts: list[Predictions] = []
    for start in range(0, len(images), _ASKED_TOGETHER):
        if start % (16 * _ASKED_TOGETHER) == 0:
            detail(progress, _STAGE, f"{name}, {start} of {len(images)} images")
        parts.append(model.predict(images[start : start + _ASKED_TOGETHER]))
    probabilities = [checked_probabilities(part, name, classes) for part in parts]
    return np.concatenate([part.labels for part in parts]), np.concatenate(probabilities)
