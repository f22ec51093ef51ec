"""A finer comparison than accuracy, of contracts that are about equally accurate: how likely each makes the truth.

Another normalisation makes a network more or less sure of itself, whether it is the right one or not. So each
candidate's scores are first scaled by the temperature at which the true labels are likeliest (C. Guo, G. Pleiss, Y. Sun
& K. Weinberger, On calibration of modern neural networks, ICML 2017), fitted on the other half of the images. What is
left is compared by the paired z-test on the losses of single images, at a level that no number of candidates here
exhausts.
"""

from collections.abc import Sequence

import numpy as np

from cae_core.arrays import Floats32, Floats64, Labels

__all__ = ["less_likely"]

_Z = 4.0
"""One-sided normal level of 3.2e-5 for each comparison; at most 8 candidates are left as a rule."""

_LARGEST_LOSS = 8.0
"""A single image counts for no more: scores that are rounded to 0 would weigh as much as all others."""

_LEAST_DIFFERENCE = 0.002
"""In nats an image: less is not told from what the fit of the temperature leaves."""

_SHARPNESS = (0.1, 10.0)
"""The inverse temperatures between which the best one is looked for."""

_STEPS = 24

_SMALLEST = 1e-12


def less_likely(probabilities: Sequence[Floats32], truth: Labels) -> list[int | None]:
    """Return for each candidate another one that makes the truth significantly likelier; None where none does.

    Args:
        probabilities: of each candidate, float32 (n, c), on the same images.
        truth: int64 (n,), their labels.
    """
    losses = [_losses(each, truth) for each in probabilities]
    best = sorted(range(len(losses)), key=lambda i: float(losses[i].mean()))
    return [next((j for j in best if j != i and _is_less(losses[j], losses[i])), None) for i in range(len(losses))]


def _is_less(one: Floats64, other: Floats64) -> bool:
    difference = other - one
    mean, spread = float(difference.mean()), float(difference.std())
    return mean >= _LEAST_DIFFERENCE and mean * np.sqrt(len(one)) >= _Z * spread


def _losses(probabilities: Floats32, truth: Labels) -> Floats64:
    """Return the loss of each image at the temperature that suits the other half, (n,)."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    halves = [np.arange(len(truth)) % 2 == half for half in (0, 1)]
    losses = np.empty(len(truth))
    for fitted, used in (halves, halves[::-1]):
        losses[used] = _scaled(logs[used], truth[used], _best_sharpness(logs[fitted], truth[fitted]))
    return np.minimum(losses, _LARGEST_LOSS)


def _best_sharpness(logs: Floats64, truth: Labels) -> float:
    """Return the inverse temperature of the least mean loss, which is convex in it."""
    low, high = _SHARPNESS
    for _ in range(_STEPS):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        if _scaled(logs, truth, first).mean() < _scaled(logs, truth, second).mean():
            high = second
        else:
            low = first
    return (low + high) / 2


def _scaled(logs: Floats64, truth: Labels, sharpness: float) -> Floats64:
    scores = logs * sharpness
    largest = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - largest).sum(axis=1)) + largest[:, 0]
    return np.asarray(total - scores[np.arange(len(truth)), truth], np.float64)
