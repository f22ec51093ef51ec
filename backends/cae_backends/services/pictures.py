"""Images as they travel in JSON: numbers, or PNG and JPEG files in base64."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import BackendMissing
from cae_core.files.png import png_of

__all__ = ["as_jpeg", "as_numbers", "as_png"]

_QUALITY = 95


def as_png(image: NDArray[np.uint8]) -> str:
    """Return an image, uint8 (h, w, k), as a PNG file in base64."""
    return base64.b64encode(png_of(image)).decode()


def as_jpeg(image: NDArray[np.uint8]) -> str:
    """Return an image, uint8 (h, w, k) with one or three channels, as a JPEG file in base64: it loses a little.

    Raises:
        BackendMissing: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendMissing("JPEG takes Pillow: pip install 'cae-fingerprint[images]'; or send {png}.") from error
    file = io.BytesIO()
    pixels = image if image.shape[-1] == 3 else image[..., 0]
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return base64.b64encode(file.getvalue()).decode()


def as_numbers(tensor: NDArray[Any]) -> Any:  # noqa: ANN401 - nested lists of numbers
    """Return a tensor as lists within lists; float32 in as few digits as tell it apart from its neighbours."""
    if tensor.dtype == np.float32:
        shortest = np.array([float(str(x)) for x in tensor.ravel()], np.float64)
        return shortest.reshape(tensor.shape).tolist()
    return tensor.tolist()
