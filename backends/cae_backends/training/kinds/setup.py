"""What a member is trained with, and what comes of it. Nothing here knows a framework."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.architectures.options import PretrainedWeights, Scaling
from cae_backends.training.adoption import drawn_head
from cae_backends.training.fitting import Targets, fit
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Network, Trainer, Weights
from cae_core.dataset import ImageSet
from cae_core.pool.trained_on import trained_share
from cae_core.preprocessing import mean_image_contract, per_channel_contract
from cae_core.progress import StageProgress

__all__ = ["Made", "Setup"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a model is trained with.

    Attributes:
        trainer: builds the network.
        data: the trainer's images; a thief's labels are used where it trains a copy of the source further.
        architecture: a name that the trainer knows; of no effect where the source's own is kept.
        seed: random seed for initial weights, share of the data, batches and augmentation.
        recipe: how to train.
        device: device on which to train, see `Trainer.build`.
        queries: images (n, h, w, k) that a thief asks about; None: those of ``data``.
        snapshots: epochs after which the weights are kept.
        progress: called after each epoch.
        weights: pretrained ones that a fresh network starts from, see `Trainer.build`.
        images_seed: draws the share of the data instead; None: the seed does.
        adopted: whether the source is the network of a file, which the trainer cannot build.
    """

    trainer: Trainer
    data: ImageSet
    architecture: str
    seed: int
    recipe: Recipe
    device: str = "cpu"
    queries: NDArray[np.uint8] | None = None
    snapshots: Collection[int] = ()
    progress: StageProgress | None = None
    weights: PretrainedWeights = None
    images_seed: int | None = None
    adopted: bool = False

    def stage(self, number: int, count: int) -> "Setup":
        """Return the setup of one of ``count`` trainings, which is member number ``number``, from 0.

        The progress goes through all of them; snapshots are the last one's.
        """
        progress = self.progress
        if count < 2:
            return self

        def part(done: int, epochs: int) -> None:
            if progress is not None:
                progress(number * epochs + done, count * epochs)

        return replace(self, progress=part, snapshots=self.snapshots if number == count - 1 else ())

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

    def fresh_head(self, network: Network) -> Weights:
        """Return random weights for the last layer of a copy of the source."""
        if self.adopted:
            return drawn_head(network, self.seed)
        weights = self.fresh().weights()
        return {name: weights[name] for name in network.head}

    def portion(self) -> ImageSet:
        """Return the recipe's share of the data: a random one, of at least two images; all of it as it stands at 1."""
        return self.data if self.recipe.share == 1 else self.data.subset(self._chosen(len(self.data)))

    def asked(self) -> NDArray[np.uint8]:
        """Return the images that a thief asks about, the recipe's share of them."""
        if self.queries is None:
            return self.portion().images
        return self.queries if self.recipe.share == 1 else self.queries[self._chosen(len(self.queries))]

    def _chosen(self, count: int) -> NDArray[np.int64]:
        seed = self.seed if self.images_seed is None else self.images_seed
        return trained_share(count, self.recipe.share, seed)

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
        validation: list[float] = []
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
            validated=validation.append,
        )
        return Made(network, kept, tuple(validation))

    def fit_truth(self, network: Network, **options: Any) -> "Made":  # noqa: ANN401 - those of `fit`
        """Train ``network`` on the true labels."""
        own = self.portion()
        return self.fit(network, own.images, own.labels, **options)


@dataclass(frozen=True)
class Made:
    """A trained network.

    Attributes:
        network: the trained network, as it is kept.
        snapshots: the weights that it had after the epochs that were asked for.
        validation: accuracy after each epoch of its last training, on the images that the recipe holds out; empty
            where it holds none out.
    """

    network: Network
    snapshots: Mapping[int, Weights]
    validation: tuple[float, ...] = ()


def _scaling(data: ImageSet, recipe: Recipe) -> Scaling:
    """Return the first layer that ``recipe`` asks for.

    The means and deviations are those of all training images of the pool, also where the recipe trains on a share of
    them and where a thief asks about foreign images: so much a thief is taken to know.
    """
    one = np.ones(data.images.shape[3], np.float32)
    if recipe.normalise == "fixed":
        return Scaling.fixed(len(one))
    if recipe.normalise == "mean-image":
        mean = mean_image_contract(data, layout="NHWC", output="logits").mean_image
        return Scaling(np.asarray(mean, np.float32), one)
    contract = per_channel_contract(data, layout="NHWC", output="logits")
    return Scaling(np.asarray(contract.mean, np.float32), np.float32(1) / np.asarray(contract.std, np.float32))
