"""Benign images that the source gets wrong and independent models get right: a second signal, nearly for nothing.

All good models are alike; every model errs in its own way (the Anna Karenina heuristic: Godinot et al., "Queries,
Representation & Detection", AAAI 2025). A suspect that repeats the source's errors, with the source's wrong labels, is
likely derived from it. Nothing is searched, so a suspect that looks for adversarial perturbations finds none. The
signal is reported apart: it decides nothing and never counts in CAEAcc.
"""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.generation.white_boxes import Pools

__all__ = ["choose_akh"]


def choose_akh(
    pools: Pools, data: ImageSet, count: int, *, without: NDArray[np.int64], seed: int
) -> tuple[Labels, Labels]:
    """Choose images that the source gets wrong and more than half of the references get right.

    Those that the most references get right come first, in random order where there are as many.

    Args:
        pools: source and *generate* references.
        data: labelled benign images.
        count: how many are wanted; there may be fewer.
        without: positions in ``data`` that are taken, such as the benign probes.
        seed: of the random order.

    Returns:
        Positions in ``data``, int64 (a,), and the source's labels of them, int64 (a,); the best first.
    """
    answers = pools.source.predict(data.images).labels
    right = np.sum([model.predict(data.images).labels == data.labels for model in pools.references], axis=0)
    fits = (answers != data.labels) & (answers >= 0) & (2 * right > len(pools.references))
    fits[without] = False
    # another stream than those that order the seeds and draw the probes
    order = np.random.default_rng([seed, 2]).permutation(len(data))
    order = order[np.argsort(-right[order], kind="stable")]
    chosen = order[fits[order]][:count].astype(np.int64)
    return chosen, answers[chosen]
