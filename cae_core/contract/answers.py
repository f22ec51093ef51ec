"""From a model's raw answer to scores and labels in the order of its outputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.contract.integers import shares
from cae_core.errors import ContractError, quoted
from cae_core.models import NO_ANSWER

__all__ = ["labels_of", "normalised", "scores_of"]


def labels_of(answer: NDArray[Any], names: Sequence[str] | None) -> Labels:
    """Return the numbers of the outputs that were named, (n,): integers, or names of classes.

    Args:
        answer: (n,), or anything with n numbers or texts.
        names: of the outputs in order.

    Raises:
        ContractError: the model answers names, and nobody says which these are.
    """
    flat = answer.reshape(-1)
    if flat.dtype.kind not in "OSU":
        return flat.astype(np.int64)
    if names is None:
        raise ContractError(
            f"The model answers names of classes, such as {quoted(_text(flat[0]) if len(flat) else '')}, and nobody "
            "says which these are. List them in its contract: class_names = [...]."
        )
    place = {name: j for j, name in enumerate(names)}
    return np.array([place.get(_text(name), NO_ANSWER) for name in flat], np.int64)


def scores_of(answer: NDArray[Any], output: str) -> NDArray[Any]:
    """Return scores (n, c), c >= 2, of an answer (n, c).

    One score is of the second of two classes: a probability p is (1 - p, p), a logit z is (0, z). Integers that stand
    for probabilities are brought to 0 .. 1.
    """
    if answer.dtype.kind in "iu":
        scores: NDArray[Any] = shares(answer) if output == "probabilities" else answer.astype(np.float32)
    else:
        scores = answer
    if scores.ndim != 2 or scores.shape[1] != 1:
        return scores
    other = 1 - scores if output == "probabilities" else np.zeros_like(scores)
    return np.concatenate([other, scores], axis=1)


def normalised(scores: Floats32) -> Floats32:
    """Return rows that sum to 1, where they sum to anything."""
    return np.asarray(scores / np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny), np.float32)


def _text(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
