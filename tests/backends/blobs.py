"""Tiny data that are learned in a second."""

import numpy as np

from cae_core.dataset import ImageSet

__all__ = ["SHAPE", "blobs"]

SHAPE = (8, 8, 1)


def blobs(count: int = 60, seed: int = 0) -> ImageSet:
    """Four classes: a bright quadrant on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 90, (count, *SHAPE))
    for image, label in zip(images, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    return ImageSet(images.astype(np.uint8), labels.astype(np.int64), tuple("abcd"))
