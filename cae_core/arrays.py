"""Array types and the checks of images that every border shares.

Letters: ``m`` models, ``n`` inputs, ``c`` classes, ``h w k`` an image's height, width and channels.
"""

import hashlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import DataError

__all__ = ["Floats32", "Floats64", "Images", "Labels", "as_unit_float", "check_images", "sha256_of"]

Floats32: TypeAlias = NDArray[np.float32]
Floats64: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
"""(n, h, w, k): uint8, or float32 in [0, 1]; RGB or one channel, at the data set's own resolution."""


def check_images(images: NDArray[Any]) -> Images:
    """Return ``images`` if they are canonical, (n, h, w, k) as uint8 or as float32 in [0, 1].

    Raises:
        DataError: another rank, another dtype, or channels other than one or three.
    """
    if images.ndim != 4:
        raise DataError(f"Images must have shape (n, h, w, k); found {images.shape}. Add the missing axis.")
    if images.dtype.name not in ("uint8", "float32"):
        raise DataError(f"Images must be uint8, or float32 in [0, 1]; found {images.dtype}. Convert them first.")
    if images.shape[3] not in (1, 3):
        raise DataError(f"Images must have 1 or 3 channels in the last axis; found shape {images.shape}.")
    return images


def as_unit_float(images: Images) -> Floats32:
    """Return ``images`` as contiguous float32 in [0, 1]; uint8 is divided by 255.

    Example:
        >>> as_unit_float(np.full((1, 1, 1, 1), 51, np.uint8)).item()
        0.20000000298023224
    """
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(images, dtype=np.float32)


def sha256_of(*parts: str | NDArray[Any]) -> str:
    """Return the SHA-256 over texts, in UTF-8, and the values of arrays, one after the other.

    Ids that stand in files for ever come of it: what is hashed may not change.

    Example:
        >>> sha256_of("a", np.array([98], np.uint8)) == sha256_of("ab")
        True
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(
            part.encode("utf-8", "surrogatepass") if isinstance(part, str) else np.ascontiguousarray(part).data
        )
    return digest.hexdigest()
