"""What a network is asked for by, and the numbers that the Keras and the torch version of the report's models share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cae_core.arrays import Floats32
from cae_core.errors import OptionError

__all__ = [
    "DENSENET_TOP",
    "EFFICIENTNET_LITE",
    "KERAS_NETWORKS",
    "REPORT_ARCHITECTURES",
    "RESNET20_BLOCKS",
    "RESNET20_FILTERS",
    "TOP_DROPOUT",
    "TOP_WIDTHS",
    "TORCH_NETWORKS",
    "ImageShape",
    "PretrainedWeights",
    "Scaling",
    "check_options",
    "check_weights",
]

ImageShape = tuple[int, int, int]
"""Height, width and channels of one image."""

PretrainedWeights = Path | Literal["imagenet"] | None
"""Of the layers below the classifier: a file, the published ones of ImageNet, or random."""


@dataclass(frozen=True)
class Scaling:
    """The first layer of every network that is trained: (image - mean) * scale.

    Attributes:
        mean: float32, (k,) or (h, w, k).
        scale: float32 (k,).
    """

    mean: Floats32
    scale: Floats32

    @classmethod
    def fixed(cls, channels: int) -> "Scaling":
        """Take [0, 1] to [-2, 2]: about zero mean and unit variance for most image data."""
        return cls(np.full(channels, 0.5, np.float32), np.full(channels, 4.0, np.float32))


DENSENET_TOP = "densenet121-top"
REPORT_ARCHITECTURES = ("resnet20v1", "resnet50v1", "mobilenetv2", DENSENET_TOP)

KERAS_NETWORKS = {"resnet50v1": "ResNet50", "mobilenetv2": "MobileNetV2", DENSENET_TOP: "DenseNet121"}
"""Architecture -> the function of keras.applications, which has published weights."""
TORCH_NETWORKS = {"resnet50v1": "resnet50", "mobilenetv2": "mobilenet_v2", DENSENET_TOP: "densenet121"}
"""Architecture -> torchvision's name, under which there are published weights."""

EFFICIENTNET_LITE = "efficientnet-lite0"
"""Not the report's, and in torch alone: a small network whose ImageNet weights the package index has."""

RESNET20_FILTERS = (16, 32, 64)
"""Of the three stages; the second and the third begin by halving the image."""
RESNET20_BLOCKS = 3
"""Of each stage; the depth is 6 * 3 + 2."""

TOP_WIDTHS = (256, 128, 64)
"""Of the dense layers that the report puts on DenseNet121, below the last one (Appendix B.4)."""
TOP_DROPOUT = 0.3


def check_options(name: str, *, image_shape: ImageShape, classes: int, weights: PretrainedWeights) -> None:
    """Refuse what no model of the report can be built from, in either framework.

    Raises:
        OptionError: an unknown name, images that are too small or neither grey nor RGB, fewer than two classes, or
            weights that the architecture cannot have.
    """
    if name not in REPORT_ARCHITECTURES:
        raise OptionError(f"Unknown architecture {name!r}; known are {', '.join(REPORT_ARCHITECTURES)}.")
    # The three large ones halve the image five times.
    smallest = 8 if name == "resnet20v1" else 32
    if len(image_shape) != 3 or min(image_shape[:2]) < smallest or image_shape[2] not in (1, 3):
        raise OptionError(
            f"{name} takes images of (height, width, channels) from ({smallest}, {smallest}) on with 1 or 3 channels; "
            f"found {image_shape}. Resize the images."
        )
    if classes < 2:
        raise OptionError(f"A classifier has at least 2 classes; found {classes}.")
    check_weights(name, channels=image_shape[2], weights=weights)


def check_weights(name: str, *, channels: int, weights: PretrainedWeights) -> None:
    """Refuse weights that the architecture ``name`` cannot have, be it one of the report or another.

    Raises:
        OptionError: neither None, ``"imagenet"`` nor a path, an architecture without published weights, or images of
            other than 3 channels.
    """
    if weights is None:
        return
    if weights != "imagenet" and not isinstance(weights, Path):
        raise OptionError(f'weights must be None, "imagenet" or the Path of a file; found {weights!r}.')
    published = (*KERAS_NETWORKS, EFFICIENTNET_LITE)
    if name not in published:
        raise OptionError(
            f"Nobody has published weights of {name}: leave them out, and train it. "
            f"There are some of {', '.join(published)}."
        )
    if channels != 3:
        raise OptionError(f"ImageNet weights are for images of 3 channels; found {channels}. Leave the weights out.")
