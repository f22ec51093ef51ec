"""Adam (Kingma & Ba 2015) with its state and its step count kept for each image, for the whole of its search."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32

__all__ = ["AdamState", "adam_step", "init_adam"]

_BETA1, _BETA2, _FUZZ = 0.9, 0.999, 1e-8


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


def adam_step(state: AdamState, gradient: Floats32, learning_rate: float) -> tuple[Floats32, AdamState]:
    """Return the change of the images that *descends* along ``gradient``, and the next state.

    Args:
        state: of the same images.
        gradient: float32 (n, h, w, k).
        learning_rate: about how far one step moves a pixel, on the scale [0, 1].
    """
    steps = state.steps + np.int32(1)
    first = _blend(state.first, gradient, _BETA1)
    second = _blend(state.second, np.square(gradient), _BETA2)
    correction1 = (1 - _BETA1**steps).astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    correction2 = (1 - _BETA2**steps).astype(np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    change = -np.float32(learning_rate) * (first / correction1) / (np.sqrt(second / correction2) + np.float32(_FUZZ))
    return np.asarray(change, np.float32), AdamState(first, second, steps)


def _blend(old: Floats32, new: Floats32, beta: float) -> Floats32:
    return np.asarray(np.float32(beta) * old + np.float32(1 - beta) * new, np.float32)
