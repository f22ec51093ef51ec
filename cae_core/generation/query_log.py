"""Examples from a query log: images on which a source answers otherwise than most of the sources that are made alike.

No truth is needed, no surrogate and no reference. Every rule here treats the claimed source and its controls alike, so
that for a suspect that learned from none of their answers each of them is as likely as any to be matched best.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from cae_core import clock
from cae_core import version as release
from cae_core.arrays import Floats64, Labels, sha256_of
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, GenerationError, OptionError
from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.query_log import QUERIES, QueryLog, parse_date
from cae_core.generation.generate import generation_inputs
from cae_core.generation.probes import draw_probes
from cae_core.generation.settings import GenerationSettings
from cae_core.models import Model, Predictions

__all__ = ["LEAST", "Chosen", "accuracies", "choose_from_log", "distinct", "fingerprint_from_log", "log_of", "told_by"]

LEAST = 10
"""Examples of each source below which a log says nothing."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What was chosen for one source.

    Attributes:
        index: int64 (n,), places in the log, the most telling first.
        labels: int64 (n,), the source's.
        majority: int64 (n,), what most sources answer.
        scores: float64 (n,), see `choose_from_log`.
    """

    index: Labels
    labels: Labels
    majority: Labels
    scores: Floats64


def log_of(images: NDArray[np.uint8], *, date: str, logs_tried: int) -> QueryLog:
    """Return what is recorded of a log.

    Args:
        images: uint8 (n, h, w, k), all of it.
        date: on which its digest was fixed, such as 2026-05-31.
        logs_tried: how many logs were tried, this one included.

    Raises:
        OptionError: no date, one that is still to come, or no such number.
    """
    fixed = parse_date(date)
    if fixed > clock.utc_now().date():
        raise OptionError(
            f"The log's date, {date}, is in the future. Give the date on which the log's digest was fixed."
        )
    return QueryLog(sha256=sha256_of(images), count=len(images), date=fixed, logs_tried=logs_tried)


def distinct(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the images (n, h, w, k) without repetitions, in their order: customers ask again."""
    seen = {image.tobytes(): place for place, image in reversed(list(enumerate(images)))}
    return images[sorted(seen.values())]


def told_by(model: Model, images: NDArray[np.uint8], classes: int) -> Floats64:
    """Return the model's probabilities, float64 (n, c); of bare labels those of a certain answer.

    Raises:
        DataError: it tells another number of classes, or refuses an image.
    """
    answers: Predictions = model.predict(images)
    told = answers.probabilities
    found = classes if told is None else told.shape[1]
    if found != classes or answers.labels.max() >= classes or answers.labels.min() < 0:
        raise DataError(f"A source answers the log with other classes than the {classes} of the benign images, or not.")
    return np.eye(classes)[answers.labels] if told is None else np.asarray(told, np.float64)


def choose_from_log(told: Floats64, count: int) -> list[Chosen]:
    """Return for every source the images on which it errs most by itself, of each source as many.

    These are images to which it gives another label y than most sources do (of equally frequent labels the first one),
    in the order of p_j(y) - mean over the other sources of p(y), highest first. Where sources are permuted, so are the
    examples.

    Args:
        told: float64 (m + 1, n, c), probabilities of every source on the log.
        count: how many examples of each are wanted.

    Raises:
        GenerationError: some source has fewer than `LEAST` of them.
    """
    labels, classes = told.argmax(axis=2), told.shape[2]
    votes = np.stack([np.asarray(labels == y).sum(axis=0) for y in range(classes)])
    majority = np.asarray(votes.argmax(axis=0), np.int64)
    found = [_of_source(told, labels, majority, j) for j in range(len(told))]
    least = min(len(chosen.index) for chosen in found)
    if least < LEAST:
        raise GenerationError(
            f"This log cannot judge: some source differs from most sources on {least} of its {told.shape[1]} images, "
            f"and {LEAST} are needed. Give a longer log."
        )
    n = min(count, least)
    return [Chosen(index=c.index[:n], labels=c.labels[:n], majority=c.majority[:n], scores=c.scores[:n]) for c in found]


def _of_source(told: Floats64, labels: Labels, majority: Labels, j: int) -> Chosen:
    places = np.flatnonzero(labels[j] != majority)
    given = told[:, places, labels[j, places]]
    scores = np.asarray(given[j] - np.delete(given, j, axis=0).mean(axis=0), np.float64)
    order = np.argsort(-np.round(scores, 9), kind="stable")  # sums of rounded numbers: equal ones stay in their order
    index = places[order]
    return Chosen(index=index, labels=labels[j, index], majority=majority[index], scores=scores[order])


def fingerprint_from_log(
    images: NDArray[np.uint8],
    chosen: Chosen,
    data: ImageSet,
    *,
    log: QueryLog,
    settings: GenerationSettings,
    provenance: dict[str, object],
    accuracy: float,
) -> Fingerprint:
    """Return the fingerprint of one source.

    Args:
        images: of the log, without repetitions.
        chosen: the source's, see `choose_from_log`.
        data: labelled benign images, for the benign check.
        log: what is recorded of it.
        settings: of which the seed draws the benign probes.
        provenance: ``source``, ``surrogates`` and ``references``; the latter are empty.
        accuracy: of the source on ``data``.
    """
    if images.shape[1:] != data.images.shape[1:]:
        raise OptionError(
            f"The log's images are {images.shape[1:]}, the benign ones {data.images.shape[1:]}: one model takes both."
        )
    n, probes = len(chosen.index), draw_probes(data, np.zeros(0, np.int64), settings.seed)
    inputs = generation_inputs(data, settings, provenance)
    source = {**inputs["source"], "accuracy": accuracy}
    return Fingerprint(
        images=images[chosen.index],
        seeds=images[chosen.index],
        labels=chosen.labels,
        ground_truth=chosen.majority,
        conferrability=np.clip(chosen.scores, 0, 1).astype(np.float32),
        start_step=np.zeros(n, np.int32),
        steps=np.zeros(n, np.int32),
        probe_images=data.images[probes],
        probe_labels=data.labels[probes],
        class_names=data.class_names,
        generation={**inputs, "source": source, QUERIES: log.described()},
        tools={
            "cae-fingerprint": release.__version__,
            "numpy": np.__version__,
            "safetensors": metadata.version("safetensors"),
            "python": platform.python_version(),
        },
        example_kind=np.full(n, NATURAL_ERROR.code, np.uint8),
    )


def accuracies(models: Sequence[Model], data: ImageSet) -> list[float]:
    """Return the accuracy of each model on the benign images."""
    return [float((model.predict(data.images).labels == data.labels).mean()) for model in models]
