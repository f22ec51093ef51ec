"""Labelled images: what is refused, subsets, and the digest."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import as_unit_float, check_images
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

NAMES = ("a", "b", "c")


def image_set(n: int = 6, name: str = "toy") -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (n, 4, 5, 3)).astype(np.uint8)
    return ImageSet(images, np.arange(n, dtype=np.int64) % 3, NAMES, name)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), r"shape \(n, h, w, k\); found \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 2), np.uint8), "1 or 3 channels"),
        (np.zeros((2, 3, 8, 8), np.uint8), "1 or 3 channels"),
        (np.zeros((2, 4, 4, 3), np.float32), "toy: images must be uint8"),
        (np.zeros((2, 4, 4, 3), np.float64), "found float64"),
        (np.zeros((3, 4, 4, 3), np.uint8), "3 images need as many labels"),
    ],
)
def test_other_images_are_refused(images: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet(images, np.zeros(2, np.int64), NAMES, "toy")


@pytest.mark.parametrize("labels", [[-1, 0], [0, 3]])
def test_labels_out_of_range_are_refused(labels: list[int]) -> None:
    with pytest.raises(DataError, match=r"labels must lie in 0 \.\. 2; found"):
        ImageSet(np.zeros((2, 4, 4, 1), np.uint8), np.array(labels), NAMES)


def test_a_subset_keeps_each_image_with_its_label() -> None:
    data = image_set()
    chosen = data.subset([4, 1])
    assert len(chosen) == 2
    assert chosen.labels.tolist() == [1, 1]
    np.testing.assert_array_equal(chosen.images, data.images[[4, 1]])
    assert (chosen.class_names, chosen.name) == (NAMES, "toy")
    assert len(data.subset([])) == 0


def test_the_digest_is_over_shape_images_and_labels() -> None:
    data = image_set()
    assert data.sha256() == image_set(name="other").sha256()
    other = data.images.copy()
    other[5, 0, 0, 0] ^= 1
    digests = {
        data.sha256(),
        ImageSet(other, data.labels, NAMES).sha256(),
        ImageSet(data.images, np.roll(data.labels, 1), NAMES).sha256(),
        ImageSet(data.images.reshape(6, 5, 4, 3), data.labels, NAMES).sha256(),
        data.subset(range(5)).sha256(),
    }
    assert len(digests) == 5


def test_bytes_become_floats_of_the_unit_range() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = as_unit_float(check_images(levels))
    assert floats.dtype == np.float32
    assert (floats.min(), floats.max()) == (0, 1)
    np.testing.assert_array_equal(np.rint(floats * 255), levels)
    strided = np.zeros((2, 4, 8, 3), np.float32)[:, :, ::2]
    assert as_unit_float(strided).flags.c_contiguous
