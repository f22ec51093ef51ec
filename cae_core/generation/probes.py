"""Which benign images travel with a fingerprint: drawn at random, for the benign check and the suspect's accuracy."""

import numpy as np

from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.generation.settings import GenerationSettings

__all__ = ["PROBES", "benign_places", "draw_probes", "probes_drawn_before"]

PROBES = 200
"""Benign images that travel with a fingerprint; each verification draws some of them."""

_MANY = 10 * PROBES
"""Images of which the probes are drawn before anybody is asked."""


def probes_drawn_before(data: ImageSet, settings: GenerationSettings) -> Labels:
    """Return the places of the probes where they are drawn blind, int64 (q,); none where images are scarce.

    Where the source's errors become examples, probes that are drawn after them would leave out what the source gets
    wrong. So they are drawn first, and are no seeds, if there are images enough.
    """
    if not settings.mixed or len(benign_places(data)) < _MANY:
        return np.zeros(0, np.int64)
    return draw_probes(data, np.zeros(0, np.int64), settings.seed)


def draw_probes(data: ImageSet, used: Labels, seed: int) -> Labels:
    """Draw the benign probes at random, among images that are no seed of an example where there are enough.

    Where training images are known apart they are no probes: a suspect may have learned them by heart.

    Args:
        data: labelled images.
        used: places of the seeds.
        seed: of the generation.

    Returns:
        int64 (at most 200,), ascending.
    """
    benign = benign_places(data)
    free = np.setdiff1d(benign, used)
    pool = free if len(free) >= PROBES else benign
    # another stream than the one that orders the seeds
    drawn = np.random.default_rng([seed, 1]).permutation(len(pool))[:PROBES]
    return np.sort(pool[drawn])


def benign_places(data: ImageSet) -> Labels:
    """Return the places of the images that are no training images, as far as it is known, int64."""
    every = np.arange(len(data), dtype=np.int64)
    return every if data.held_out is None else every[data.held_out]
