"""Small convolutional networks for images of 8x8 to 32x32, by name, and the larger ones with published weights.

Every network takes float32 (n, k, h, w) in [0, 1], answers logits (n, c), and holds its normalisation inside.
None of the small ones uses dropout, and pooling has a fixed size, so that the exported graphs consist of few, common
operators. Those with a `quarter` stem begin with a stride of two, which costs a quarter: at 32x32x3 and ten classes,
resnet8-quarter takes 3.1 million multiply-adds, plain-quarter 3.1, patch-quarter 2.2 and mobile-quarter 1.2.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from cae_backends.architectures.options import (
    EFFICIENTNET_LITE,
    REPORT_ARCHITECTURES,
    ImageShape,
    PretrainedWeights,
    Scaling,
    check_weights,
)
from cae_core.errors import OptionError

__all__ = ["ARCHITECTURES", "build"]

Layers: TypeAlias = Callable[[ImageShape, int], list[nn.Module]]
"""Makes the layers between normalisation and logits, for images (h, w, k) and c classes."""


class _Normalise(nn.Module):
    """(image - mean) * scale; the mean is one per channel or an image."""

    mean: Tensor
    scale: Tensor

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        mean = torch.tensor(scaling.mean)
        self.register_buffer("mean", mean[:, None, None] if mean.ndim == 1 else mean.permute(2, 0, 1).contiguous())
        self.register_buffer("scale", torch.tensor(scaling.scale)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) * self.scale


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


def _conv(inputs: int, outputs: int, stride: int = 1, *, kernel: int = 3, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _plain(*widths: tuple[int, ...]) -> Layers:
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


def _half(size: tuple[int, int], times: int) -> tuple[int, int]:
    """The size after some convolutions of stride two."""
    for _ in range(times):
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    return size


def _quarter_resnet(width: int) -> Layers:
    def layers(image_shape: ImageShape, classes: int) -> list[nn.Module]:
        stages = [_Residual(width, width, 1), _Residual(width, 2 * width, 2), _Residual(2 * width, 4 * width, 2)]
        pool = nn.AvgPool2d(_half(image_shape[:2], 3))
        return [*_conv(image_shape[2], width, 2), *stages, pool, nn.Flatten(), nn.Linear(4 * width, classes)]

    return layers


def _quarter_plain(width: int) -> Layers:
    def layers(image_shape: ImageShape, classes: int) -> list[nn.Module]:
        stages = [*_conv(width, 2 * width), *_conv(2 * width, 4 * width, 2), *_conv(4 * width, 4 * width, 2)]
        pool = nn.AvgPool2d(_half(image_shape[:2], 3))
        return [*_conv(image_shape[2], width, 2), *stages, pool, nn.Flatten(), nn.Linear(4 * width, classes)]

    return layers


def _quarter_patch(width: int) -> Layers:
    """Non-overlapping patches of 4x4, or 2x2 where the image is small, and two residual blocks."""

    def layers(image_shape: ImageShape, classes: int) -> list[nn.Module]:
        patch = 4 if min(image_shape[:2]) >= 16 else 2
        stem = [nn.Conv2d(image_shape[2], width, patch, patch, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        stages = [_Residual(width, width, 1), _Residual(width, 2 * width, 2)]
        pool = nn.AvgPool2d(_half((image_shape[0] // patch, image_shape[1] // patch), 1))
        return [*stem, *stages, pool, nn.Flatten(), nn.Linear(2 * width, classes)]

    return layers


def _quarter_mobile(width: int) -> Layers:
    """Depthwise 3x3 and pointwise convolutions in turn (Howard et al., 2017)."""

    def layers(image_shape: ImageShape, classes: int) -> list[nn.Module]:
        stages: list[nn.Module] = []
        for inputs, outputs, stride in ((1, 2, 1), (2, 4, 2), (4, 4, 1), (4, 8, 2), (8, 8, 1)):
            stages += _conv(inputs * width, inputs * width, stride, groups=inputs * width)
            stages += _conv(inputs * width, outputs * width, kernel=1)
        pool = nn.AvgPool2d(_half(image_shape[:2], 3))
        return [*_conv(image_shape[2], width, 2), *stages, pool, nn.Flatten(), nn.Linear(8 * width, classes)]

    return layers


def _mlp(image_shape: ImageShape, classes: int) -> list[nn.Module]:
    height, width, channels = image_shape
    inputs = height * width * channels
    return [nn.Flatten(), nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes)]


ARCHITECTURES: dict[str, Layers] = {
    "cnn-small": _plain((16, 32)),
    "cnn-wide": _plain((32, 48)),
    "cnn-deep": _plain((16, 16), (32, 32)),
    "resnet-tiny": _resnet,
    "mlp": _mlp,
    "resnet8-quarter": _quarter_resnet(16),
    "plain-quarter": _quarter_plain(16),
    "patch-quarter": _quarter_patch(32),
    "mobile-quarter": _quarter_mobile(16),
}
"""The small networks by name."""


def build(
    name: str,
    *,
    image_shape: ImageShape,
    classes: int,
    seed: int,
    scaling: Scaling | None = None,
    weights: PretrainedWeights = None,
) -> nn.Sequential:
    """Return a network that is not trained yet.

    Args:
        name: a key of `ARCHITECTURES`, one of the report's, or `EFFICIENTNET_LITE`.
        image_shape: (h, w, k); h and w at least 4.
        classes: c.
        seed: of the initial weights; torch's own random state is left as it was.
        scaling: its first layer; None takes [0, 1] to [-2, 2].
        weights: of the layers below the classifier, see `report_torch.build_torch`; the small networks have none.

    Raises:
        OptionError: the name is unknown, the images are too small, or the weights not for this network.
        ModelError: the weights cannot be had.
    """
    if min(image_shape[:2]) < 4:
        raise OptionError(f"The networks pool twice and need images of at least 4x4; found {image_shape}.")
    first = _Normalise(scaling or Scaling.fixed(image_shape[2]))
    if name not in ARCHITECTURES:
        return nn.Sequential(first, _report(name, image_shape, classes, seed, weights))
    check_weights(name, channels=image_shape[2], weights=weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(first, *ARCHITECTURES[name](image_shape, classes))


def _report(name: str, image_shape: ImageShape, classes: int, seed: int, weights: PretrainedWeights) -> nn.Module:
    from cae_backends.architectures.efficientnet_torch import build_efficientnet_lite
    from cae_backends.architectures.report_torch import build_torch

    if name == EFFICIENTNET_LITE:
        return build_efficientnet_lite(image_shape, classes, weights=weights, seed=seed)
    if name not in REPORT_ARCHITECTURES:
        known = ", ".join((*ARCHITECTURES, *REPORT_ARCHITECTURES, EFFICIENTNET_LITE))
        raise OptionError(f"Unknown architecture {name!r}; known are {known}.")
    return build_torch(name, image_shape=image_shape, classes=classes, weights=weights, seed=seed)
