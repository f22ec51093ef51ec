"""The examples that a finished run takes: those that were searched and those that were not, in one table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.fingerprint.example_kinds import NATURAL_ERROR, PERTURBED, PERTURBED_ERROR
from cae_core.generation.run_state import RunState
from cae_core.generation.search import Search
from cae_core.generation.selection import select

__all__ = ["Taken", "taken_examples"]


@dataclass(frozen=True)
class Taken:
    """Examples, by kind: each attribute has one row for each, as in `cae_core.fingerprint.file.Fingerprint`.

    Attributes:
        kind: uint8 (n,), the codes of their kinds.
        index: int64 (n,), the places of their seeds in the data set.
        images: uint8 (n, h, w, k).
        labels: int64 (n,).
        conferrability: float32 (n,).
        start_step: int32 (n,).
        steps: int32 (n,).
    """

    kind: NDArray[np.uint8]
    index: Labels
    images: NDArray[np.uint8]
    labels: Labels
    conferrability: Floats32
    start_step: NDArray[np.int32]
    steps: NDArray[np.int32]


def taken_examples(search: Search, state: RunState) -> Taken:
    """Return the examples that are taken of those that were found.

    Where kinds are mixed, of each kind those that are worth the most, the better ones first, so that a budget can keep
    the best; else those that were found first, in the order in which their seeds were tried.
    """
    settings, accepted, errors = search.settings, state.accepted, state.queue.errors
    order = np.argsort(-accepted.worth, kind="stable") if settings.mixed else np.arange(len(accepted))
    seeds = state.queue.index[accepted.position]
    unsearched = state.unperturbed
    also_seed = (unsearched.kind == NATURAL_ERROR.code) & np.isin(unsearched.index, seeds)
    unsearched = unsearched.rows(~also_seed)
    searched = np.where(accepted.position < errors, PERTURBED_ERROR.code, PERTURBED.code)
    kind = np.concatenate([searched[order], unsearched.kind]).astype(np.int64)
    labels = np.concatenate([accepted.labels[order], unsearched.labels])
    chosen = select(kind, labels, settings.wanted(), settings.label_cap)
    few = order[chosen[chosen < len(order)]]
    if not settings.mixed:
        few = few[np.argsort(accepted.position[few], kind="stable")]
    rest = unsearched.rows(chosen[chosen >= len(order)] - len(order))
    none = np.zeros(len(rest), np.int32)
    return Taken(
        kind=np.concatenate([searched[few].astype(np.uint8), rest.kind]),
        index=np.concatenate([seeds[few], rest.index]),
        images=np.concatenate([accepted.images[few], rest.images]),
        labels=np.concatenate([accepted.labels[few], rest.labels]),
        conferrability=np.concatenate([accepted.conferrability[few], rest.conferrability]),
        start_step=np.concatenate([accepted.start_step[few], none]),
        steps=np.concatenate([accepted.steps[few], none]),
    )
