"""Which of the accepted examples are taken: so many of each kind, and no label more than its share of a kind."""

from collections.abc import Callable, Mapping

import numpy as np

from cae_core.arrays import Labels
from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS, PERTURBED, ExampleKind

__all__ = ["count_within", "nth_of_label", "pick", "select"]


def pick(labels: Labels, count: int, cap: int) -> Labels:
    """Return the places of the first ``count`` whose label is not taken ``cap`` times yet, then of others in order.

    Args:
        labels: int64 (n,), in the order of preference.
        count: how many are wanted; all where there are fewer.
        cap: how often one label is taken while others are available.

    Returns:
        int64 (at most count,), ascending.

    Example:
        >>> pick(np.array([0, 0, 0, 1, 2]), 3, 1).tolist(), pick(np.array([0, 0, 0, 1]), 3, 1).tolist()
        ([0, 3, 4], [0, 1, 3])
    """
    within = np.flatnonzero(nth_of_label(labels) < cap)[:count]
    others = np.setdiff1d(np.arange(len(labels)), within)[: count - len(within)]
    return np.sort(np.concatenate([within, others])).astype(np.int64)


def count_within(labels: Labels, cap: int) -> int:
    """Return how many there are if no label counts more than ``cap`` times.

    Example:
        >>> count_within(np.array([0, 0, 0, 1]), 2)
        3
    """
    return int((nth_of_label(labels) < cap).sum())


def select(kind: Labels, labels: Labels, wanted: Mapping[ExampleKind, int], cap: Callable[[int], int]) -> Labels:
    """Return the places of the examples that are taken: so many of each kind, and others where a kind has too few.

    What other kinds lack, perturbed images that the source gets right make up for, and then whatever is left.

    Args:
        kind: int64 (n,), codes of the kinds.
        labels: int64 (n,), within each kind in the order of preference.
        wanted: how many of each kind; together at most so many are taken.
        cap: says how many of so many examples one label may hold while others are available.

    Returns:
        int64 (at most the sum of wanted,), ascending.
    """
    total, chosen = sum(wanted.values()), np.zeros(0, np.int64)
    for each in (*(other for other in EXAMPLE_KINDS if other != PERTURBED), PERTURBED):
        own = np.flatnonzero(kind == each.code)
        count = total - len(chosen) if each == PERTURBED else wanted[each]
        chosen = np.concatenate([chosen, own[pick(labels[own], count, cap(count))]])
    fill = np.setdiff1d(np.arange(len(kind)), chosen)[: total - len(chosen)]
    return np.sort(np.concatenate([chosen, fill])).astype(np.int64)


def nth_of_label(labels: Labels) -> Labels:
    """Return for each how many of the same label come before it, int64 (n,)."""
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], labels[order])
    nth = np.empty(len(labels), np.int64)
    nth[order] = np.arange(len(labels)) - first
    return nth
