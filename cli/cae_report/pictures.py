"""Examples as PNG images inside the page: the benign seed, the example, and what was changed."""

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cae_core.fingerprint.example_kinds import BLEND
from cae_core.fingerprint.file import Fingerprint
from cae_report.tables import Example

__all__ = ["Picture", "draw_pictures"]

_GREY = 128


@dataclass(frozen=True)
class Picture:
    """One example in three ``data:`` addresses.

    Attributes:
        seed: the benign image.
        image: the example made from it.
        change: their difference, times ``gain``, around mid-grey.
        gain: a whole number.
    """

    seed: str
    image: str
    change: str
    gain: int


def draw_pictures(fingerprint: Fingerprint, examples: tuple[Example, ...]) -> tuple[Picture, ...]:
    """Return a picture for each example, all with one gain: the largest that clips no change but those of blends."""
    blends = fingerprint.example_kinds == BLEND.code
    largest = max((example.largest_change for example in examples if not blends[example.index]), default=1)
    gain = max(1, (_GREY - 1) // max(1, largest))
    return tuple(_picture(fingerprint, example.index, gain) for example in examples)


def _picture(fingerprint: Fingerprint, index: int, gain: int) -> Picture:
    seed, image = fingerprint.seeds[index], fingerprint.images[index]
    change = _GREY + gain * (image.astype(np.int32) - seed)
    return Picture(_png(seed), _png(image), _png(np.clip(change, 0, 255).astype(np.uint8)), gain)


def _png(image: NDArray[np.uint8]) -> str:
    """Encode an image (h, w, k); of channels other than one or three the first is shown."""
    pixels = image if image.shape[-1] == 3 else image[..., 0]
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
