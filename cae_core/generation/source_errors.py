"""Benign images that the source gets wrong and independent models get right: a second signal, nearly for nothing.

All good models are alike; every model errs in its own way (the Anna Karenina heuristic: Godinot et al., "Queries,
Representation & Detection", AAAI 2025). A suspect that repeats the source's errors, with the source's wrong labels, is
likely derived from it. Nothing is searched, so a suspect that looks for adversarial perturbations finds none. The
signal is reported apart: it decides nothing and never counts in CAEAcc.
"""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.generation.seeds import SeedQueue

__all__ = ["choose_source_errors"]


def choose_source_errors(
    queue: SeedQueue, truth: Labels, count: int, *, references: int, without: NDArray[np.int64], seed: int
) -> tuple[Labels, Labels]:
    """Choose images that the source gets wrong and more than half of the references get right.

    Those that the most references get right come first, in random order where there are as many.

    Args:
        queue: tells what source and *generate* references answered when the seeds were ranked.
        truth: int64 (n,), the true labels of the data set.
        count: how many are wanted; there may be fewer.
        references: how many references there are.
        without: positions in the data set that are taken, such as the benign probes.
        seed: of the random order.

    Returns:
        Positions in the data set, int64 (a,), and the source's labels of them, int64 (a,); the best first.
    """
    answers, right = queue.source_labels.astype(np.int64), queue.references_right
    fits = (answers != truth) & (answers >= 0) & (2 * right > references)
    fits[without] = False
    # another stream than those that order the seeds and draw the probes
    order = np.random.default_rng([seed, 2]).permutation(len(truth))
    order = order[np.argsort(-right[order], kind="stable")]
    chosen = order[fits[order]][:count].astype(np.int64)
    return chosen, answers[chosen]
