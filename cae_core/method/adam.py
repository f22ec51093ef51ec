"""Adam (Kingma & Ba 2015) with its state and its step count kept for each image, for the whole of its search."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32

__all__ = ["AdamForm", "AdamState", "adam_step", "init_adam"]

AdamForm: TypeAlias = Literal["paper", "keras"]
"""``"paper"``: Algorithm 1, with ε = 1e-8. ``"keras"``: the form that Keras computes, with its ε = 1e-7.

Keras corrects the bias in the learning rate and adds ε to the uncorrected √v. In the terms of Algorithm 1 that is an
ε / √(1 - β2^t): 32 times as large at the first step.
"""

_BETA1, _BETA2, _FUZZ, _KERAS_FUZZ = 0.9, 0.999, 1e-8, 1e-7


@dataclass(frozen=True)
class AdamState:
    """Moments and step count.

    Attributes:
        first: float32 (n, h, w, k), the running mean of the gradient.
        second: float32 (n, h, w, k), the running mean of its square.
        steps: int32 (n,), how many steps each image has made.
    """

    first: Floats32
    second: Floats32
    steps: NDArray[np.int32]


def init_adam(shape: tuple[int, ...]) -> AdamState:
    """Return the state before the first step of ``shape[0]`` images."""
    return AdamState(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape[0], np.int32))


def adam_step(
    state: AdamState, gradient: Floats32, learning_rate: float, *, form: AdamForm = "paper"
) -> tuple[Floats32, AdamState]:
    """Return the change of the images that *descends* along ``gradient``, and the next state.

    Args:
        state: of the same images.
        gradient: float32 (n, h, w, k).
        learning_rate: about how far one step moves a pixel, on the scale [0, 1].
        form: where ε enters, see `AdamForm`.
    """
    steps = state.steps + np.int32(1)
    first = _blend(state.first, gradient, _BETA1)
    second = _blend(state.second, np.square(gradient), _BETA2)
    correction1 = (1 - _BETA1**steps).astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    correction2 = (1 - _BETA2**steps).astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    if form == "keras":
        rate = np.float32(learning_rate) * np.sqrt(correction2) / correction1
        change = -rate * first / (np.sqrt(second) + np.float32(_KERAS_FUZZ))
    else:
        corrected = np.sqrt(second / correction2)
        change = -np.float32(learning_rate) * (first / correction1) / (corrected + np.float32(_FUZZ))
    return np.asarray(change, np.float32), AdamState(first, second, steps)


def _blend(old: Floats32, new: Floats32, beta: float) -> Floats32:
    return np.asarray(np.float32(beta) * old + np.float32(1 - beta) * new, np.float32)
