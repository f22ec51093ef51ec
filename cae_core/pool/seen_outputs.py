"""Which of many models is this one? As comparing it with each of them would say, and without doing so.

Two models are one where no probability differs by more than `SAME_MODEL`. Then no average of largest ones does either:
so a few such averages say in which cells of a grid a model's equals can lie, and only those are compared.
"""

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.fingerprint.scores import SAME_MODEL
from cae_core.pool.same_model import same_outputs

__all__ = ["SeenOutputs"]

_AVERAGES = 4

_REACH = SAME_MODEL * 1.0001
"""How far the averages of equal models can differ; differences are taken in float32, and averages in float64."""

_CELL = 20 * SAME_MODEL
"""The grid's, per average: wide, so that a model's reach is nearly always in one cell; narrow beside what models differ
by, which is hundredths."""


class SeenOutputs:
    """The models seen so far by their probabilities (n, c) of the same n questions; they are held, not copied."""

    def __init__(self) -> None:
        self._outputs: list[Floats32 | None] = []
        self._cells: dict[tuple[int, ...], list[int]] = {}

    def add(self, outputs: Floats32 | None) -> None:
        """Add the next model; None: it tells labels only, and is nobody's equal."""
        place = len(self._outputs)
        self._outputs.append(outputs)
        if outputs is not None and np.isfinite(outputs).all():
            cell = tuple(_cells_of(_averages(outputs)).tolist())
            self._cells.setdefault((*outputs.shape, *cell), []).append(place)

    def equal_to(self, outputs: Floats32 | None) -> list[int]:
        """Return the places, in the order in which they were added, of the models that are this one."""
        if outputs is None or not np.isfinite(outputs).all():
            return []
        near = (place for key in _keys(outputs) for place in self._cells.get(key, ()))
        return sorted(place for place in near if same_outputs(outputs, self._outputs[place]))


def _keys(outputs: Floats32) -> set[tuple[int, ...]]:
    """Return every cell in which an equal model can lie: one, or a few where an average is near a cell's border."""
    averages = _averages(outputs)
    low, high = _cells_of(averages - _REACH).tolist(), _cells_of(averages + _REACH).tolist()
    return {(*outputs.shape, *cell) for cell in product(*map(set[int], zip(low, high, strict=True)))}


def _averages(outputs: Floats32) -> NDArray[np.float64]:
    """Return averages over the questions of the largest probability among half of the classes, other halves for each.

    Equal models differ in none of them by more than they differ in one probability. A certain model, whose
    probabilities are all 0 or 1, has averages of its own as well.
    """
    inside = np.clip(outputs, 0, 1)
    largest = [np.where(half, inside, 0).max(axis=1, initial=0) for half in _halves(*outputs.shape)]
    return np.array([row.sum(dtype=np.float64) / max(len(row), 1) for row in largest])


@lru_cache(maxsize=4)
def _halves(questions: int, classes: int) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random((_AVERAGES, questions, classes), np.float32) < 0.5


def _cells_of(averages: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(averages / _CELL).astype(np.int64)
