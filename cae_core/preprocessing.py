"""Input contracts with the statistics of a training set: the report's mean image, and the usual mean and std.

Both divide by 255 first, so the contract's range is (0, 1) and its statistics are in these units.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["mean_image_contract", "per_channel_contract"]


def mean_image_contract(
    data: ImageSet,
    *,
    layout: Literal["NHWC", "NCHW"],
    output: Literal["logits", "probabilities", "labels"],
) -> Contract:
    """Return the report's contract: divide by 255 and subtract the mean image (h, w, k) of ``data``.

    Args:
        data: the training set.
        layout: of the model's tensor.
        output: what the model answers.

    Raises:
        DataError: there are no images.
    """
    _refuse_empty(data)
    total = data.images.sum(axis=0, dtype=np.uint64)  # exact: the mean does not depend on the order of the images
    mean_image = (total / (255 * len(data))).astype(np.float32)
    return _contract(data, layout, output).replace(mean_image=mean_image)


def per_channel_contract(
    data: ImageSet,
    *,
    layout: Literal["NHWC", "NCHW"],
    output: Literal["logits", "probabilities", "labels"],
) -> Contract:
    """Return the usual contract: divide by 255, subtract each channel's mean and divide by its standard deviation.

    The statistics are those of all pixels of a channel; the standard deviation is the population's.

    Args:
        data: the training set.
        layout: of the model's tensor.
        output: what the model answers.

    Raises:
        DataError: there are no images, or all pixels of a channel are the same.
    """
    _refuse_empty(data)
    channels = range(data.images.shape[3])
    moments = [_moments(_histogram(data.images[..., k])) for k in channels]
    mean, std = zip(*moments, strict=True)
    if min(std) == 0:
        raise DataError(f"{data.name}: all pixels of channel {std.index(0)} are the same. Give other images.")
    return _contract(data, layout, output).replace(mean=mean, std=std)


def _histogram(pixels: NDArray[np.uint8]) -> Floats64:
    """Count the values of ``pixels`` (n, h, w), image by image: `numpy.bincount` makes 64-bit integers first."""
    counts = np.zeros(256, np.int64)
    for image in pixels:
        counts += np.bincount(image.ravel(), minlength=256)
    return counts.astype(np.float64)


def _moments(histogram: Floats64) -> tuple[float, float]:
    """Mean and standard deviation, over [0, 1], of the 8-bit values that ``histogram`` (256,) counts."""
    share, value = histogram / histogram.sum(), np.arange(256) / 255
    mean = float(share @ value)
    return mean, float(np.sqrt(share @ (value - mean) ** 2))


def _refuse_empty(data: ImageSet) -> None:
    if not len(data):
        raise DataError(f"{data.name}: there are no images to take a mean of.")


def _contract(
    data: ImageSet, layout: Literal["NHWC", "NCHW"], output: Literal["logits", "probabilities", "labels"]
) -> Contract:
    _, height, width, k = data.images.shape
    return Contract(
        layout=layout, range=(0.0, 1.0), output=output, size=(height, width), channels="RGB" if k == 3 else "GRAY"
    )
