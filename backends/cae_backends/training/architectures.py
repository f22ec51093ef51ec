"""Small convolutional networks for images of 8x8 to 32x32, by name.

Every network takes float32 (n, k, h, w) in [0, 1], answers logits (n, c), and holds its normalisation inside.
None uses dropout, and pooling has a fixed size, so that the exported graphs consist of few, common operators.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cae_core.errors import OptionError

__all__ = ["ARCHITECTURES", "ImageShape", "build"]

ImageShape = tuple[int, int, int]
"""Height, width and channels of one image."""


class _Normalise(nn.Module):
    """Takes [0, 1] to [-2, 2]: about zero mean and unit variance for most image data."""

    def forward(self, images: Tensor) -> Tensor:
        return (images - 0.5) * 4


class _Residual(nn.Module):
    """Two convolutions with a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(inputs, outputs, stride),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def _plain(*widths: tuple[int, ...]) -> Callable[[ImageShape, int], list[nn.Module]]:
    """Stages of convolutions of these widths, each stage followed by a pooling, and one linear layer."""

    def layers(image_shape: ImageShape, classes: int) -> list[nn.Module]:
        height, width, channels = image_shape
        made: list[nn.Module] = []
        for stage in widths:
            for wide in stage:
                made += _conv(channels, wide)
                channels = wide
            made.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        return [*made, nn.Flatten(), nn.Linear(channels * height * width, classes)]

    return layers


def _resnet(image_shape: ImageShape, classes: int) -> list[nn.Module]:
    height, width, channels = image_shape
    pooled = ((height + 1) // 2, (width + 1) // 2)
    body = [*_conv(channels, 16), _Residual(16, 16, 1), _Residual(16, 32, 2)]
    return [*body, nn.AvgPool2d(pooled), nn.Flatten(), nn.Linear(32, classes)]


def _mlp(image_shape: ImageShape, classes: int) -> list[nn.Module]:
    height, width, channels = image_shape
    inputs = height * width * channels
    return [nn.Flatten(), nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes)]


ARCHITECTURES: dict[str, Callable[[ImageShape, int], list[nn.Module]]] = {
    "cnn-small": _plain((16, 32)),
    "cnn-wide": _plain((32, 48)),
    "cnn-deep": _plain((16, 16), (32, 32)),
    "resnet-tiny": _resnet,
    "mlp": _mlp,
}
"""Name -> the layers between normalisation and logits, of (h, w, k) images and c classes."""


def build(name: str, *, image_shape: ImageShape, classes: int, seed: int) -> nn.Module:
    """Return an untrained network.

    Args:
        name: a key of `ARCHITECTURES`.
        image_shape: (h, w, k); h and w at least 4.
        classes: c.
        seed: of the initial weights; torch's own random state is left as it was.

    Raises:
        OptionError: the name is unknown, or the images are too small.
    """
    if name not in ARCHITECTURES:
        raise OptionError(f"Unknown architecture {name!r}; known are {', '.join(ARCHITECTURES)}.")
    if min(image_shape[:2]) < 4:
        raise OptionError(f"The networks pool twice and need images of at least 4x4; found {image_shape}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(_Normalise(), *ARCHITECTURES[name](image_shape, classes))
