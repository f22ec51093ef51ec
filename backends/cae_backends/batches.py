"""How many images a model is given at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import Model, Predictions

__all__ = ["check_fixed_batch", "images_at_once", "of_no_image", "padded"]

_PIXELS = 1 << 22
_IMAGES = 512
"""The largest activation of a ResNet50 is then about 1 GB, whatever the images' size."""

_LARGEST_FIXED = 8192
"""Images of a batch that a file fixes; it is filled up, however few are asked about."""


def check_fixed_batch(size: int, origin: str) -> None:
    """Refuse a model that takes more images at a time than anybody asks about.

    Raises:
        ModelError: it does.
    """
    if size > _LARGEST_FIXED:
        raise ModelError(
            f"{origin}: the model takes {size} images at a time; at most {_LARGEST_FIXED} are made. Export it with a "
            "smaller batch, or with a free one."
        )


def images_at_once(contract: Contract, image_shape: tuple[int, ...]) -> int:
    """Return how many images of (n, h, w, k) are answered at once, so that the activations stay bounded."""
    height, width = contract.size or image_shape[1:3]
    return min(_IMAGES, max(1, _PIXELS // max(1, height * width)))


def padded(x: NDArray[Any], size: int) -> NDArray[Any]:
    """Return a batch of ``size`` images, filled up with the last one; one that has as many, or more, as it is."""
    return x if len(x) >= size else np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)])


def of_no_image(model: Model, image_shape: tuple[int, ...]) -> Predictions:
    """Return the answer to no image of (h, w, k): few files run on none, so one is asked, and nothing of it is kept."""
    blank = model.predict(np.zeros((1, *image_shape), np.uint8))
    return Predictions(blank.labels[:0], None if blank.probabilities is None else blank.probabilities[:0])
