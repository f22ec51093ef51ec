"""The same kind of small network as a Keras file, an exported program and an ONNX file, each with an odd contract."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cae_backends.tensorflow.runtime import load_keras
from cae_core.arrays import Floats32
from tests.backends.keras_nets import saving

__all__ = ["CLASSES", "IMAGE_SHAPE", "images", "write_keras", "write_onnx", "write_program", "write_unfolded"]

IMAGE_SHAPE = (8, 8, 3)
CLASSES = 4
_CONTRACT = """layout = "{layout}"
range = [0, 255]
output = "probabilities"
channels = "BGR"
mean = [100, 120, 140]
std = [50, 60, 70]
classes = [-1, 3, 2, 1, 0]
"""
"""The first of the five outputs is none of the data's classes."""


def write_keras(path: Path) -> Path:
    """Write a Keras model whose first layer is frozen, with batch norm, dropout and a softmax."""
    keras = load_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input(IMAGE_SHAPE),
            layers.Conv2D(6, 3, trainable=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(CLASSES + 1, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(0)
    for layer, low, high in ((model.layers[0], -0.3, 0.3), (model.layers[1], 0.5, 1.5), (model.layers[-1], -0.2, 0.2)):
        layer.set_weights([rng.uniform(low, high, weight.shape) for weight in layer.get_weights()])
    with saving():
        model.save(path)
    return _with_contract(path, "NHWC")


def write_program(path: Path) -> Path:
    """Write an exported program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own future
        program = torch.export.export(_module(), _example(), dynamic_shapes=({0: torch.export.Dim("n")},))
        torch.export.save(program, path)
    return _with_contract(path, "NCHW")


def write_onnx(path: Path) -> Path:
    """Write an ONNX file whose last layer is a product with a constant and a sum, as Keras' converter writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _module(),
            _example(),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            verbose=False,
        )
    return _with_contract(path, "NCHW")


def write_unfolded(path: Path, module: nn.Module) -> Path:
    """Write ``module``, of images (n, 3, 8, 8) in [0, 1] -> logits, as an ONNX file that has its batch norms yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            _example(),
            path,
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "n"}},
        )
    path.with_suffix(".toml").write_text('layout = "NCHW"\nrange = [0, 1]\noutput = "logits"\n', encoding="utf-8")
    return path


class _Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.empty(6 * 36, CLASSES + 1).uniform_(-0.2, 0.2))
        self.bias = nn.Parameter(torch.empty(CLASSES + 1).uniform_(-0.2, 0.2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.factor + self.bias


class _Net(nn.Module):
    """Registers its layers in another order than it uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.last = _Product()
        self.first, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(torch.relu(self.norm(self.first(x))))
        return torch.softmax(self.last(x.flatten(1)), dim=1)


def _module() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _Net()
        net(torch.randn(64, 3, 8, 8))  # statistics that are not trivial
    return net.eval()


def _example() -> tuple[torch.Tensor]:
    return (torch.zeros(2, 3, 8, 8),)


def _with_contract(path: Path, layout: str) -> Path:
    path.with_suffix(".toml").write_text(_CONTRACT.format(layout=layout), encoding="utf-8")
    return path


def images(count: int, seed: int = 0) -> Floats32:
    """Random canonical images."""
    return np.random.default_rng(seed).random((count, *IMAGE_SHAPE), np.float32)
