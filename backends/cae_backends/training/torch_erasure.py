"""A torch network that is driven away from what it was, while it is trained."""

import copy
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cae_backends.training.recipe import Recipe
from cae_backends.training.torch_network import TorchNetwork, reproducible
from cae_backends.training.trainers import Step, Weights
from cae_core.arrays import Floats32, Labels
from cae_core.errors import ModelError

__all__ = ["ErasedTorch", "likeness"]

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class ErasedTorch:
    """A `Network` of which each step is two: one away from the network as it was, one towards the targets.

    RemovalNet (Yao et al., 2023) alternates between the removal of what is particular to the victim, in the features of
    an inner layer and in the logits, and the recovery of the task. Here the first is a step down the mean cosine
    between the features of the two networks, of the middle and of the last hidden layer, plus that between their
    logits without the truth's; both are centred, and bounded, so that no distance grows without end.

    Args:
        network: the copy; it is trained in place.

    Raises:
        ModelError: it has no layers inside.
    """

    def __init__(self, network: TorchNetwork) -> None:
        self._network = network
        self._before = copy.deepcopy(network.module).eval().requires_grad_(requires_grad=False)
        self._names = _watched(network)
        self.layout: Literal["NHWC", "NCHW"] = network.layout
        self.output_axis = network.output_axis

    @property
    def model(self) -> Any:  # noqa: ANN401 - each framework has its own
        """See `Network.model`."""
        return self._network.model

    @property
    def kernels(self) -> tuple[str, ...]:
        """See `Network.kernels`."""
        return self._network.kernels

    @property
    def head(self) -> tuple[str, ...]:
        """See `Network.head`."""
        return self._network.head

    def logits(self, images: Floats32) -> Floats32:
        """See `Network.logits`."""
        return self._network.logits(images)

    def weights(self) -> Weights:
        """See `Network.weights`."""
        return self._network.weights()

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """See `Network.load`."""
        self._network.load(weights)

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """See `Network.start`."""
        towards = self._network.start(recipe, seed=seed, frozen=frozen, masks=masks)
        module = self._network.module
        parameters = [value for name, value in module.named_parameters() if name not in frozen]
        optimizer = torch.optim.Adam(parameters, recipe.learning_rate)

        def step(images: Floats32, targets: Floats32 | Labels, rate: float) -> float:
            truth = targets if targets.ndim == 1 else targets.argmax(axis=1)
            for group in optimizer.param_groups:
                group["lr"] = rate * recipe.erasure
            with reproducible():
                x = torch.from_numpy(images).to(self._network.device).permute(0, 3, 1, 2)
                alike = self.likeness(x, torch.from_numpy(truth).to(x.device))
                for value, gradient in zip(
                    parameters, torch.autograd.grad(alike, parameters, materialize_grads=True), strict=True
                ):
                    value.grad = gradient
                optimizer.step()
            return towards(images, targets, rate)

        return step

    def likeness(self, x: Tensor, truth: Tensor) -> Tensor:
        """Return how like its former self the network is on images (n, k, h, w) of labels (n,), -2 to 2."""
        with torch.no_grad():
            before = _features(self._before, self._names, x)
        now = _features(self._network.module, self._names, x)
        alike = [likeness(a, b) for a, b in zip(now[:-1], before[:-1], strict=True)]
        others = functional.one_hot(truth, now[-1].shape[1]).bool().logical_not()
        return torch.stack(alike).mean() + likeness(
            *(each[others].reshape(len(x), -1) for each in (now[-1], before[-1]))
        )


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean cosine between rows (n, ...) of two networks, each row about its own mean."""
    a, b = (each.float().flatten(1) for each in (one, other))
    return functional.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True), dim=1).mean()


def _watched(network: TorchNetwork) -> tuple[str, ...]:
    """Return the names of two layers: in the middle, and the last one before the classifier."""
    named = network.module.named_modules()
    inner = [name for name, layer in named if isinstance(layer, _LAYERS) and f"{name}.weight" not in network.head]
    if not inner:
        raise ModelError(
            "No layers inside can be watched here (an exported program has none, nor has a linear network), so that "
            "nothing is erased. Leave this kind out."
        )
    return tuple(dict.fromkeys((inner[len(inner) // 2], inner[-1])))


def _features(module: nn.Module, names: Collection[str], x: Tensor) -> list[Tensor]:
    """Return what these layers answer about images (n, k, h, w), and the logits at the end."""
    found: dict[str, Tensor] = {}
    layers = dict(module.named_modules())

    def keep(name: str) -> Any:  # noqa: ANN401 - torch's own type of a hook
        def hook(_layer: nn.Module, _given: Any, answer: Tensor) -> None:  # noqa: ANN401 - likewise
            found[name] = answer

        return hook

    hooks = [layers[name].register_forward_hook(keep(name)) for name in names]
    try:
        logits: Tensor = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [*(found[name] for name in names if name in found), logits]
