"""A theft: the thief keeps only the images of whose label the source is surest, and trains a network on them."""

import numpy as np

from cae_backends.training.kinds.answers import retrained
from cae_backends.training.kinds.record import Teacher, Theft
from cae_backends.training.kinds.setup import Made, Setup
from cae_core.arrays import as_unit_float

__all__ = ["CONFIDENT_ANSWERS", "confident"]


def confident(teacher: Teacher, setup: Setup) -> Made:
    """Train a fresh network on the source's labels of the half of the images with the largest margin.

    Args:
        teacher: the source as the thief sees it: images (n, h, w, k) in [0, 1] -> logits (n, c).
        setup: what is trained, with which images and recipe.
    """
    images = setup.asked()
    first, second = np.sort(teacher(as_unit_float(images)), axis=1)[:, :-3:-1].T
    surest = np.sort(np.argsort(second - first, kind="stable")[: -(-len(images) // 2)])
    return retrained(teacher, setup, lambda logits: logits.argmax(axis=1), images=images[surest])


CONFIDENT_ANSWERS = Theft(
    name="confident answers",
    make=confident,
    how="trained from scratch on the labels of the half of the images of which the source is surest",
)
