"""Honest competitors and copies made by hand: a Keras source, PyTorch suspects that share no code with its pool.

    python examples/hand_made_models.py --output hand-made

The owner has half of the digits' training images and a Keras network. His pool is the plan `digits-parts.toml` with
that network as its source. Twenty competitors are trained by loops of their own, on images of their own: five networks,
four sets of images, other optimisers and lengths. Nine copies are made of the source. All are judged at 5 % by the
commands that a user types. What is there is not made again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cae_backends.datasets import open_data
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.torch.model import TorchModel
from cae_converters.conversion import convert
from cae_converters.torch_to_onnx import export_torch
from cae_core.dataset import ImageSet
from cae_core.models import Model
from digits_networks import KERAS, TORCH, train_copy, train_keras, train_torch

PLAN = Path(__file__).parent / "pools" / "digits-parts.toml"
nn = torch.nn

NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "perceptron": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.Tanh(), nn.Linear(200, 10)),
    "deep perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)
    ),
    "wide": lambda: nn.Sequential(
        nn.Conv2d(1, 48, 5, padding=2), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(768, 10)
    ),
    "three convolutions": lambda: nn.Sequential(
        nn.Conv2d(1, 12, 3),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 10),
    ),
    "normalised": lambda: nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(256, 10),
    ),
}


def main() -> None:
    """Make what is missing, judge, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    folder: Path = parser.parse_args().output
    source = _source(folder)
    _fingerprint(folder)
    lines = ["| suspect | made as | accuracy | CAEAcc | p | verdict |", "| --- | --- | --- | --- | --- | --- |"]
    counts: dict[str, dict[str, int]] = {"honest": {}, "copy": {}}
    for path, made in [*_honest(folder), *_copies(folder, source)]:
        fingerprint = folder / "fingerprint.safetensors"
        verdict = json.loads(_cae("verify", "-s", path, "-f", fingerprint, "--no-ledger", "--json"))
        kind = path.parent.name
        counts[kind][verdict["verdict"]] = counts[kind].get(verdict["verdict"], 0) + 1
        lines.append(
            f"| {path.stem} | {made} | {verdict['benign_accuracy']:.3f} | {verdict['caeacc']:.2f} | "
            f"{verdict['p_value']:.3f} | {verdict['verdict']} |"
        )
    text = "\n".join([*(f"{kind}: {found}" for kind, found in counts.items()), "", *lines]) + "\n"
    (folder / "hand-made.md").write_text(text)
    print(text)


def _source(folder: Path) -> Model:
    """Return the owner's Keras network; its images are the plan's part ``owner``."""
    path = folder / "source.keras"
    if not path.exists():
        owner, _ = _parts()
        train_keras(owner.images, owner.labels, 7, path)
    keras = load_keras()
    return TensorflowModel.from_keras(keras.models.load_model(path), contract=KERAS, device="cpu")


def _parts() -> tuple[ImageSet, ImageSet]:
    """Return the owner's images and everybody else's, as the plan draws them."""
    data = open_data("digits", split="train")
    order = np.random.default_rng(7).permutation(len(data))
    half = round(0.5 * len(data))
    return data.subset(order[:half]), data.subset(order[half:])


def _fingerprint(folder: Path) -> None:
    plan = folder / "plan.toml"
    before, rest = PLAN.read_text().split("[source]")
    plan.write_text(f'{before}[source]\nfile = "source.keras"\n{rest[rest.index("[[members]]") :]}')
    path, pool = folder / "fingerprint.safetensors", folder / "pool" / "pool.toml"
    _cae("pool", "train", plan, "--pool", pool)
    if not path.exists():
        made = folder / "uncalibrated.safetensors"
        _cae("generate", "--pool", pool, "--data", "digits", "--eps", "48/255", "--tau", "0.6", "--trusted", "-o", made)
        _cae("calibrate", "--pool", pool, "-f", made, "--trusted", "-o", path)


def _cae(*arguments: Any) -> str:  # noqa: ANN401 - whatever has a text
    command = [sys.executable, "-m", "cae_cli", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our own


def _honest(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield twenty competitors: each network on four sets of images."""
    _, others = _parts()
    everything = open_data("digits", split="train")
    sets: dict[str, Callable[[np.random.Generator], ImageSet]] = {
        "the others' images": lambda _: others,
        "300 of the others' images": lambda rng: others.subset(rng.permutation(len(others))[:300]),
        "a random half of everybody's": lambda rng: everything.subset(rng.permutation(len(everything))[:599]),
        "the others', moved and noisy": lambda rng: _moved(others, rng),
    }
    for place, (network, make) in enumerate(NETWORKS.items()):
        for number, (name, images) in enumerate(sets.items()):
            seed = 1000 + 10 * place + number
            path = folder / "honest" / f"honest-{seed}.onnx"
            if not path.exists():
                data = images(np.random.default_rng(seed))
                _fit(make, data.images, data.labels, seed, path)
            yield path, f"{network}, {name}"


def _moved(data: ImageSet, rng: np.random.Generator) -> ImageSet:
    moved = np.stack([np.roll(image, rng.integers(-1, 2, 2), (0, 1)) for image in data.images])
    noisy = np.clip(moved + rng.normal(0, 20, moved.shape), 0, 255).astype(np.uint8)
    return ImageSet(np.concatenate([data.images, noisy]), np.tile(data.labels, 2), data.class_names)


def _fit(
    make: Callable[[], torch.nn.Module], images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int, path: Path
) -> Model:
    """Train by a loop that is none of the pool's: stochastic gradients for even seeds, Adam with decay for odd ones."""
    torch.manual_seed(seed)
    net, x, y = make(), torch.from_numpy(TORCH.to_input(images)), torch.from_numpy(labels)
    optimizer = (
        torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
        if seed % 2
        else torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, nesterov=True)
    )
    for _ in range(30 + 5 * (seed % 5)):
        for batch in torch.split(torch.randperm(len(x)), 32):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x[batch]), y[batch]))
            optimizer.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    export_torch(net.eval(), path, contract=TORCH, image_shape=(8, 8, 1))
    return TorchModel(net, contract=TORCH, device="cpu")


def _copies(folder: Path, source: Model) -> Iterator[tuple[Path, str]]:
    """Yield nine copies: the file itself, three with changed weights, and five that learned its labels."""
    owner, others = _parts()
    place = folder / "copy"
    place.mkdir(exist_ok=True)
    exact = place / "copy-1.onnx"
    if not exact.exists():
        convert(folder / "source.keras", exact)
    yield exact, "converted to ONNX"
    changes = (
        ("fine-tuned", others),
        ("fine-tuned on the owner's images", owner),
        ("noise of 3 % on all weights", None),
    )
    for seed, (made, data) in enumerate(changes, 2):
        path = place / f"copy-{seed}.onnx"
        if not path.exists():
            _changed(folder / "source.keras", data, seed, path)
        yield path, made
    for seed in range(11, 16):
        path = place / f"copy-{seed}.onnx"
        if not path.exists():
            train_copy(train_torch if seed % 2 else _perceptron, source, others, path)
        yield path, "its labels for the others' images, " + ("convolutions" if seed % 2 else "perceptron")


def _perceptron(images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int, path: Path) -> Model:
    return _fit(NETWORKS["deep perceptron"], images, labels, seed, path)


def _changed(source: Path, data: ImageSet | None, seed: int, path: Path) -> None:
    """Write the source with its weights trained on, or with noise on them."""
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    model = keras.models.load_model(source)
    if data is None:
        rng = np.random.default_rng(seed)
        model.set_weights([w + 0.03 * w.std() * rng.normal(size=w.shape) for w in model.get_weights()])
    else:
        model.compile(optimizer=keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy")
        model.fit(KERAS.to_input(data.images), data.labels, batch_size=64, epochs=5, verbose=0)
    saved = path.with_suffix(".keras")
    model.save(saved)
    saved.with_suffix(".toml").write_text(source.with_suffix(".toml").read_text())
    convert(saved, path)
    saved.unlink()
    saved.with_suffix(".toml").unlink()


if __name__ == "__main__":
    main()
