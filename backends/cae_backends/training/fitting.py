"""Training that gives the same weights, bit for bit, for the same seed on the same machine."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.augmentation import Augmentation
from cae_backends.training.rates import Plateau, rate_at
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Network, Step, Weights
from cae_core.arrays import Floats32, Images, Labels, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, ModelError
from cae_core.progress import StageProgress

__all__ = ["Targets", "accuracy", "fit", "logits_of"]

Targets: TypeAlias = Labels | Floats32 | Callable[[Floats32], Labels | Floats32]
"""Labels int64 (n,), probabilities float32 (n, c), or a function that gives either for the batch as augmented."""

_ASKED_TOGETHER = 1024


def logits_of(network: Network, images: Images) -> Floats32:
    """Return the logits (n, c) of ``images``, some at a time."""
    parts = range(0, len(images), _ASKED_TOGETHER)
    return np.concatenate([network.logits(as_unit_float(images[i : i + _ASKED_TOGETHER])) for i in parts])


def accuracy(network: Network, data: ImageSet) -> float:
    """Return the fraction of ``data`` that ``network`` labels correctly."""
    return float((logits_of(network, data.images).argmax(axis=1) == data.labels).mean())


def fit(
    network: Network,
    images: NDArray[np.uint8],
    targets: Targets,
    recipe: Recipe,
    *,
    seed: int,
    frozen: Collection[str] = (),
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    snapshots: Collection[int] = (),
    progress: StageProgress | None = None,
    validated: Callable[[float], None] | None = None,
) -> dict[int, Weights]:
    """Train ``network`` in place.

    Args:
        network: the one to train.
        images: uint8 (n, h, w, k).
        targets: aligned with ``images``; a function is asked about each batch as the network sees it, augmented.
        recipe: its `share`, `sparsity` and `normalise` are the caller's business.
        seed: of the held-out images, the order and the augmentation.
        frozen: see `Network.start`.
        masks: see `Network.start`.
        snapshots: epochs, from 1, after which the weights are kept.
        progress: called after each epoch with the epochs done and their number; it may raise to stop the training.
        validated: told after each epoch on which fraction of the held-out images the network's label is the target's,
            where the recipe holds some out.

    Returns:
        The weights after each epoch of ``snapshots`` that was reached.

    Raises:
        DataError: no images, or not as many targets.
        ModelError: the training has diverged.
    """
    if not len(images) or (not callable(targets) and len(targets) != len(images)):
        found = "a function" if callable(targets) else len(targets)
        raise DataError(f"Training needs images and as many targets; found {len(images)} images, targets: {found}.")
    step = network.start(recipe, seed=seed, frozen=frozen, masks=masks or {})
    course = _Course(network, recipe, step, images, targets, np.random.default_rng(seed))
    kept: dict[int, Weights] = {}
    for epoch in range(1, recipe.epochs + 1):
        course.run_epoch(epoch)
        if validated is not None and course.validation is not None:
            validated(course.validation)
        if epoch in snapshots:
            kept[epoch] = network.weights()
        if progress is not None:
            progress(epoch, recipe.epochs)
        if course.plateau.ended:
            break
    course.finish()
    return kept


@dataclass
class _Course:
    """One training: what is drawn, what has been the best, and what is averaged."""

    network: Network
    recipe: Recipe
    step: Step
    images: NDArray[np.uint8]
    targets: Targets
    rng: np.random.Generator
    best: Weights = field(default_factory=dict)
    total: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    averaged: int = 0
    validation: float | None = None

    def __post_init__(self) -> None:
        self.plateau = Plateau(self.recipe)
        self.augment = Augmentation(self.images, self.recipe)
        held_out = max(1, round(self.recipe.validation * len(self.images))) if self.recipe.validation else 0
        order = self.rng.permutation(len(self.images)) if held_out else np.arange(len(self.images))
        self.held_out, self.trained = np.split(order, [held_out])
        if not len(self.trained):
            raise DataError(f"No image is left to train on: {held_out} of {len(self.images)} are held out.")

    def run_epoch(self, epoch: int) -> None:
        """Train on every image once."""
        order = self.rng.permutation(self.trained)
        batches = math.ceil(len(order) / self.recipe.batch_size)
        total = 0.0
        for number, index in enumerate(np.array_split(order, batches)):
            steps_before = (epoch - 1) * batches + number
            rate = rate_at(self.recipe, step=steps_before, steps=self.recipe.epochs * batches)
            x = self.augment(index, self.rng)
            y = self.targets(x) if callable(self.targets) else self.targets[index]
            total += self.step(x, y, self.plateau.lowered(rate))
        if not math.isfinite(total):
            raise ModelError(f"The training diverged in epoch {epoch}. Lower the learning rate.")
        if len(self.held_out):
            self.validation = self._validation()
            if self.plateau.better(self.validation) and self.recipe.best:
                self.best = self.network.weights()
        if self.recipe.average > 1 and epoch > self.recipe.epochs - self.recipe.average:
            self._add(self.network.weights())

    def _validation(self) -> float:
        """The fraction of the held-out images on which the network's label is the target's."""
        right = 0
        for part in _parts(self.held_out):
            x = as_unit_float(self.images[part])
            y = self.targets(x) if callable(self.targets) else self.targets[part]
            labels = y if y.ndim == 1 else y.argmax(axis=1)
            right += int((self.network.logits(x).argmax(axis=1) == labels).sum())
        return right / len(self.held_out)

    def _add(self, weights: Weights) -> None:
        self.averaged += 1
        for name, value in weights.items():
            self.total[name] = self.total.get(name, 0.0) + value.astype(np.float64)

    def finish(self) -> None:
        """Put the best or the average weights in place."""
        if self.best:
            self.network.load(self.best)
        elif self.total:
            last = self.network.weights()
            mean = {name: value / self.averaged for name, value in self.total.items()}
            self.network.load({name: value.astype(last[name].dtype) for name, value in mean.items()})


def _parts(index: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for i in range(0, len(index), _ASKED_TOGETHER):
        yield index[i : i + _ASKED_TOGETHER]
