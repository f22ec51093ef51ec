"""PNG files of one length each."""

import io

import numpy as np
import pytest
from PIL import Image

from cae_core.errors import DataError
from cae_core.files.png import png_of


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_reader_sees_the_same_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    read = np.asarray(Image.open(io.BytesIO(png_of(image))))
    assert np.array_equal(read.reshape(image.shape), image)


def test_the_length_tells_nothing_of_the_pixels() -> None:
    """Compressed, a perturbed image is longer than a smooth one."""
    plain = np.zeros((32, 32, 3), np.uint8)
    noisy = np.random.default_rng(0).integers(0, 256, plain.shape, np.uint8)
    assert len(png_of(plain)) == len(png_of(noisy))


@pytest.mark.parametrize("image", [np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataError, match="1 to 4 channels"):
        png_of(image)
