"""Softmax in the log domain, float64: the gradients must survive models that are very sure of themselves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64

__all__ = ["log_mean_exp", "log_others", "log_softmax"]


def log_softmax(logits: NDArray[Any]) -> Floats64:
    """Return log softmax over the last axis, float64, same shape.

    Example:
        >>> log_softmax(np.array([0.0, 0.0])).round(6).tolist()
        [-0.693147, -0.693147]
    """
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)), np.float64)


def log_mean_exp(values: Floats64) -> Floats64:
    """Return log mean exp over the first axis (the models)."""
    top = values.max(axis=0)
    return np.asarray(top + np.log(np.exp(values - top).mean(axis=0)), np.float64)


def log_others(log_p: Floats64) -> Floats64:
    """Return log(1 - p) for log-probabilities, as the log of the sum over the *other* classes.

    ``1 - p`` in float32 is exactly 0 at margins that real models have, and in float64 at margins above 37. Only
    the most probable class can lose digits that way, so it alone is summed over the others, in the log domain.
    """
    top = log_p.argmax(axis=-1, keepdims=True)
    rest = log_p.copy()
    np.put_along_axis(rest, top, -np.inf, axis=-1)
    peak = rest.max(axis=-1, keepdims=True)
    log_rest = peak + np.log(np.exp(rest - peak).sum(axis=-1, keepdims=True))
    np.put_along_axis(rest, top, -1.0, axis=-1)  # any value with a finite log1p: it is replaced in the next line
    others = np.log1p(-np.exp(rest))
    np.put_along_axis(others, top, log_rest, axis=-1)
    return others
