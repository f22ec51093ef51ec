"""Which half of the images a judge makes a fingerprint from: the nonce draws it.

The ranking of the seeds finds the same best images each time. From all of them every regeneration would begin with
nearly the same seeds, whatever the nonce, and a model that was trained on the examples of one would answer those of the
next. The half is drawn before anybody is asked, and the references are asked what the suspect is asked: so the rate is
what it was.
"""

import hashlib
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["draw_half"]


def draw_half(data: ImageSet, *, nonce: bytes, count: int) -> ImageSet:
    """Return a random half of the images, of each class half of its images, up to one; the nonce alone draws it.

    Args:
        data: the judge's images.
        nonce: the judge's.
        count: how many examples are to be made, each from an image of its own.

    Raises:
        DataError: the half has fewer images than that.
    """
    index = _half(data.labels.tolist(), nonce)
    if len(index) < count:
        raise DataError(
            f"{data.name or 'The images'}: the nonce draws half of the judge's images, and {count} examples take "
            f"{count} of these; found {len(data)} images, of which {len(index)} are drawn. Give at least {2 * count} "
            "images, or ask for fewer examples (--count)."
        )
    return data.subset(index)


def _half(labels: Sequence[int], nonce: bytes) -> NDArray[np.int64]:
    """Return the places of the drawn images, in their order.

    Hashes draw, and no library's random numbers: the half is the same in years.
    """

    def lot(place: int) -> bytes:
        return hashlib.sha256(b"cae judge: images|" + nonce + place.to_bytes(8)).digest()

    of_class: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        of_class.setdefault(label, []).append(place)
    ordered = chain.from_iterable(sorted(of_class[label], key=lot) for label in sorted(of_class))
    return np.array(sorted(list(ordered)[::2]), np.int64)
