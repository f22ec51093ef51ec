"""Asking again what a fingerprint rests on: does each member's file, run by another implementation, answer the same?

The check at the opening sees a few images. An example is what the search found by looking for unusual answers, so it is
where a white box that differs from its file would show.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.models import DifferentiableModel, Witness

__all__ = ["confirmed_by_witnesses", "witness_of"]


def witness_of(model: DifferentiableModel) -> Witness | None:
    """Return the other implementation of the model's file; None where there is none."""
    found: Witness | None = getattr(model, "witness", None)
    return found


def confirmed_by_witnesses(
    models: Sequence[DifferentiableModel], images: NDArray[np.uint8], logits: Floats32
) -> NDArray[np.bool_]:
    """Return for each image whether every witness gives it the label that its white box gives it, bool (n,).

    Args:
        models: the white boxes; those without a witness confirm everything.
        images: uint8 (n, h, w, k).
        logits: (m, n, c), what the models answer, in their order.

    Raises:
        ModelError: a witness cannot be asked.
    """
    confirmed = np.ones(len(images), np.bool_)
    if not len(images):
        return confirmed
    asked = as_unit_float(images)
    for model, own in zip(models, logits, strict=True):
        witness = witness_of(model)
        if witness is not None:
            confirmed &= witness.logits(asked).argmax(axis=1) == own.argmax(axis=1)
    return confirmed
