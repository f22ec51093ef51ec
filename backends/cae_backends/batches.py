"""How many images a white box is given at once."""

from cae_core.contract import Contract

__all__ = ["images_at_once"]

_PIXELS = 1 << 22
_IMAGES = 512
"""The largest activation of a ResNet50 is then about 1 GB, whatever the images' size."""


def images_at_once(contract: Contract, image_shape: tuple[int, ...]) -> int:
    """Return how many images of (n, h, w, k) are answered at once, so that the activations stay bounded."""
    height, width = contract.size or image_shape[1:3]
    return min(_IMAGES, max(1, _PIXELS // max(1, height * width)))
