"""How a thief derives a model from another one, and how an honest competitor trains without it.

A surrogate learns from the source's answers to exactly the images that it is trained on: asked once where the
images stay as they are, and about each batch as augmented where they do not. Nothing here knows a framework.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.architectures.options import PretrainedWeights
from cae_backends.training.fitting import EpochProgress, Targets, fit
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Network, Scaling, Trainer, Weights
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.method.softmax import log_softmax
from cae_core.preprocessing import mean_image_contract, per_channel_contract

__all__ = [
    "DERIVATIONS",
    "THEFTS",
    "Derivation",
    "Made",
    "Setup",
    "Teacher",
    "Theft",
    "distilled",
    "eight_bit",
    "fine_tuned",
    "fine_tuned_last",
    "independent",
    "pruned",
    "reinitialised",
    "reinitialised_last",
    "retrained_on_labels",
    "retrained_on_probabilities",
]

Teacher: TypeAlias = Callable[[Floats32], Floats32]
"""The source as a thief sees it: images (n, h, w, k) in [0, 1] -> logits (n, c), up to a constant per image."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a model is trained with.

    Attributes:
        trainer: builds the network.
        data: the trainer's images; a thief's labels are used where it trains a copy of the source further.
        architecture: a name that the trainer knows; of no effect where the source's own is kept.
        seed: of initial weights, share of the data, batches and augmentation.
        recipe: how to train.
        device: where to train, see `Trainer.build`.
        queries: images (n, h, w, k) that a thief asks about; None: those of ``data``.
        snapshots: epochs after which the weights are kept.
        progress: called after each epoch.
        weights: pretrained ones that a fresh network starts from, see `Trainer.build`.
    """

    trainer: Trainer
    data: ImageSet
    architecture: str
    seed: int
    recipe: Recipe
    device: str = "cpu"
    queries: NDArray[np.uint8] | None = None
    snapshots: Collection[int] = ()
    progress: EpochProgress | None = None
    weights: PretrainedWeights = None

    def fresh(self) -> Network:
        """Return a network that is not trained yet, for the data's images and classes."""
        _, height, width, channels = self.data.images.shape
        return self.trainer.build(
            self.architecture,
            image_shape=(height, width, channels),
            classes=len(self.data.class_names),
            seed=self.seed,
            scaling=_scaling(self.data, self.recipe),
            device=self.device,
            weights=self.weights,
        )

    def portion(self) -> ImageSet:
        """Return the recipe's share of the data: a random one, of at least two images; all of it as it stands at 1."""
        return self.data if self.recipe.share == 1 else self.data.subset(self._chosen(len(self.data)))

    def asked(self) -> NDArray[np.uint8]:
        """Return the images that a thief asks about, the recipe's share of them."""
        if self.queries is None:
            return self.portion().images
        return self.queries if self.recipe.share == 1 else self.queries[self._chosen(len(self.queries))]

    def _chosen(self, count: int) -> NDArray[np.int64]:
        order = np.random.default_rng(self.seed).permutation(count)
        return order[: max(2, round(self.recipe.share * count))]

    def fit(
        self,
        network: Network,
        images: NDArray[np.uint8],
        targets: Targets,
        *,
        frozen: Collection[str] = (),
        masks: Mapping[str, NDArray[np.bool_]] | None = None,
    ) -> "Made":
        """Train ``network`` on ``images`` (n, h, w, k); see `fit`."""
        kept = fit(
            network,
            images,
            targets,
            self.recipe,
            seed=self.seed,
            frozen=frozen,
            masks=masks,
            snapshots=self.snapshots,
            progress=self.progress,
        )
        return Made(network, kept)

    def fit_truth(self, network: Network, **options: Any) -> "Made":  # noqa: ANN401 - those of `fit`
        """Train ``network`` on the true labels."""
        own = self.portion()
        return self.fit(network, own.images, own.labels, **options)


@dataclass(frozen=True)
class Made:
    """A trained network and the weights that it had after the epochs that were asked for."""

    network: Network
    snapshots: Mapping[int, Weights]


Theft: TypeAlias = Callable[[Teacher, Setup], Made]
"""Makes a surrogate from the source's answers alone."""

Derivation: TypeAlias = Callable[[Network, Setup], Made]
"""Makes a surrogate of a copy of the source's network, which it may change."""


def independent(setup: Setup) -> Made:
    """Train a network from scratch on the true labels: the source itself, or a reference."""
    return setup.fit_truth(setup.fresh())


def retrained_on_labels(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the labels that the source answers."""
    return _retrained(teacher, setup, lambda logits: logits.argmax(axis=1))


def retrained_on_probabilities(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the probabilities that the source answers."""
    return _retrained(teacher, setup, _probabilities)


def distilled(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the source's probabilities at the recipe's temperature (Hinton et al., 2015)."""
    return _retrained(teacher, setup, lambda logits: _probabilities(logits / np.float32(setup.recipe.temperature)))


def fine_tuned(copy: Network, setup: Setup) -> Made:
    """Train all layers further, on the true labels."""
    return setup.fit_truth(copy)


def fine_tuned_last(copy: Network, setup: Setup) -> Made:
    """Train the last layer further, on the true labels."""
    return setup.fit_truth(copy, frozen=_all_but(copy.head, copy))


def reinitialised_last(copy: Network, setup: Setup) -> Made:
    """Replace the last layer by random weights and train it, on the true labels."""
    _reset_head(copy, setup)
    return setup.fit_truth(copy, frozen=_all_but(copy.head, copy))


def reinitialised(copy: Network, setup: Setup) -> Made:
    """Replace the last layer by random weights and train all layers, on the true labels."""
    _reset_head(copy, setup)
    return setup.fit_truth(copy)


def pruned(copy: Network, setup: Setup) -> Made:
    """Zero the smallest weights of each layer and train the others further.

    The fraction `Recipe.sparsity` of every layer's weights is exactly zero in the result.
    """
    weights = copy.weights()
    masks = {name: _largest(weights[name], setup.recipe.sparsity) for name in copy.kernels}
    copy.load(weights | {name: weights[name] * mask for name, mask in masks.items()})
    return setup.fit_truth(copy, masks=masks)


def eight_bit(copy: Network, setup: Setup) -> Made:  # noqa: ARG001 - rounding needs no training
    """Round the weights to 8 bits, symmetric, with one scale per output."""
    weights = copy.weights()
    for name in copy.kernels:
        rows = np.moveaxis(weights[name], copy.output_axis, 0)
        others = tuple(range(1, rows.ndim))
        largest = np.abs(rows).max(axis=others, keepdims=True).clip(np.finfo(np.float32).tiny)
        rounded = np.rint(rows / (largest / 127)) * (largest / 127)
        weights[name] = np.moveaxis(rounded, 0, copy.output_axis).astype(np.float32)
    copy.load(weights)
    return Made(copy, {})


THEFTS: dict[str, Theft] = {
    "hard labels": retrained_on_labels,
    "soft labels": retrained_on_probabilities,
    "distilled": distilled,
    "other architecture": retrained_on_probabilities,
}
"""The surrogate kinds of `jobs.KINDS` that need the source's answers only."""

DERIVATIONS: dict[str, Derivation] = {
    "fine-tuned": fine_tuned,
    "fine-tuned last layer": fine_tuned_last,
    "re-initialised last layer": reinitialised_last,
    "re-initialised": reinitialised,
    "pruned": pruned,
    "8-bit weights": eight_bit,
    "adversarially fine-tuned": fine_tuned,
}
"""The surrogate kinds of `jobs.KINDS` that start from the source's weights."""


def _retrained(teacher: Teacher, setup: Setup, reading: Callable[[Floats32], Floats32 | Labels]) -> Made:
    """Train a fresh network on what ``reading`` makes of the source's logits."""
    images = setup.asked()

    def ask(batch: Floats32) -> Floats32 | Labels:
        return reading(teacher(batch))

    if setup.recipe.augments:
        return setup.fit(setup.fresh(), images, ask)
    parts = [teacher(as_unit_float(part)) for part in np.array_split(images, max(1, len(images) // 1024))]
    return setup.fit(setup.fresh(), images, reading(np.concatenate(parts)))


def _probabilities(logits: Floats32) -> Floats32:
    return np.exp(log_softmax(logits)).astype(np.float32)


def _all_but(names: Collection[str], network: Network) -> set[str]:
    return set(network.weights()) - set(names)


def _reset_head(network: Network, setup: Setup) -> None:
    fresh = setup.fresh().weights()
    network.load(network.weights() | {name: fresh[name] for name in network.head})


def _largest(weight: NDArray[np.float32], sparsity: float) -> NDArray[np.bool_]:
    """Mark all but the smallest entries."""
    mask = np.ones(weight.size, np.bool_)
    mask[np.abs(weight).ravel().argsort(kind="stable")[: round(sparsity * weight.size)]] = False
    return mask.reshape(weight.shape)


def _scaling(data: ImageSet, recipe: Recipe) -> Scaling:
    """Return the first layer that ``recipe`` asks for.

    The means and deviations are those of all training images of the pool, also where the recipe trains on a share of
    them and where a thief asks about foreign images: so much a thief is taken to know.
    """
    one = np.ones(data.images.shape[3], np.float32)
    if recipe.normalise == "fixed":
        return Scaling(0.5 * one, 4 * one)
    if recipe.normalise == "mean-image":
        mean = mean_image_contract(data, layout="NHWC", output="logits").mean_image
        return Scaling(np.asarray(mean, np.float32), one)
    contract = per_channel_contract(data, layout="NHWC", output="logits")
    return Scaling(np.asarray(contract.mean, np.float32), np.float32(1) / np.asarray(contract.std, np.float32))
