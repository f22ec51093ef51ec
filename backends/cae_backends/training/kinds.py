"""How a thief derives a model from another one, and how an honest competitor trains without it.

A surrogate learns from the source's answers to exactly the images that it is trained on: asked once where the
images stay as they are, and about each batch as augmented where they do not.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cae_backends.training.architectures import build
from cae_backends.training.fitting import EpochProgress, Targets, answers, fit, one_thread, to_tensor
from cae_backends.training.jobs import Recipe
from cae_core.dataset import ImageSet

__all__ = [
    "SURROGATES",
    "Derivation",
    "Setup",
    "distilled",
    "eight_bit",
    "fine_tuned",
    "independent",
    "pruned",
    "retrained_on_labels",
    "retrained_on_probabilities",
    "weights_of",
]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a model is trained with.

    Attributes:
        data: the trainer's images; a thief's labels are used by `fine_tuned` and `pruned` only.
        architecture: a name of `architectures.ARCHITECTURES`; of no effect where the source's own is kept.
        seed: of initial weights, share of the data, batches and augmentation.
        recipe: how to train.
        progress: called after each epoch.
    """

    data: ImageSet
    architecture: str
    seed: int
    recipe: Recipe
    progress: EpochProgress | None = None

    def fresh(self) -> nn.Module:
        """Return an untrained network for the data's images and classes."""
        _, height, width, channels = self.data.images.shape
        classes = len(self.data.class_names)
        return build(self.architecture, image_shape=(height, width, channels), classes=classes, seed=self.seed)

    def portion(self) -> ImageSet:
        """Return the recipe's share of the data: a random one, of at least two images; all of it as it stands at 1."""
        if self.recipe.share == 1:
            return self.data
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(self.seed))
        return self.data.subset(order[: max(2, round(self.recipe.share * len(self.data)))].numpy())

    def fit(self, module: nn.Module, images: Tensor, targets: Targets) -> nn.Module:
        """Train ``module`` in place on ``images`` (n, k, h, w)."""
        return fit(module, images, targets, self.recipe, seed=self.seed, progress=self.progress)

    def fit_truth(self, module: nn.Module) -> nn.Module:
        """Train ``module`` in place on the true labels."""
        own = self.portion()
        return self.fit(module, to_tensor(own), torch.from_numpy(own.labels))


Derivation: TypeAlias = Callable[[nn.Module, Setup], nn.Module]
"""Makes a surrogate, in evaluation mode, of a source that takes (n, k, h, w) in [0, 1] and stays as it is."""


def independent(setup: Setup) -> nn.Module:
    """Train a network from scratch on the true labels: the source itself, or a reference."""
    return setup.fit_truth(setup.fresh())


def retrained_on_labels(source: nn.Module, setup: Setup) -> nn.Module:
    """Train a network from scratch on the labels that the source answers."""
    return _retrained(source, setup, lambda logits: logits.argmax(1))


def retrained_on_probabilities(source: nn.Module, setup: Setup) -> nn.Module:
    """Train a network from scratch on the probabilities that the source answers."""
    return _retrained(source, setup, lambda logits: logits.softmax(1))


def distilled(source: nn.Module, setup: Setup) -> nn.Module:
    """Train a network from scratch on the source's probabilities at the recipe's temperature (Hinton et al., 2015)."""
    return _retrained(source, setup, lambda logits: (logits / setup.recipe.temperature).softmax(1))


def fine_tuned(source: nn.Module, setup: Setup) -> nn.Module:
    """Train all layers of a copy of the source further, on the true labels."""
    return setup.fit_truth(copy.deepcopy(source))


def pruned(source: nn.Module, setup: Setup) -> nn.Module:
    """Zero the smallest weights of each layer of a copy of the source and train the others further.

    The fraction `Recipe.sparsity` of every layer's weights is exactly zero in the result.
    """
    module = copy.deepcopy(source)
    handles = [_prune(weight, setup.recipe.sparsity) for weight in weights_of(module)]
    try:
        return setup.fit_truth(module)
    finally:
        for handle in handles:
            handle.remove()


def eight_bit(source: nn.Module, setup: Setup) -> nn.Module:  # noqa: ARG001 - rounding needs no training
    """Round the weights of a copy of the source to 8 bits, symmetric, with one scale per output channel."""
    module = copy.deepcopy(source).eval()
    with torch.no_grad():
        for weight in weights_of(module):
            largest = weight.abs().flatten(1).amax(1).clamp(min=torch.finfo(weight.dtype).tiny)
            scale = (largest / 127).reshape(-1, *[1] * (weight.ndim - 1))
            weight.copy_((weight / scale).round() * scale)
    return module


SURROGATES: dict[str, Derivation] = {
    "hard labels": retrained_on_labels,
    "soft labels": retrained_on_probabilities,
    "distilled": distilled,
    "other architecture": retrained_on_probabilities,
    "fine-tuned": fine_tuned,
    "pruned": pruned,
    "8-bit weights": eight_bit,
}
"""The derivation of every surrogate kind of `jobs.KINDS`."""


def weights_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the kernels and matrices: neither biases nor the factors of a batch norm."""
    return [parameter for parameter in module.parameters() if parameter.ndim > 1]


def _retrained(source: nn.Module, setup: Setup, reading: Callable[[Tensor], Tensor]) -> nn.Module:
    """Train a fresh network on what ``reading`` makes of the source's logits."""
    images = to_tensor(setup.portion())

    def ask(batch: Tensor) -> Tensor:
        return reading(answers(source, batch))

    with one_thread():
        targets: Targets = ask if setup.recipe.augments else ask(images)
    return setup.fit(setup.fresh(), images, targets)


def _prune(weight: nn.Parameter, sparsity: float) -> RemovableHandle:
    """Zero the smallest entries of ``weight`` and keep their gradients zero until the handle is removed.

    A zero weight with a zero gradient stays zero under Adam and SGD alike, weight decay included.
    """
    flat = torch.ones(weight.numel())
    flat[weight.detach().abs().flatten().argsort()[: round(sparsity * weight.numel())]] = 0
    mask = flat.reshape(weight.shape)
    with torch.no_grad():
        weight.mul_(mask)
    handle: RemovableHandle = weight.register_hook(lambda gradient: gradient * mask)  # type: ignore[no-untyped-call]
    return handle
