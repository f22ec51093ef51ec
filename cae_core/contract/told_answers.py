"""What code answers that is no model of a framework: labels, names, or scores, one an image."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.contract.fields import Contract
from cae_core.contract.task import Task
from cae_core.errors import ModelError, quoted
from cae_core.models import NO_ANSWER, Predictions

__all__ = ["read_answers"]

_SUMS_TO_ONE = 1e-3


def read_answers(told: object, count: int, *, contract: Contract | None, task: Task | None, origin: str) -> Predictions:
    """Return what is meant.

    Args:
        told: integers or names, (n,), or scores (n, c); None and -1 are no answer, and so is a row that is not finite.
        count: n.
        contract: says how the answers are read; None: integers are labels, texts are names of the data's classes, and
            rows of scores are probabilities where all sum to 1, and else show the label alone.
        task: the classes of the data.
        origin: what the code is called in messages.

    Raises:
        ModelError: there are not as many answers as images, or they are none.
    """
    if _is_array(told):  # of whatever framework
        told = np.asarray(told)
    rows = list(cast("Sequence[Any]", told)) if _is_sequence(told) else None
    if rows is None or len(rows) != count:
        found = "no list" if rows is None else f"{len(rows)}"
        raise ModelError(f"{origin}: asked {count} images and got {found} answers. Answer each image, in their order.")
    if all(_is_sequence(row) for row in rows) and rows:
        scores = _scores(rows, origin)
        return _by_scores(scores) if contract is None else contract.to_predictions(scores)
    if contract is not None:
        return contract.to_predictions(_labels(rows, None, origin))
    return Predictions(np.asarray(_labels(rows, task, origin), np.int64))


def _is_sequence(value: object) -> bool:
    return isinstance(value, list | tuple) or _is_array(value)


def _is_array(value: object) -> bool:
    """Return whether it is an array of a framework's: it has a length and says how it becomes one of NumPy."""
    return hasattr(value, "__array__") and bool(getattr(value, "shape", ()))


def _scores(rows: Sequence[Any], origin: str) -> Floats32:
    try:
        made = np.array([np.asarray(row, np.float64) for row in rows], np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{origin}: the scores must be numbers, as many of each image; found {quoted(rows[0])}."
        ) from error
    if made.ndim != 2 or made.shape[1] < 1:
        raise ModelError(f"{origin}: the scores must be a row (c,) of each image; found {made.shape}.")
    return made


def _by_scores(scores: Floats32) -> Predictions:
    finite = np.isfinite(scores).all(axis=1)
    labels = np.where(finite, scores.argmax(axis=1), NO_ANSWER).astype(np.int64)
    whole = finite.all() and scores.min() >= 0 and np.abs(scores.sum(axis=1) - 1).max() <= _SUMS_TO_ONE
    return Predictions(labels, scores if whole else None)


def _labels(rows: Sequence[Any], task: Task | None, origin: str) -> NDArray[Any]:
    if all(isinstance(row, str) for row in rows) and rows:
        if task is None:
            return np.array(rows, object)
        places = [task.place(row) for row in rows]
        return np.array([NO_ANSWER if place is None else place for place in places], np.int64)
    labels = [_number(row) for row in rows]
    for label in labels:
        if not isinstance(label, int) or isinstance(label, bool) or not NO_ANSWER <= label < 1 << 31:
            raise ModelError(
                f"{origin}: an answer must be the number of a class, its name, or a row of scores; found "
                f"{quoted(label)}."
            )
    return np.array(labels, np.int64)


def _number(row: object) -> object:
    """Return an answer as Python has it."""
    if row is None:
        return NO_ANSWER
    return cast("object", row.item()) if isinstance(row, np.generic) else row
