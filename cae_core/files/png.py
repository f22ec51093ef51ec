"""Images as PNG files of one size each: whatever an image shows, its file is as long as that of any other.

Without compression the length follows from height, width and channels alone, and a file says nothing but its pixels:
no time, no program, no text. Nothing but the standard library is needed.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import DataError

__all__ = ["png_of"]

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number of what the channels are: grey, grey and alpha, RGB, RGB and alpha."""


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Return an image, uint8 (h, w, k) with k from 1 to 4, as a PNG file of 8 bits, uncompressed.

    Raises:
        DataError: of another number of channels, or no uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in _COLOURS or not image.size:
        raise DataError(f"A PNG file takes uint8 (h, w, k) with 1 to 4 channels; found {image.dtype} {image.shape}.")
    height, width, channels = image.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with 0: stored as it is
    lines[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    content = zlib.compress(lines.tobytes(), 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
