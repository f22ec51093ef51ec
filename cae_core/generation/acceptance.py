"""Which images become examples: judged rounded to 8 bits, by every pool member, in float32, without dropout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.generation.confirmation import confirmed_by_witnesses
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.conferrability import conferrability
from cae_core.method.objectives.margins import margin
from cae_core.method.softmax import log_softmax
from cae_core.models import Ensemble

__all__ = ["Acceptance", "accept"]


@dataclass(frozen=True)
class Acceptance:
    """What the pools say of some images.

    Attributes:
        labels: int64 (n,), y*, the source's label.
        conferrability: float32 (n,), Conferr at y*.
        worth: float32 (n,), at y*, by the worst group of references; see `MemberGroups`.
        accepted: bool (n,).
        unconfirmed: bool (n,), would be accepted, but a member's file answers otherwise in another implementation.
    """

    labels: Labels
    conferrability: Floats32
    worth: Floats32
    accepted: NDArray[np.bool_]
    unconfirmed: NDArray[np.bool_]


def accept(
    images: NDArray[np.uint8],
    *,
    white_boxes: WhiteBoxes,
    ensemble: Ensemble,
    original: Labels,
    ground_truth: Labels,
    tau: float,
    min_margin: float,
) -> Acceptance:
    """Accept an image when the source's label y* is wrong, conferred, and clear.

    That is: y* differs from the label that it left *and* from the ground truth, Conferr at y* (not at the maximum:
    some images change their label for the references only) is at least ``tau``, and the source's logit margin at y* is
    at least ``min_margin``. And each member's file, run by another implementation where there is one,
    gives the image the label that the white box gives it.

    Args:
        images: uint8 (n, h, w, k): the rounded images, as a suspect will see them.
        white_boxes: gives the order of the ensemble's members.
        ensemble: float32, of all models of ``white_boxes``.
        original: y0 (n,), the label that it left: the source's of the seed; the truth, where the source gets the seed
            wrong; of a blend the other image's truth.
        ground_truth: (n,).
        tau: least conferrability.
        min_margin: least logit margin.
    """
    everyone = np.ones(len(ensemble), np.bool_)
    answers = ensemble.vjp(as_unit_float(images), everyone)[0]
    logits = white_boxes.split(answers, everyone)
    labels = logits.source.argmax(axis=1).astype(np.int64)
    at = np.arange(len(labels)), labels
    confer = conferrability(logits.surrogates, logits.references)[at]
    given = (np.exp(log_softmax(pool))[:, *at] for pool in (logits.surrogates, logits.references))
    worth = white_boxes.groups.worth(*given)
    margins, _ = margin(logits.source, labels)
    wrong = (labels != original) & (labels != ground_truth)
    accepted = wrong & (confer >= tau) & (margins >= min_margin)
    index = np.flatnonzero(accepted)
    confirmed = confirmed_by_witnesses(white_boxes.models, images[index], answers[:, index])
    unconfirmed = np.zeros(len(images), np.bool_)
    unconfirmed[index[~confirmed]] = True
    return Acceptance(labels, confer.astype(np.float32), worth.astype(np.float32), accepted & ~unconfirmed, unconfirmed)
