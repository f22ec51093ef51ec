"""How a model lays out its image tensor, and the way back for gradients.

``"HW"`` is an image without an axis of channels; ``"FLAT"`` is one row of numbers, pixel by pixel as ``"NHWC"`` has
them, and ``"FLAT_NCHW"`` one channel after the other.
"""

import math
from collections.abc import Sequence

from cae_core.arrays import Floats32
from cae_core.errors import ContractError

__all__ = ["FLAT", "LAYOUTS", "fitted", "laid_out", "lifted", "tensor_shape"]

LAYOUTS = ("NHWC", "NCHW", "HW", "FLAT", "FLAT_NCHW")

FLAT = ("FLAT", "FLAT_NCHW")
"""The layouts without axes of height and width."""


def tensor_shape(layout: str, image: tuple[int, int, int]) -> tuple[int, ...]:
    """Return the shape of the tensor of one image (h, w, k) of the model.

    Raises:
        ContractError: ``"HW"``, and the model takes several channels.
    """
    height, width, channels = image
    if layout == "HW" and channels != 1:
        raise ContractError(
            f'The contract\'s layout "HW" has no axis of channels, and the images have {channels}. '
            'Say layout = "NHWC" or "NCHW", or channels = "GRAY" for grey images.'
        )
    if layout in FLAT:
        return (math.prod(image),)
    return {"NHWC": image, "NCHW": (channels, height, width), "HW": (height, width)}[layout]


def laid_out(x: Floats32, layout: str) -> Floats32:
    """Return images (n, h, w, k) as ``layout`` has them."""
    shape = tensor_shape(layout, (x.shape[1], x.shape[2], x.shape[3]))
    if layout in ("NCHW", "FLAT_NCHW"):
        x = x.transpose(0, 3, 1, 2)
    return x.reshape(len(x), *shape)


def lifted(gradient: Floats32, layout: str, image: tuple[int, int, int]) -> Floats32:
    """Return what `laid_out` took, (n, h, w, k): its inverse, which is its adjoint, since it only moves numbers.

    Args:
        gradient: in ``layout``, or in any shape that holds the same numbers in this order.
        layout: of the model.
        image: (h, w, k) of the model's image.
    """
    height, width, channels = image
    if layout in ("NCHW", "FLAT_NCHW"):
        return gradient.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return gradient.reshape(-1, height, width, channels)


def fitted(layout: str, made: tuple[int, ...], wanted: Sequence[int | str | None]) -> tuple[int, ...] | None:
    """Return the shape that a tensor takes to suit an input's axes, both without the batch; None where it cannot.

    A tensor without axes of its own is reshaped to whatever holds as many numbers. An axis of any size is a string or
    None.

    Example:
        >>> fitted("FLAT", (784,), (784, 1)), fitted("NHWC", (28, 28, 1), (28, 28))
        ((784, 1), None)
    """
    if len(made) == len(wanted) and all(axis == size for axis, size in zip(wanted, made, strict=True) if _fixed(axis)):
        return made
    if layout not in (*FLAT, "HW") or sum(not _fixed(axis) for axis in wanted) > 1:
        return None
    known = math.prod(axis for axis in wanted if isinstance(axis, int) and axis > 0)
    numbers = math.prod(made)
    if numbers % known or (all(map(_fixed, wanted)) and numbers != known):
        return None
    return tuple(axis if isinstance(axis, int) and axis > 0 else numbers // known for axis in wanted)


def _fixed(axis: int | str | None) -> bool:
    return isinstance(axis, int) and axis > 0
