"""Which images the search starts from, and which wrong label each is to reach.

Only images that the source classifies correctly are seeds, unless its errors are wanted too
(`cae_core.generation.survey`). They are ranked by the prior evidence for a wrong label
t, log((p_S + p_M) / 2)_t + log(1 - p_R)_t, where p_S and p_R are the mean softmax of the *generate* pools: an image
that source and surrogates already half take for t, and references do not, needs the least change.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.dataset import ImageSet
from cae_core.errors import GenerationError, ModelError, PoolError
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.models import Predictions
from cae_core.progress import StageProgress, detail, silent
from cae_core.statistics.intervals import clopper_pearson

__all__ = [
    "SeedQueue",
    "checked_accuracy",
    "checked_probabilities",
    "evidence_for",
    "rank_seeds",
    "seed_order",
    "wanted_labels",
]

_TINY = 1e-12


@dataclass(frozen=True)
class SeedQueue:
    """Seeds in the order in which they are tried.

    Attributes:
        index: int64 (q,), positions in the data set.
        original: int64 (q,), y0, the label to leave: the ground truth, which the source gives all but the first
            ``errors`` of them.
        wanted: int64 (q,), the wrong label with the most prior evidence.
        source_accuracy: of the source on the whole data set, 0 to 1.
        source_labels: int32 (n,), the source's label of every image of the data set; empty where the seeds were given
            and no image was asked to rank them.
        references_right: int32 (n,), how many references are right about each image; empty in the same case.
        errors: how many seeds, the first ones, the source gets wrong; the others it gets right.
    """

    index: Labels
    original: Labels
    wanted: Labels
    source_accuracy: float
    source_labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    references_right: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    errors: int = 0

    def __len__(self) -> int:
        return len(self.index)


def rank_seeds(
    white_boxes: WhiteBoxes, data: ImageSet, *, ranking: str, seed: int, progress: StageProgress = silent
) -> SeedQueue:
    """Ask every model about every image once, check that each is a classifier of these data, and rank the seeds.

    Args:
        white_boxes: source and *generate* members.
        data: candidate seeds.
        ranking: ``"screened"`` or ``"random"``.
        seed: of the random order.
        progress: called with the models done and in total.

    Raises:
        GenerationError: the source is no better than chance on the data, or classifies none correctly.
        PoolError: a member answers with other class counts, or is no better than chance.
        ModelError: a member answers without probabilities.
    """
    classes = len(data.class_names)
    sums = np.zeros((3, len(data), classes))
    labels = data.labels
    answers = np.zeros((len(white_boxes.models), len(data)), np.int32)
    accuracy: list[float] = []
    for position, (relation, model) in enumerate(zip(_relations(white_boxes), white_boxes.models, strict=True)):
        name = white_boxes.name(position)
        detail(progress, "ranking seeds", name)
        predictions = model.predict(data.images)
        sums[relation] += checked_probabilities(predictions, name, classes)
        accuracy.append(checked_accuracy(predictions.labels, labels, classes, name, source=position == 0))
        answers[position] = predictions.labels
        progress(position + 1, len(answers))
    evidence = evidence_for(sums, white_boxes, labels)
    eligible = np.flatnonzero(answers[0] == labels)
    order = seed_order(evidence[eligible], ranking=ranking, seed=seed)
    index = eligible[order].astype(np.int64)
    return SeedQueue(
        index=index,
        original=labels[index],
        wanted=evidence[index].argmax(axis=1).astype(np.int64),
        source_accuracy=accuracy[0],
        source_labels=answers[0],
        references_right=(answers[1 + len(white_boxes.surrogates) :] == labels).sum(axis=0, dtype=np.int32),
    )


def wanted_labels(white_boxes: WhiteBoxes, images: NDArray[np.uint8], labels: Labels, *, classes: int) -> Labels:
    """Return the wrong label with the most prior evidence, int64 (n,), as `rank_seeds` finds it, for these seeds.

    Args:
        white_boxes: source and *generate* members.
        images: uint8 (n, h, w, k).
        labels: int64 (n,), the ground truth.
        classes: c.

    Raises:
        PoolError: a member answers with another class count.
        ModelError: a member answers without probabilities, or NaN.
    """
    sums = np.zeros((3, len(images), classes))
    for position, (relation, model) in enumerate(zip(_relations(white_boxes), white_boxes.models, strict=True)):
        sums[relation] += checked_probabilities(model.predict(images), white_boxes.name(position), classes)
    return np.asarray(evidence_for(sums, white_boxes, labels).argmax(axis=1), np.int64)


def _relations(white_boxes: WhiteBoxes) -> list[int]:
    """Return of each model what it is: 0 the source, 1 a surrogate, 2 a reference."""
    return [0] + [1] * len(white_boxes.surrogates) + [2] * len(white_boxes.references)


def evidence_for(sums: Floats64, white_boxes: WhiteBoxes, labels: Labels) -> Floats64:
    """Return the evidence for each label, (n, c), from the summed probabilities (3, n, c) of each relation."""
    p_m, p_s, p_r = sums[0], sums[1] / len(white_boxes.surrogates), sums[2] / len(white_boxes.references)
    evidence = np.log(np.maximum((p_s + p_m) / 2, _TINY)) + np.log(np.maximum(1 - p_r, _TINY))
    evidence[np.arange(len(labels)), labels] = -np.inf
    return np.asarray(evidence, np.float64)


def seed_order(evidence: Floats64, *, ranking: str, seed: int) -> Labels:
    """Return in which order seeds with this evidence (n, c) are tried, int64 (n,)."""
    if ranking == "random":
        return np.random.default_rng(seed).permutation(len(evidence))
    return np.argsort(-evidence.max(axis=1), kind="stable")


def checked_probabilities(predictions: Predictions, name: str, classes: int) -> Floats64:
    """Return the probabilities, float64 (n, c).

    Raises:
        ModelError: there are none, or they are no numbers.
        PoolError: they are of other classes.
    """
    if predictions.probabilities is None:
        raise ModelError(f"{name}: answers with labels only. A white box must give logits or probabilities.")
    if predictions.probabilities.shape[1] != classes:
        raise PoolError(
            f"{name}: answers with {predictions.probabilities.shape[1]} classes and the data have {classes}. "
            "Use data of the same task, or give the model a class map."
        )
    if not np.isfinite(predictions.probabilities).all():
        raise ModelError(f"{name}: answers NaN on benign images. Check its file and its input contract.")
    return predictions.probabilities.astype(np.float64)


def checked_accuracy(answers: Labels, labels: Labels, classes: int, name: str, *, source: bool) -> float:
    """Return the accuracy, refused where even its upper limit is within a tenth of the way from chance to 1."""
    right = int((answers == labels).sum())
    useless = 1 / classes + 0.1 * (1 - 1 / classes)
    if clopper_pearson(right, len(labels), 0.99)[1] < useless:
        what = "the source" if source else "the pool member"
        kind = GenerationError if source else PoolError
        raise kind(
            f"{name}: {what} is right on {right} of {len(labels)} benign images, which is what chance gives with "
            f"{classes} classes. Is its input contract (range, layout, channels) right, and are these its data?"
        )
    return right / len(labels)
