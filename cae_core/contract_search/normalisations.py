"""How images are turned into numbers in practice: ranges, means and deviations that published training code uses.

All are in units of [0, 1] or [0, 255] per channel, red first. Sources: the transforms of torchvision's reference
training and of its ImageNet weights; ``preprocess_input`` of Keras' applications ("tf", "torch", "caffe"); the
per-channel statistics of the training sets of CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, of which two deviations for
CIFAR-10 are in use: over all pixels, and the mean over images of each image's own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NORMALISATIONS", "Normalisation", "normalisations_of"]


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """One way.

    Attributes:
        words: for a table.
        range: the values of black and white.
        mean: per channel, red first, in units of ``range``; empty: none.
        std: likewise.
        classes: of the data set whose statistics they are; None: it is used for all.
    """

    words: str
    range: tuple[float, float]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: int | None = None

    def fits(self, channels: int, classes: int | None = None) -> bool:
        """Return whether it says something for a model of so many channels, of data with so many classes."""
        if self.classes is not None and classes is not None and self.classes != classes:
            return False
        return all(len(values) in (0, 1, channels) for values in (self.mean, self.std))

    def ends(self, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what black and white become, (channels,) each."""
        mean, std = (np.broadcast_to(v or (d,), (channels,)) for v, d in ((self.mean, 0.0), (self.std, 1.0)))
        return (self.range[0] - mean) / std, (self.range[1] - mean) / std


_NEAR = 0.01

_CIFAR_10 = (0.4914, 0.4822, 0.4465)

NORMALISATIONS = (
    Normalisation(words="0 to 1", range=(0, 1)),
    Normalisation(words="0 to 255", range=(0, 255)),
    Normalisation(words="-1 to 1", range=(-1, 1)),
    Normalisation(words="ImageNet", range=(0, 1), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    Normalisation(words="CIFAR-10", range=(0, 1), mean=_CIFAR_10, std=(0.2470, 0.2435, 0.2616), classes=10),
    Normalisation(words="CIFAR-10 (image's)", range=(0, 1), mean=_CIFAR_10, std=(0.2023, 0.1994, 0.2010), classes=10),
    Normalisation(
        words="CIFAR-100", range=(0, 1), mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761), classes=100
    ),
    Normalisation(words="MNIST", range=(0, 1), mean=(0.1307,), std=(0.3081,), classes=10),
    Normalisation(words="Fashion-MNIST", range=(0, 1), mean=(0.2860,), std=(0.3530,), classes=10),
    Normalisation(words="-0.5 to 0.5", range=(-0.5, 0.5)),
    Normalisation(words="less ImageNet's mean, 0 to 255", range=(0, 255), mean=(123.68, 116.779, 103.939)),
    Normalisation(words="less CIFAR-10's mean", range=(0, 1), mean=_CIFAR_10, classes=10),
    Normalisation(words="-128 to 127", range=(-128, 127)),
)
"""The frequent ones first: of contracts that are alike, the first is written."""


def normalisations_of(images: NDArray[np.uint8], classes: int) -> tuple[Normalisation, ...]:
    """Return those by the mean and the deviation of the images themselves: per channel, and over all channels.

    What is next to one of `NORMALISATIONS` is left out.

    Args:
        images: uint8 (n, h, w, k), of the task.
        classes: of the task.
    """
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[3])])
    together = counts.sum(axis=0, keepdims=True)
    if (counts > 0).sum(axis=1).min() < 2:  # a channel of one value has no deviation
        return ()
    own = _of_counts("these images'", counts)
    further = (_of_counts("these images', all channels", together),) if len(counts) > 1 else ()
    less = Normalisation(words="less these images' mean", range=(0, 1), mean=own.mean)
    found = (own, *further, less)
    known = [each for each in NORMALISATIONS if each.fits(len(counts), classes)]
    return tuple(one for one in found if not any(_is_near(one, each, len(counts)) for each in known))


def _of_counts(words: str, counts: NDArray[np.int64]) -> Normalisation:
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(shares @ values**2 - mean**2)
    return Normalisation(words=words, range=(0, 1), mean=_rounded(mean), std=_rounded(std))


def _is_near(one: Normalisation, other: Normalisation, channels: int) -> bool:
    """Return whether both make the same numbers, but for a hundredth of what lies between white and black."""
    ends = [way.ends(channels) for way in (one, other)]
    span = np.abs(ends[1][1] - ends[1][0]).max()
    return bool(max(np.abs(a - b).max() for a, b in zip(*ends, strict=True)) < _NEAR * span)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
