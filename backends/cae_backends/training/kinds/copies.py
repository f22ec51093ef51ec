"""Thefts that start from a copy of the source's network."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.kinds.record import Copy
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network, Weights
from cae_core.errors import OptionError

__all__ = [
    "COPIES",
    "averaged",
    "eight_bit",
    "fine_tuned",
    "fine_tuned_last",
    "four_bit",
    "half_precision",
    "noisy",
    "pruned",
    "reinitialised",
    "reinitialised_last",
]

AVERAGED = "averaged with an independent model"


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
    return _rounded(copy, 127)


def four_bit(copy: Network, setup: Setup) -> Made:  # noqa: ARG001 - likewise
    """Round the weights to 4 bits, symmetric, with one scale per output."""
    return _rounded(copy, 7)


def half_precision(copy: Network, setup: Setup) -> Made:  # noqa: ARG001 - likewise
    """Round all weights, biases and norms included, to float16."""
    largest = float(np.finfo(np.float16).max)
    weights = copy.weights()
    copy.load(
        {
            name: value.clip(-largest, largest).astype(np.float16).astype(value.dtype) if _is_real(value) else value
            for name, value in weights.items()
        }
    )
    return Made(copy, {})


def noisy(copy: Network, setup: Setup) -> Made:
    """Add Gaussian noise to the matrices and kernels, `Recipe.weight_noise` times the root mean square of each."""
    rng, weights = np.random.default_rng(setup.seed), copy.weights()
    for name in copy.kernels:
        size = setup.recipe.weight_noise * float(np.sqrt(np.square(weights[name], dtype=np.float64).mean()))
        weights[name] = weights[name] + np.float32(size) * rng.standard_normal(weights[name].shape, np.float32)
    copy.load(weights)
    return Made(copy, {})


def averaged(copy: Network, setup: Setup) -> Made:
    """Train an independent model of the same architecture on the true labels, and average the weights of the two.

    `Recipe.interpolation` is the weight of the independent one. Statistics of batch norms are averaged likewise.

    Raises:
        OptionError: the copy is a file's, whose architecture nobody can build anew.
    """
    if setup.adopted:
        raise OptionError(
            f"A copy of a file cannot be {AVERAGED}: its architecture is not known, so that no other model of it can "
            "be trained. Train the source as a part of the pool, or leave this kind out."
        )
    own, weight = copy.weights(), setup.recipe.interpolation

    def between(other: Weights) -> Weights:
        return {
            name: ((1 - weight) * value + weight * other[name]).astype(value.dtype) if _is_real(value) else value
            for name, value in own.items()
        }

    made = setup.fit_truth(setup.fresh())
    copy.load(between(made.network.weights()))
    return Made(copy, {epoch: between(kept) for epoch, kept in made.snapshots.items()})


def _rounded(copy: Network, levels: int) -> Made:
    """Round each kernel to ``levels`` steps on each side of zero, with one scale per output."""
    weights = copy.weights()
    for name in copy.kernels:
        rows = np.moveaxis(weights[name], copy.output_axis, 0)
        others = tuple(range(1, rows.ndim))
        largest = np.abs(rows).max(axis=others, keepdims=True).clip(np.finfo(np.float32).tiny)
        rounded = np.rint(rows / (largest / levels)) * (largest / levels)
        weights[name] = np.moveaxis(rounded, 0, copy.output_axis).astype(np.float32)
    copy.load(weights)
    return Made(copy, {})


def _is_real(value: NDArray[Any]) -> bool:
    return np.issubdtype(value.dtype, np.floating)


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
    Copy(name="4-bit weights", make=four_bit, trained=False, how="a copy with weights rounded to 15 levels"),
    Copy(
        name="float16 weights",
        make=half_precision,
        trained=False,
        how="a copy with all weights rounded to half precision",
    ),
    Copy(
        name="weight noise",
        make=noisy,
        trained=False,
        how="a copy with noise on its weights, `weight_noise` times the root mean square of each layer's",
    ),
    Copy(
        name=AVERAGED,
        make=averaged,
        how="the average of a copy's weights and those of another model of its architecture, trained on true labels, "
        "which count `interpolation`",
    ),
    Copy(
        name="adversarially fine-tuned",
        make=fine_tuned,
        needs={"adversarial": "the recipe of an adversarially fine-tuned model gives an adversarial radius"},
        how="a copy, trained further on images moved by the recipe's `adversarial` radius",
    ),
)
"""In the order in which messages list them."""
