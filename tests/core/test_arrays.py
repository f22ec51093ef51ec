"""Images as every border checks them, and the digest that ids are made of."""

import hashlib

import numpy as np
import pytest

from cae_core.arrays import as_unit_float, check_images, sha256_of
from cae_core.errors import DataError


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_either_kind_pass_as_they_are(dtype: type[np.generic], channels: int) -> None:
    images = np.zeros((2, 4, 5, channels), dtype)
    assert check_images(images) is images


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (np.zeros((4, 5, 3), np.uint8), r"shape \(n, h, w, k\); found \(4, 5, 3\)"),
        (np.zeros((1, 2, 4, 5, 3), np.uint8), r"shape \(n, h, w, k\)"),
        (np.zeros((2, 4, 5, 3)), "uint8, or float32 in .*; found float64"),
        (np.zeros((2, 3, 4, 5), np.uint8), r"1 or 3 channels in the last axis; found shape \(2, 3, 4, 5\)"),
        (np.zeros((2, 4, 5, 2), np.uint8), "1 or 3 channels"),
    ],
)
def test_others_are_refused(images: np.ndarray, why: str) -> None:
    with pytest.raises(DataError, match=why):
        check_images(images)


def test_levels_become_parts_of_one() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = as_unit_float(levels)
    assert floats.dtype == np.float32
    assert floats.ravel().tolist() == [float(np.float32(i) / np.float32(255)) for i in range(256)]
    assert (floats.min(), floats.max()) == (0, 1)


def test_floats_become_contiguous_and_stay_what_they_are() -> None:
    turned = np.random.default_rng(0).random((2, 3, 4, 5), np.float32).transpose(0, 2, 3, 1)
    found = as_unit_float(turned)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, turned)
    assert as_unit_float(turned.astype(np.float64)).dtype == np.float32  # type: ignore[arg-type] # whatever was given


def test_a_digest_is_that_of_all_bytes_one_after_the_other() -> None:
    numbers = np.array([[1, 2], [3, 4]], "<i8")
    content = "ä".encode() + b"".join(int(x).to_bytes(8, "little") for x in (1, 3, 2, 4)) + b"\xed\xb3\xbf"
    assert sha256_of("ä", numbers.T, chr(0xDCFF)) == hashlib.sha256(content).hexdigest()
    assert sha256_of() == hashlib.sha256(b"").hexdigest()
