"""Thefts that start from a copy of the source's network."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.kinds.record import Copy
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network

__all__ = ["COPIES", "eight_bit", "fine_tuned", "fine_tuned_last", "pruned", "reinitialised", "reinitialised_last"]


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


def _all_but(names: Collection[str], network: Network) -> set[str]:
    return set(network.weights()) - set(names)


def _reset_head(network: Network, setup: Setup) -> None:
    network.load(network.weights() | setup.fresh_head(network))


def _largest(weight: NDArray[np.float32], sparsity: float) -> NDArray[np.bool_]:
    """Mark all but the smallest entries."""
    mask = np.ones(weight.size, np.bool_)
    mask[np.abs(weight).ravel().argsort(kind="stable")[: round(sparsity * weight.size)]] = False
    return mask.reshape(weight.shape)


COPIES = (
    Copy(name="fine-tuned", make=fine_tuned, how="a copy, all layers trained further on true labels"),
    Copy(name="fine-tuned last layer", make=fine_tuned_last, how="a copy, its last layer trained further"),
    Copy(
        name="re-initialised last layer",
        make=reinitialised_last,
        how="a copy with a new last layer, which alone is trained",
    ),
    Copy(name="re-initialised", make=reinitialised, how="a copy with a new last layer; all layers are trained"),
    Copy(
        name="pruned",
        make=pruned,
        how="a copy, the smallest `sparsity` of each layer's weights zero, trained further",
    ),
    Copy(name="8-bit weights", make=eight_bit, trained=False, how="a copy with rounded weights"),
    Copy(
        name="adversarially fine-tuned",
        make=fine_tuned,
        needs={"adversarial": "the recipe of an adversarially fine-tuned model gives an adversarial radius"},
        how="a copy, trained further on images moved by the recipe's `adversarial` radius",
    ),
)
"""In the order in which messages list them."""
