"""Defences that change the image before the model sees it."""

import io
import math
import re
from collections.abc import Callable

import numpy as np

from cae_core.arrays import Floats32
from cae_core.defences.defence import Changing, Context, Defence, Wrapped, rng_of
from cae_core.errors import BackendMissing, OptionError
from cae_core.models import Model
from cae_core.resize import resize

__all__ = ["IMAGE_DEFENCES", "compressed", "median", "noised", "reduced", "resized", "smoothed", "within"]


_NUMBER = re.compile(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?")
"""As people write one. A defence's text is shown, and `float` takes blanks, underscores and digits of any script."""


def reduced(image: Floats32, bits: int) -> Floats32:
    """Return an image (h, w, k) of 2^bits levels (Xu et al., 2018)."""
    levels = np.float32(2**bits - 1)
    return np.asarray(np.rint(image * levels) / levels, np.float32)


def smoothed(image: Floats32, sigma: float) -> Floats32:
    """Return an image blurred by a Gaussian of ``sigma`` pixels, cut off after three; the edge is mirrored."""
    reach = min(math.ceil(3 * sigma), min(image.shape[:2]) - 1)
    if reach < 1:
        return image
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        width = [(0, 0)] * 3
        width[axis] = (reach, reach)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, width, mode="reflect"), len(kernel), axis=axis)
        image = np.asarray(windows @ kernel, np.float32)
    return image


def median(image: Floats32) -> Floats32:
    """Return the median of each pixel and its neighbours right, below and between (2 x 2; Xu et al., 2018)."""
    wide = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="reflect" if min(image.shape[:2]) > 1 else "edge")
    four = np.stack([wide[:-1, :-1], wide[1:, :-1], wide[:-1, 1:], wide[1:, 1:]])
    result: Floats32 = np.median(four, axis=0).astype(np.float32)
    return result


def resized(image: Floats32, share: float) -> Floats32:
    """Return an image made smaller, at a place that follows from it, zeros around it (Xie et al., 2018)."""
    height, width, channels = image.shape
    size = max(1, round(share * height)), max(1, round(share * width))
    rng = rng_of(image, "resize")
    down, right = int(rng.random() * (height - size[0] + 1)), int(rng.random() * (width - size[1] + 1))
    result = np.zeros((height, width, channels), np.float32)
    result[down : down + size[0], right : right + size[1]] = resize(image[None], size, "bilinear-antialias")[0]
    return result


def noised(image: Floats32, deviation: float) -> Floats32:
    """Return an image with Gaussian noise that follows from it."""
    noise = rng_of(image, "noise").standard_normal(image.shape, np.float32)
    return np.asarray(image + np.float32(deviation) * noise, np.float32)


def compressed(image: Floats32, quality: int) -> Floats32:
    """Return an image after JPEG (Dziugaite et al., 2016).

    Raises:
        BackendMissing: Pillow is not installed.
        OptionError: it has neither one channel nor three.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise BackendMissing("The defence jpeg needs Pillow: pip install 'cae-fingerprint[images]'.") from error
    channels = image.shape[2]
    if channels not in (1, 3):
        raise OptionError(f"The defence jpeg takes images of 1 or 3 channels; found {channels}. Leave it out.")
    pixels = np.rint(image * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as opened:
        decoded = np.asarray(opened, np.float32) / np.float32(255)
    return decoded.reshape(image.shape)


def within(low: float, high: float, *, whole: bool = False) -> Callable[[str], str]:
    """Return the check of a number in [low, high]."""

    def check(value: str) -> str:
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
        if low <= number <= high and not (whole and (number != int(number) or "." in value)):
            return ""
        return f"takes {'a whole number' if whole else 'a number'} from {low:g} to {high:g}"

    return check


def _made_by(change: Callable[[Floats32, float], Floats32]) -> Callable[[Model, str, Context], Model]:
    def make(model: Model, value: str, context: Context) -> Model:  # noqa: ARG001 - the signature of all
        number = float(value)
        changing: Changing = lambda image: change(image, number)  # noqa: E731
        return Wrapped(model, change=changing)

    return make


IMAGE_DEFENCES = (
    Defence(
        name="jpeg",
        value="quality, 1 to 95",
        example="jpeg:75",
        how="stores each image as JPEG and opens it again (needs the extra `images`)",
        make=_made_by(lambda image, quality: compressed(image, int(quality))),
        check=within(1, 95, whole=True),
    ),
    Defence(
        name="bits",
        value="bits in each channel, 1 to 8",
        example="bits:4",
        how="rounds each value to this many bits",
        make=_made_by(lambda image, bits: reduced(image, int(bits))),
        check=within(1, 8, whole=True),
    ),
    Defence(
        name="smooth",
        value="standard deviation in pixels, 0.1 to 10",
        example="smooth:0.6",
        how="blurs each image by a Gaussian",
        make=_made_by(smoothed),
        check=within(0.1, 10),
    ),
    Defence(
        name="resize",
        value="share of height and width, 0.1 to 1",
        example="resize:0.9",
        how="makes each image smaller and puts it at a random place on black",
        make=_made_by(resized),
        check=within(0.1, 1),
    ),
    Defence(
        name="noise",
        value="standard deviation on images in [0, 1], 0 to 1",
        example="noise:0.05",
        how="adds Gaussian noise to each image",
        make=_made_by(noised),
        check=within(0, 1),
    ),
)
"""In the order in which messages list them."""
