"""Thefts that need the source's answers only.

A thief learns from the source's answers to exactly the images that it trains on: asked once where the images stay as
they are, and about each batch as augmented where they do not.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.kinds.record import Teacher, Theft
from cae_backends.training.kinds.setup import Made, Setup
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.method.softmax import log_softmax

__all__ = ["THEFTS", "distilled", "retrained", "retrained_on_labels", "retrained_on_probabilities"]


def retrained_on_labels(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the labels that the source answers."""
    return retrained(teacher, setup, lambda logits: logits.argmax(axis=1))


def retrained_on_probabilities(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the probabilities that the source answers."""
    return retrained(teacher, setup, _probabilities)


def distilled(teacher: Teacher, setup: Setup) -> Made:
    """Train a network from scratch on the source's probabilities at the recipe's temperature (Hinton et al., 2015)."""
    return retrained(teacher, setup, lambda logits: _probabilities(logits / np.float32(setup.recipe.temperature)))


def retrained(
    teacher: Teacher,
    setup: Setup,
    reading: Callable[[Floats32], Floats32 | Labels],
    *,
    images: NDArray[np.uint8] | None = None,
) -> Made:
    """Train a fresh network on what ``reading`` makes of the source's logits for ``images``; None: the setup's."""
    images = setup.asked() if images is None else images

    def ask(batch: Floats32) -> Floats32 | Labels:
        return reading(teacher(batch))

    if setup.recipe.augments:
        return setup.fit(setup.fresh(), images, ask)
    parts = [teacher(as_unit_float(part)) for part in np.array_split(images, max(1, len(images) // 1024))]
    return setup.fit(setup.fresh(), images, reading(np.concatenate(parts)))


def _probabilities(logits: Floats32) -> Floats32:
    return np.exp(log_softmax(logits)).astype(np.float32)


THEFTS = (
    Theft(
        name="hard labels",
        make=retrained_on_labels,
        how="trained from scratch on the labels that the source answers",
    ),
    Theft(
        name="soft labels",
        make=retrained_on_probabilities,
        how="trained from scratch on the probabilities that the source answers",
    ),
    Theft(
        name="distilled",
        make=distilled,
        how="trained from scratch on the source's probabilities at the recipe's `temperature`",
    ),
    Theft(
        name="other architecture",
        make=retrained_on_probabilities,
        other_architecture=True,
        how="as `soft labels`, with an architecture that is not the source's",
    ),
)
"""In the order in which messages list them."""
