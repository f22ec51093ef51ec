"""The models of a public contest in finding stolen models (tml26, task 2), as its participants' code lays them out.

    python examples/tml26_suspects.py path/to/task2 --output tml26
    cae pool train plan.toml --pool tml26/members/pool.toml       # a plan whose source is tml26/source.onnx
    cae scan tml26/suspects --fingerprint fingerprint.safetensors

The folder holds ``target_model/weights.safetensors``, the images that it was trained on
(``target_model/train_main_idx.json``, places in CIFAR-100's training images), and the suspects
``suspect_models/0.safetensors`` or ``suspect_models/0/weights.safetensors`` and so on: ResNet-18s for images of 32x32.
Which of them are stolen is not published, so they are exported for `cae scan` and get no role in a pool. The source
gets a manifest of its own, which says what it was trained on. What is exported already is not exported again.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from cae_backends.torch.weights import load_weights
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.errors import CaeError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.files.storage import write_atomically
from cae_core.pool.manifest_writing import write_manifest
from cae_core.reading import read_limited, reading

CLASSES, SIDE, IMAGES = 100, 32, 50_000

CONTRACT = Contract(
    layout="NCHW",
    range=(0.0, 1.0),
    output="logits",
    channels="RGB",
    size=(SIDE, SIDE),
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
)
"""As the participants' code normalises CIFAR-100."""

TARGET, PLACES, SUSPECTS = "target_model/weights.safetensors", "target_model/train_main_idx.json", "suspect_models"

_LARGEST = 1 << 24
"""Bytes of the list of places at most."""


def network() -> Any:  # noqa: ANN401 - a torch module
    """Return an untrained ResNet-18 with a first convolution of 3x3 and no pooling after it."""
    module: Any = torchvision.models.resnet18(weights=None, num_classes=CLASSES)
    module.conv1 = torch.nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    module.maxpool = torch.nn.Identity()
    return module


def suspects_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each suspect's name and file, in the order of their numbers."""
    found = {path.stem: path for path in (folder / SUSPECTS).glob("*.safetensors")}
    found |= {path.parent.name: path for path in (folder / SUSPECTS).glob("*/weights.safetensors")}
    yield from sorted(found.items(), key=lambda one: (len(one[0]), one[0]))


def places_in(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the places, int64 (k,), of the images that the source was trained on.

    Raises:
        PoolError: the file is no list of places among CIFAR-100's training images.
    """
    with reading(path, PoolError, fault="this is no list of places among the training images of CIFAR-100"):
        listed = json.loads(read_limited(path, _LARGEST))
        if isinstance(listed, dict):  # the list may have a name
            (listed,) = (value for value in listed.values() if isinstance(value, list))
        if not all(type(place) is int and 0 <= place < IMAGES for place in listed):
            raise ValueError(f"expected whole numbers below {IMAGES}")
        return np.unique(np.array(listed, dtype=np.int64))


def exported(weights: Path, target: Path) -> None:
    """Write the network with these weights to ``target``, unless it is there.

    Raises:
        CaeError: the file holds no weights of that network, or see `export_torch`.
    """
    if target.exists():
        return
    module = network()
    load_weights(module, weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    export_torch(module, target, contract=CONTRACT, image_shape=(SIDE, SIDE, 3), reuse_graph=True)


def make_source(folder: Path, output: Path) -> Path:
    """Export the source and return its manifest.

    Raises:
        CaeError: it is missing, or cannot be exported; or the list of its images is none.
    """
    if not (folder / TARGET).is_file():
        raise PoolError(f"{folder / TARGET}: the source is expected here. Name the folder that holds target_model/.")
    exported(folder / TARGET, output / "source.onnx")
    row: dict[str, Any] = {
        "path": "source.onnx",
        "role": "source",
        "relation": "source",
        "kind": "trained on the true labels",
        "architecture": "ResNet-18",
        "sha256": sha256_of_file(output / "source.onnx"),
    }
    if (folder / PLACES).exists():
        np.save(output / "places.npy", places_in(folder / PLACES))
        row["trained_on"] = {"data": "cifar100", "split": "train", "count": IMAGES, "indices": "places.npy"}
    write_manifest(output / "pool.toml", [row])
    return output / "pool.toml"


def export_suspects(folder: Path, output: Path) -> list[str]:
    """Export every suspect to ``output / "suspects"``; return a sentence for each that was left out."""
    left = []
    for name, weights in suspects_in(folder):
        try:
            exported(weights, output / "suspects" / f"{name}.onnx")
        except CaeError as error:
            left.append(str(error))
    write_atomically(output / "left-out.txt", "".join(f"{line}\n" for line in left).encode())
    return left


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description="The models of tml26's task 2 for `cae scan`.")
    parser.add_argument("folder", type=Path, help="that holds target_model/ and suspect_models/")
    parser.add_argument("--output", type=Path, default=Path("tml26"))
    options = parser.parse_args()
    try:
        print(make_source(options.folder, options.output))
        for line in export_suspects(options.folder, options.output):
            print(f"left out: {line}", file=sys.stderr)
    except CaeError as error:
        sys.exit(f"tml26_suspects: {error}")


if __name__ == "__main__":
    main()
