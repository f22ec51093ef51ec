"""What a reader of the pages has before he begins: data, models, a pool, a fingerprint. All of it tiny.

The models are linear in the pixels: fitted in a moment, and as different from one another as networks are.
"""

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from cae_backends.datasets import open_data
from cae_core.arrays import Floats64
from cae_core.dataset import ImageSet
from tests.cli.conftest import CONTRACT, member_table, save_graph

__all__ = ["COLOURS", "DIGITS", "World", "linear_onnx", "write_cifar", "write_mnist", "write_pool"]

DIGITS, COLOURS = (8, 8, 1), (32, 32, 3)
_GAIN = 12.0
"""Of the logits, so that probabilities are those of a network that is sure."""


@dataclass(frozen=True)
class Linear:
    """A classifier: logits = pixels in [0, 1], flattened, times ``weights`` (h·w·k, c), plus ``bias`` (c,)."""

    weights: Floats64
    bias: Floats64

    def __call__(self, images: NDArray[np.uint8]) -> Floats64:
        return images.reshape(len(images), -1) / 255 @ self.weights + self.bias


def fitted(images: NDArray[np.uint8], targets: Floats64, *, decay: float = 1.0) -> Linear:
    """Return the ridge regression of ``targets`` (n, c) on the pixels."""
    x = images.reshape(len(images), -1) / 255
    mean = x.mean(axis=0)
    small = np.linalg.solve((x - mean) @ (x - mean).T + decay * np.eye(len(x)), targets - targets.mean(axis=0))
    weights = (x - mean).T @ small
    return Linear(weights, targets.mean(axis=0) - mean @ weights)


@dataclass(frozen=True)
class World:
    """Models of one task.

    Attributes:
        source: the owner's.
        data: to draw thieves' queries and others' images from.
        rng: that draws them.
    """

    source: Linear
    data: ImageSet
    rng: np.random.Generator

    @classmethod
    def of(cls, data: ImageSet) -> "World":
        rng = np.random.default_rng(0)
        own = data.subset(rng.permutation(len(data))[: len(data) // 3])
        return cls(_trained(own, rng), data, rng)

    def surrogate(self) -> Linear:
        """Return a copy of the source, its weights moved a little."""
        weights = self.source.weights
        noise = self.rng.normal(0, self.rng.uniform(0.05, 0.2) * weights.std(), weights.shape)
        return Linear(weights + noise, self.source.bias)

    def reference(self) -> Linear:
        """Return what somebody else fits to the truth, on images of his own."""
        return _trained(self.data.subset(self.rng.permutation(len(self.data))[: len(self.data) // 3]), self.rng)


def _trained(data: ImageSet, rng: np.random.Generator) -> Linear:
    truth = _GAIN * (np.eye(len(data.class_names))[data.labels] - 1 / len(data.class_names))
    return fitted(data.images, truth, decay=float(rng.uniform(0.2, 1)))


def linear_onnx(path: Path, model: Linear, shape: tuple[int, int, int], *, probabilities: bool = False) -> None:
    """Write a model that takes (n, h, w, k) in [0, 1]; or one of [0, 255] that says nothing and answers a softmax."""
    scale = 1 / 255 if probabilities else 1
    weights = {"w": (model.weights * scale).astype(np.float32), "b": model.bias.astype(np.float32)}
    nodes = [helper.make_node("Flatten", ["image"], ["x"], axis=1)]
    if probabilities:
        nodes += [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Softmax", ["h"], ["logits"])]
    else:
        nodes += [helper.make_node("Gemm", ["x", "w", "b"], ["logits"])]
    save_graph(path, nodes, weights, shape=("n", *shape), metadata={} if probabilities else CONTRACT)


def write_pool(folder: Path, world: World, shape: tuple[int, int, int], *, source: Path) -> None:
    """Write ``pool.toml`` with a source that is there, 4 + 4 models to generate and 9 + 19 to calibrate with."""
    tables = [member_table(source, "source", "source", folder=folder)]
    for role, relation, count in _members():
        for number in range(count):
            path = folder / role / f"{relation}-{number}.onnx"
            linear_onnx(path, world.surrogate() if relation == "surrogate" else world.reference(), shape)
            tables.append(member_table(path.relative_to(folder), role, relation, folder=folder))
    (folder / "pool.toml").write_text("\n".join(tables), encoding="utf-8")


def _members() -> Iterator[tuple[str, str, int]]:
    yield from (("generate", relation, 4) for relation in ("surrogate", "reference"))
    yield from (("calibrate", relation, count) for relation, count in (("surrogate", 9), ("reference", 19)))


def write_cifar(folder: Path) -> None:
    """Write ``cifar-10-batches-py`` as it is published: ten patterns of colour, and noise."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(118, 138, (10, 4, 4, 3))
    patterns = np.kron(coarse, np.ones((1, 8, 8, 1)))
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    names = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]
    (batches / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, protocol=2))
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        labels = rng.permutation(200) % 10
        images = np.clip(patterns[labels] + rng.normal(0, 50, (200, *COLOURS)), 0, 255).astype(np.uint8)
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        (batches / name).write_bytes(pickle.dumps({b"data": rows, b"labels": labels.tolist()}, protocol=2))


def write_mnist(folder: Path) -> None:
    """Write the four IDX files of MNIST, with few images, in ``mnist``."""
    (folder / "mnist").mkdir()
    rng = np.random.default_rng(6)
    for part, count in (("train", 60), ("t10k", 40)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        head, tail = struct.pack(">4I", 0x803, count, 28, 28), struct.pack(">2I", 0x801, count)
        (folder / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(head + images)
        (folder / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(tail + bytes(i % 10 for i in range(count)))


def digits() -> World:
    """The task of most pages."""
    return World.of(open_data("digits", split="train"))


def colours(folder: Path) -> World:
    """The task of the pages about CIFAR-10; its images are written into ``folder``."""
    write_cifar(folder)
    return World.of(open_data(str(folder / "cifar-10-batches-py"), split="train"))
