"""Pools as one `Ensemble`: whatever a backend does not provide is derived here, once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.errors import ModelError
from cae_core.models import DifferentiableModel, Ensemble, GroupableModel, Precision, Pullback

__all__ = ["MixedEnsemble", "SequentialEnsemble", "build_ensemble"]


class SequentialEnsemble:
    """Asks its members one after the other: correct for any `DifferentiableModel`."""

    def __init__(self, models: Sequence[DifferentiableModel]) -> None:
        self._models = tuple(models)

    def __len__(self) -> int:
        return len(self._models)

    def vjp(self, images: Floats32, keep: NDArray[np.bool_]) -> tuple[Floats32, Pullback]:
        """See `Ensemble.vjp`."""
        answers = [model.vjp(images) for model, kept in zip(self._models, keep, strict=True) if kept]
        pullbacks = [pullback for _, pullback in answers]

        def pull_back(gradient: Floats32) -> Floats32:
            total = np.zeros_like(images, dtype=np.float32)
            for pullback, part in zip(pullbacks, gradient, strict=True):
                total += pullback(part)
            return total

        return _stack([logits for logits, _ in answers]), pull_back


class MixedEnsemble:
    """Joins the ensembles of several backends, in the order of the original members."""

    def __init__(self, parts: Sequence[tuple[Ensemble, NDArray[np.int64]]]) -> None:
        self._parts = tuple(parts)
        self._size = sum(len(positions) for _, positions in parts)

    def __len__(self) -> int:
        return self._size

    def vjp(self, images: Floats32, keep: NDArray[np.bool_]) -> tuple[Floats32, Pullback]:
        """See `Ensemble.vjp`."""
        rank = np.cumsum(keep) - 1  # a kept member's place among the kept ones
        asked: list[tuple[NDArray[np.int64], Floats32, Pullback]] = []
        for ensemble, positions in self._parts:
            kept = keep[positions]
            if kept.any():
                asked.append((rank[positions[kept]], *ensemble.vjp(images, kept)))
        places = np.concatenate([place for place, _, _ in asked])
        logits = _stack([row for _, rows, _ in asked for row in rows])[np.argsort(places)]

        def pull_back(gradient: Floats32) -> Floats32:
            total = np.zeros_like(images, dtype=np.float32)
            for place, _, pullback in asked:
                total += pullback(gradient[place])
            return total

        return logits, pull_back


def build_ensemble(models: Sequence[DifferentiableModel], *, precision: Precision = "float32") -> Ensemble:
    """Group ``models`` by backend; the order of the members stays.

    Args:
        models: the members; those whose class is a `GroupableModel` are evaluated together.
        precision: arithmetic of the groups; members of other classes use their own.
    """
    groups: dict[type[DifferentiableModel], list[int]] = {}
    for position, model in enumerate(models):
        groups.setdefault(type(model), []).append(position)
    parts = [
        (_group([models[p] for p in positions], precision=precision), np.array(positions, np.int64))
        for positions in groups.values()
    ]
    return parts[0][0] if len(parts) == 1 else MixedEnsemble(parts)


def _group(models: Sequence[DifferentiableModel], *, precision: Precision) -> Ensemble:
    first = models[0]
    if isinstance(first, GroupableModel):
        return type(first).group([m for m in models if isinstance(m, type(first))], precision=precision)
    return SequentialEnsemble(models)


def _stack(rows: Sequence[Floats32]) -> Floats32:
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        counts = sorted(shape[-1] for shape in shapes)
        raise ModelError(
            f"The models of one pool must answer with the same number of classes; found {counts}. "
            "Remove the odd one or give it a class map."
        )
    return np.stack(rows)
