"""Dataset inference from labels alone: the blind walk of Maini, Yaghini & Papernot (ICLR 2021), from the paper.

A model that was trained on images, or copied from one that was, is surer of them than of others: it takes more noise
to change its answer. The paper walks along random directions until the answer changes; here the places of the walk are
fixed beforehand and all asked, so that every suspect is asked the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.material import Material
from cae_core.arena.method import MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats64, Labels
from cae_core.errors import GenerationError, OptionError
from cae_core.models import Model, Predictions
from cae_core.progress import StageProgress

__all__ = ["DATASET_INFERENCE", "BlindWalk", "welch"]

_FITTED = 200
"""Images of each side on which the source's own walk shows which directions tell the sides apart."""

_LEAST, _FACTOR = 0.02, 1.6
"""Root mean square of the first noise, on the scale [0, 1], and how many times as large each next one is."""

_RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class BlindWalk:
    """Welch's t of how far training images and others are from where a suspect errs, in favour of the first.

    A budget of n walks from n images, half of them training images: n · directions · steps queries.

    Attributes:
        directions: random ones of each image, in turn uniform, normal and Laplace noise.
        steps: noises along each.
    """

    directions: int = 3
    steps: int = 8

    def __post_init__(self) -> None:
        if self.directions < 1 or self.steps < 1:
            raise OptionError("directions and steps must be at least 1.")

    @property
    def needs(self) -> Needs:
        """Labels, and more queries than a budget has."""
        return Needs(own_budget=True)

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`."""
        private, public = _sides(material)
        half = min((max(budgets) + 1) // 2, len(private), len(public))
        random = np.random.default_rng([material.seed, 7])
        places = np.stack([private[:half], public[:half]], axis=1).ravel()  # in turn, so that each budget has both
        weights = self._weights(material, private[half:][:_FITTED], public[half:][:_FITTED], random)
        images = self._walks(material.data.images[places], random)
        labels = np.repeat(material.data.labels[places], self.directions * self.steps)
        progress(1, 1)
        each = self.directions * self.steps
        rows = np.arange(len(places) * each)
        return Queries(
            images=images,
            labels=labels,
            plans={budget: rows[: min(budget, len(places)) * each] for budget in budgets},
            facts={
                "private": np.repeat(np.arange(len(places)) % 2 == 0, each),
                "weight": np.tile(np.repeat(weights, self.steps), len(places)),
            },
        )

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return Welch's t of the weighed distances of training images and others; 0 for fewer than two of each."""
        each = self.directions * self.steps
        walked = self._distances(queries.labels, answers.labels)
        weights = queries.facts["weight"].reshape(-1, self.directions, self.steps)[:, :, 0]
        private = queries.facts["private"][::each]
        told = (walked * weights).sum(axis=1)
        return welch(told[private], told[~private])

    def _walks(self, images: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Return the places of the walks, uint8 (n · directions · steps, h, w, k), in this order."""
        shape = images.shape[1:]
        sizes = (255 * _LEAST * _FACTOR ** np.arange(self.steps)).reshape(-1, 1, 1, 1)
        walks = np.empty((len(images), self.directions, self.steps, *shape), np.uint8)
        for place, image in enumerate(images):
            for direction in range(self.directions):
                noise = _noise(direction % 3, shape, random)
                walks[place, direction] = np.clip(np.rint(image + noise * sizes), 0, 255)
        return walks.reshape(-1, *shape)

    def _distances(self, truth: Labels, answers: Labels) -> Floats64:
        """Return at which step each walk first leaves the truth, float64 (n, directions); ``steps`` where it never."""
        wrong = (answers != truth).reshape(-1, self.directions, self.steps)
        return np.where(wrong.any(axis=2), wrong.argmax(axis=2), self.steps).astype(np.float64)

    def _weights(self, material: Material, private: Labels, public: Labels, random: np.random.Generator) -> Floats64:
        """Return by ridge regression what each direction tells of the sides, on other images, of the source itself."""
        places = np.concatenate([private, public])
        if not len(private) or not len(public):
            return np.full(self.directions, 1 / self.directions)
        truth = np.repeat(material.data.labels[places], self.directions * self.steps)
        walked = self._distances(truth, _labels(material.source, self._walks(material.data.images[places], random)))
        sides = np.where(np.arange(len(places)) < len(private), 1.0, -1.0)
        centred, goal = walked - walked.mean(axis=0), sides - sides.mean()
        inner = centred.T @ centred + _RIDGE * len(places) * np.eye(self.directions)
        return np.asarray(np.linalg.solve(inner, centred.T @ goal), np.float64)


def welch(first: Floats64, second: Floats64) -> float:
    """Return (mean₁ - mean₂) / √(var₁/n₁ + var₂/n₂); 0 where there are too few values, or all are equal."""
    if len(first) < 2 or len(second) < 2:
        return 0.0
    variance = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float((first.mean() - second.mean()) / np.sqrt(variance)) if variance > 0 else 0.0


def _sides(material: Material) -> tuple[Labels, Labels]:
    """Return the places of training images and of others, in an order drawn by the seed."""
    held_out = material.data.held_out
    if held_out is None or held_out.all() or not held_out.any():
        raise GenerationError(
            "Dataset inference asks images that the source was trained on and others, and these data do not tell which "
            "are which. Give a data set with both splits (--split both)."
        )
    every = material.places("all")
    return every[~held_out[every]], every[held_out[every]]


def _noise(kind: int, shape: tuple[int, ...], random: np.random.Generator) -> Floats64:
    """Return uniform, normal or Laplace noise of root mean square 1, float64 of this shape."""
    if kind == 0:
        return random.uniform(-np.sqrt(3), np.sqrt(3), shape)
    return random.standard_normal(shape) if kind == 1 else random.laplace(0, np.sqrt(0.5), shape)


def _labels(model: Model, images: NDArray[np.uint8]) -> Labels:
    return model.predict(images).labels


DATASET_INFERENCE = MethodKind(
    name="dataset-inference",
    words="dataset inference by a blind walk (Maini et al. 2021)",
    build=BlindWalk,
)
