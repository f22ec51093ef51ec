"""The models of the report in torch: its own ResNet20v1, and torchvision's networks for the others."""

import math
import re
import sys
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cae_backends.architectures.options import (
    DENSENET_TOP,
    TOP_DROPOUT,
    TOP_WIDTHS,
    TORCH_NETWORKS,
    ImageShape,
    PretrainedWeights,
    check_options,
)
from cae_backends.architectures.resnet20_torch import torch_resnet20
from cae_backends.architectures.weights_files import bounded_download, download_failed
from cae_backends.architectures.weights_torch import load_below, read_state, seeded
from cae_backends.import_order import before_torch

__all__ = ["build_torch"]

_FIRST = {"resnet50v1": "conv1", "mobilenetv2": "features.0.0", DENSENET_TOP: "features.conv0"}
"""Name -> the convolution that sees the image; none of them has a bias."""

_CLASSIFIERS = ("fc.", "classifier.")
"""Beginnings of the names of the classifiers' weights."""


def build_torch(
    name: str, *, image_shape: ImageShape, classes: int, weights: PretrainedWeights = None, seed: int | None = None
) -> nn.Module:
    """Return a model of the report in training mode, for float32 (n, k, h, w), normalised as its contract says.

    It answers logits (n, c).

    Args:
        name: one of `REPORT_ARCHITECTURES`.
        image_shape: (h, w, k); k is 1 or 3, and h and w at least 32, 8 for ResNet20v1.
        classes: c.
        weights: of the layers below the classifier: None for random ones, ``"imagenet"`` to download torchvision's
            (IMAGENET1K_V1) or find them in torch's cache, or a file with a state_dict of torchvision's network, whose
            classifier is left out.
        seed: of the random weights; torch's own random state is left as it was. None takes them from there.

    Raises:
        OptionError: the architecture cannot have this (see `options.check_options`).
        ModelError: the weights cannot be downloaded, or their file is missing, broken, another model's or holds code.
    """
    check_options(name, image_shape=image_shape, classes=classes, weights=weights)
    with seeded(seed):
        if name == "resnet20v1":
            return torch_resnet20(image_shape, classes)
        network = _network(name, classes, weights)
        if image_shape[2] == 1:
            _take_grey(network.get_submodule(_FIRST[name]))
        return _with_top(network, image_shape, classes) if name == DENSENET_TOP else network


def _network(name: str, classes: int, weights: PretrainedWeights) -> Any:  # noqa: ANN401 - torchvision is untyped
    """Return torchvision's network with these weights below its classifier."""
    before_torch()
    from torchvision import models

    network = models.get_model(TORCH_NETWORKS[name], weights=None, num_classes=classes)
    if weights is not None:
        published = models.get_model_weights(TORCH_NETWORKS[name])["IMAGENET1K_V1"]
        path = _download(name, published.url) if weights == "imagenet" else weights
        _load(name, network, path)
    return network


def _take_grey(first: nn.Conv2d) -> None:
    """Let a convolution answer a grey image what it answers three equal channels."""
    first.in_channels = 1
    first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))


def _with_top(network: Any, image_shape: ImageShape, classes: int) -> nn.Module:  # noqa: ANN401 - torchvision is untyped
    height, width = (math.ceil(math.ceil(size / 2) / 2) // 8 for size in image_shape[:2])
    layers: list[nn.Module] = [nn.ReLU(), nn.MaxPool2d((height, width)), nn.Flatten()]
    inputs = network.classifier.in_features
    for wide in TOP_WIDTHS:
        # Keras' batch normalisation, as in the report's head.
        layers += [nn.BatchNorm1d(inputs, eps=1e-3, momentum=0.01), _dense(inputs, wide), nn.ReLU()]
        layers.append(nn.Dropout(TOP_DROPOUT))
        inputs = wide
    return nn.Sequential(network.features, *layers, _dense(inputs, classes))


def _dense(inputs: int, outputs: int) -> nn.Linear:
    """Return a dense layer with Keras' initial weights."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _download(name: str, url: str) -> Path:
    """Return the file of published weights in the cache that torchvision also uses."""
    file = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir(), "checkpoints", file)
    digest = Path(file).stem.rpartition("-")[2]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with bounded_download():
                # It writes to a file beside it, and moves that once its digest is right.
                torch.hub.download_url_to_file(url, str(path), digest, progress=sys.stderr.isatty())
        except (OSError, RuntimeError, HTTPException) as exc:
            raise download_failed(name, tried=url, file=file, exc=exc) from exc
    return path


def _load(name: str, network: nn.Module, path: Path) -> None:
    # Older files have a dot in the names of DenseNet's layers, where modules can have none.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", key): value for key, value in read_state(path).items()}
    load_below(network, state, _CLASSIFIERS, path=path, whose=f"torchvision's {TORCH_NETWORKS[name]}")
