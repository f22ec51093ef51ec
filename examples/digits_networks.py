"""Small networks of handwritten digits in Keras and in torch, for the examples that mix the two frameworks."""

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from cae_backends.datasets import open_data
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.torch.model import TorchModel
from cae_converters.conversion import convert
from cae_converters.torch_to_onnx import export_torch
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.generation.settings import GenerationSettings
from cae_core.models import Model
from cae_core.pool.manifest import PoolMember, Relation
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.statistics.roc import roc_auc
from cae_core.workflows import generate_fingerprint, verify_suspect

__all__ = [
    "Train",
    "fingerprint_and_verify",
    "output_option",
    "train_copy",
    "train_keras",
    "train_other",
    "train_torch",
    "two_halves",
]

KERAS = Contract(layout="NHWC", range=(0.0, 1.0), output="probabilities", channels="GRAY", size=(8, 8))
TORCH = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY", size=(8, 8))
EPOCHS = 40

Train: TypeAlias = Callable[[NDArray[np.uint8], NDArray[np.int64], int, Path], Model]
"""Fits a network to images and labels from a seed, writes it to a path, and returns it."""


def output_option(description: str | None) -> Path:
    """Return the folder that the command line names."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    folder: Path = parser.parse_args().output
    return folder


def two_halves(*, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return the training images of the owner, and those of everybody else."""
    data = open_data("digits", split="train")
    order = np.random.default_rng(seed).permutation(len(data))
    return data.subset(order[: len(order) // 2]), data.subset(order[len(order) // 2 :])


def train_keras(images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int, path: Path) -> Model:
    """Train a Keras network and write it to ``path``: .keras, with its contract beside it, or converted to .onnx."""
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ],
        name=path.stem.replace("-", "_"),
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(as_unit_float(images), labels, batch_size=128, epochs=EPOCHS, verbose=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = path.with_suffix(".keras")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__", category=DeprecationWarning)  # Keras under NumPy 2
        model.save(saved)
    saved.with_suffix(".toml").write_text(
        'layout = "NHWC"\nrange = [0, 1]\noutput = "probabilities"\nchannels = "GRAY"\nsize = [8, 8]\n'
    )
    if path.suffix == ".onnx":
        convert(saved, path)
        saved.unlink()
    return TensorflowModel.from_keras(model, contract=KERAS, device="cpu")


def train_torch(images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int, path: Path) -> Model:
    """Train a torch network and write it to ``path`` (.onnx)."""
    torch.manual_seed(seed)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    x, y = torch.from_numpy(TORCH.to_input(images)), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(x)), 128):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[batch]), y[batch]))
            optimizer.step()
    export_torch(net, path, contract=TORCH, image_shape=(8, 8, 1))
    return TorchModel(net, contract=TORCH, device="cpu")


def train_copy(train: Train, source: Model, data: ImageSet, path: Path) -> None:
    """Train what a thief trains: on the source's labels for images and noisy copies of them, on which models differ.

    The number at the end of the file's name is the seed, of the noise too: every thief asks other questions.
    """
    seed = _seed_of(path)
    noise = np.random.default_rng(seed).normal(0, 60, data.images.shape)
    asked = np.concatenate([data.images, np.clip(data.images + noise, 0, 255).astype(np.uint8)])
    train(asked, source.predict(asked).labels, seed, path)


def train_other(train: Train, data: ImageSet, path: Path) -> None:
    """Train an independent model on the true labels; the number at the end of the file's name is the seed."""
    train(data.images, data.labels, _seed_of(path), path)


def _seed_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def fingerprint_and_verify(
    source: Path,
    surrogates: Sequence[Path],
    references: Sequence[Path],
    suspects: Sequence[tuple[str, Path]],
    *,
    data: ImageSet,
    output: Path,
) -> dict[str, Any]:
    """Generate the source's fingerprint, judge every suspect, print a table, and return CAEAccs and their ROC AUC.

    Args:
        source: the owner's model.
        surrogates: derived from it.
        references: trained without it.
        suspects: ("surrogate" or "reference", a model that nothing above has seen).
        data: benign images.
        output: of the fingerprint.
    """

    def members(paths: Sequence[Path], relation: Relation) -> list[PoolMember]:
        return [PoolMember(path=path, role="generate", relation=relation) for path in paths]

    result = generate_fingerprint(
        GenerationMembers(
            source=PoolMember(path=source, role="source", relation="source"),
            surrogates=members(surrogates, "surrogate"),
            references=members(references, "reference"),
        ),
        data,
        settings=GenerationSettings.from_preset("perturbed", eps=48 / 255, count=50, tau=0.5),
        output=output,
        opened=OpenPool(device="cpu", foreign=lambda _: False),  # they were trained here
    )
    print(f"{output}: {len(result.fingerprint)} examples from {result.seeds_tried} seeds")
    scores: dict[str, list[float]] = {"surrogate": [], "reference": []}
    for relation, path in suspects:
        verdict = verify_suspect(str(path), output, trusted=True, nonce=bytes(16))
        scores[relation].append(verdict.caeacc.value)
        print(f"{relation:<10} {path.name:<24} CAEAcc {verdict.caeacc.value:.2f}  {verdict.decision.verdict}")
    auc = roc_auc(scores["surrogate"], scores["reference"])
    print(f"ROC AUC over these suspects: {auc:.3f}")
    return {**scores, "auc": auc}
