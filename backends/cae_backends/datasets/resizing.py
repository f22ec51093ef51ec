"""Resizing the images of a data set, once and for all: the result is again 8-bit."""

import numpy as np
from numpy.typing import NDArray

from cae_core.resize import resize

__all__ = ["resize_images"]

_RULE = "bilinear-antialias"
"""From 28x28 to 32x32, plain bilinear; where an image shrinks, the antialiased kernel that Pillow uses."""

_CHUNK = 1024


def resize_images(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (n, h, w, k) to ``size`` = (height, width), bilinear with half-pixel centres, rounded half to even.

    Images that have the size are returned as they are.
    """
    if images.shape[1:3] == size:
        return images
    resized = np.empty((len(images), *size, images.shape[3]), np.uint8)
    for start in range(0, len(images), _CHUNK):  # as float32, all of them would take eight times the room
        chunk = images[start : start + _CHUNK].astype(np.float32)
        resized[start : start + _CHUNK] = np.clip(np.rint(resize(chunk, size, _RULE)), 0, 255)
    return resized
