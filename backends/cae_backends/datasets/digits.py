"""The 8x8 digits that come with scikit-learn: 1,797 images, ten classes, no download."""

import numpy as np

from cae_backends.datasets.reader import Reader
from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

__all__ = ["READER", "read_digits"]

_SEED = 20190807
_WHITE = 16  # the published pixels are counts from 0 to 16


def read_digits(split: str) -> ImageSet:
    """Return the digits, uint8 (n, 8, 8, 1).

    A pixel v of 0 .. 16 becomes 255 v / 16, halves rounded up. The split is fixed and stratified: of every class, a
    third (rounded) chosen by a seeded order is ``"test"``, the rest ``"train"``, each in the published order.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as exc:
        raise DataError(
            "The data set digits needs scikit-learn. Install it: pip install 'cae-fingerprint[digits]'."
        ) from exc
    pixels, target = load_digits(return_X_y=True)
    levels, labels = np.asarray(pixels, np.int64), np.asarray(target, np.int64)
    images = ((levels * 255 + _WHITE // 2) // _WHITE).astype(np.uint8).reshape(-1, 8, 8, 1)
    test = _test_indices(labels)
    train = np.setdiff1d(np.arange(len(labels)), test)
    index = {"train": train, "test": test, "all": np.concatenate([train, test])}[split]
    return ImageSet(images, labels, tuple(str(digit) for digit in range(10)), "digits").subset(index)


def _test_indices(labels: Labels) -> Labels:
    # The raw words of a bit generator are the same in every release of NumPy; those of Generator need not be.
    order = np.argsort(np.random.PCG64(_SEED).random_raw(len(labels)), kind="stable")
    chosen = [of_class[: round(len(of_class) / 3)] for c in range(10) if len(of_class := order[labels[order] == c])]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


READER = Reader(name="digits", read=lambda _path, _asked, split: read_digits(split))
