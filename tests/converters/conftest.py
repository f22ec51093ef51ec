"""Classifiers of the digits, made without training: random filters, and a readout by least squares."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.datasets import open_data
from cae_core.contract import Contract
from cae_core.dataset import ImageSet

TORCH_CONTRACT = Contract(
    layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY", size=(8, 8), mean=(0.3,), std=(0.4,)
)


def readout(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (features + 1, 10): the weights, and below them the offsets, of a linear classifier."""
    known = np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
    wanted = 5 * np.eye(10)[labels]
    return np.linalg.solve(known.T @ known + 0.1 * np.eye(known.shape[1]), known.T @ wanted).astype(np.float32)


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return open_data("digits", split="test")


@pytest.fixture(scope="session")
def torch_classifier() -> nn.Module:
    """It takes what `TORCH_CONTRACT` makes, and answers logits."""
    torch.manual_seed(3)
    train = open_data("digits", split="train")
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    x = torch.from_numpy(TORCH_CONTRACT.to_input(train.images))
    with torch.no_grad():
        body(x)  # moves the running statistics of the batch norm
        weights = torch.from_numpy(readout(body.eval()(x).numpy(), train.labels))
        head = nn.Linear(128, 10)
        head.weight.copy_(weights[:-1].T)
        head.bias.copy_(weights[-1])
    return nn.Sequential(body, head).eval()


def save_keras(model: Any, path: Path) -> None:  # noqa: ANN401 - Keras has no types
    """Save a Keras model, whose weights NumPy 2.4 warns about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model.save(path)


def write_sidecar(path: Path, contract: Contract) -> None:
    """Write ``contract``, of simple values, beside the model file ``path``."""
    fields = {"layout": contract.layout, "range": list(contract.range), "output": contract.output}
    fields |= {name: value for name in ("channels", "resize") if (value := getattr(contract, name)) is not None}
    fields |= {name: list(value) for name in ("size", "mean", "std", "classes") if (value := getattr(contract, name))}
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in fields.items()]
    path.with_suffix(".toml").write_text("\n".join(["[contract]", *lines, ""]))
