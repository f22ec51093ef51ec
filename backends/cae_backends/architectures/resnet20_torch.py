"""ResNet20v1 in torch, which with the same weights gives the numbers of Keras' one.

The layers have the names of their Keras counterparts, with a dot for the underscore between block and layer.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from cae_backends.architectures.options import RESNET20_BLOCKS, RESNET20_FILTERS, ImageShape

__all__ = ["torch_resnet20"]

_EPS, _MOMENTUM = 1e-3, 0.01
"""Of Keras' batch normalisation; torch's momentum is one minus Keras'."""

_SPREAD = 0.87962566103423978
"""Standard deviation of a standard normal that is cut off at two."""


class _SamePadding(nn.Module):
    """Pads for a 3x3 convolution of stride 2 as "same" does in TensorFlow: one row in all where the height is even.

    It goes to the end, where torch's own padding would put one on either side; and so for the columns.
    """

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return nn.functional.pad(x, (width % 2, 1, height % 2, 1))


class _Block(nn.Module):
    """Two convolutions with a shortcut, which is a 1x1 convolution where the image is halved."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.pad = _SamePadding() if stride == 2 else nn.Identity()
        self.conv1 = _conv(inputs, outputs, stride=stride, padding=0 if stride == 2 else 1)
        self.norm1 = _norm(outputs)
        self.conv2 = _conv(outputs, outputs)
        self.norm2 = _norm(outputs)
        self.shortcut = _conv(inputs, outputs, size=1, stride=2, padding=0) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(self.pad(x))))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


def torch_resnet20(image_shape: ImageShape, classes: int) -> nn.Module:
    """Return a fresh ResNet20v1 for float32 (n, k, h, w) that answers logits (n, c).

    Args:
        image_shape: (h, w, k); the pooling at its end is as large as what is then left, 8x8 of 32x32.
        classes: c.
    """
    height, width, channels = image_shape
    filters = RESNET20_FILTERS[0]
    layers: dict[str, nn.Module] = {"stem_conv": _conv(channels, filters), "stem_norm": _norm(filters)}
    layers["stem_relu"] = nn.ReLU()
    for stage, wide in enumerate(RESNET20_FILTERS, start=1):
        for block in range(1, RESNET20_BLOCKS + 1):
            halve = stage > 1 and block == 1
            layers[f"stage{stage}_block{block}"] = _Block(filters, wide, 2 if halve else 1)
            filters = wide
    layers["pool"] = nn.AvgPool2d((math.ceil(height / 4), math.ceil(width / 4)))
    layers["flatten"] = nn.Flatten()
    head = nn.Linear(filters, classes)
    _init_he_normal(head)
    layers["predictions"] = head
    return nn.Sequential(OrderedDict(layers))


def _conv(inputs: int, outputs: int, *, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding)
    _init_he_normal(conv)
    return conv


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=_MOMENTUM)


def _init_he_normal(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw the weights as Keras' ``he_normal`` does, standard deviation sqrt(2 / inputs), and zero the bias."""
    deviation = math.sqrt(2 / layer.weight[0].numel()) / _SPREAD
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
