"""The models of SAC (Guan, Liang & He, NeurIPS 2022), as its authors' code lays them out, as a pool of `cae`.

    python examples/sacbench_pool.py path/to/SAC --output sacbench
    cae compare --pool sacbench/pool.toml --data cifar10 --method akh --method sac --output comparison

The folder holds state dicts of torchvision's networks with ten outputs. Each is read without running code of the file,
exported to ONNX with its contract, and named in a manifest. Of each kind and architecture there are five models: of the
copies the first goes to the role *generate* and the others to *test*; of the independent ones the first to *generate*,
the next three to *calibrate* and the last to *test*. Left out: pruned models, which are whole pickled objects, and
those of other labels (CIFAR-100, CIFAR-10-C). What is exported already is not exported again.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision

from cae_backends.torch.weights import load_weights
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.errors import CaeError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest_writing import write_manifest

CLASSES, SIDE = 10, 32

CONTRACT = Contract(
    layout="NCHW",
    range=(0.0, 1.0),
    output="logits",
    channels="RGB",
    size=(SIDE, SIDE),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)
"""As the authors' code normalises CIFAR-10."""


@dataclass(frozen=True)
class Found:
    """A model of the layout.

    Attributes:
        path: of the state dict.
        name: of the exported file.
        role: in the pool.
        relation: to the source.
        kind: how it was made.
        architecture: a function of torchvision.
    """

    path: Path
    name: str
    role: str
    relation: str
    kind: str
    architecture: str


SOURCE = "vgg16_bn"
STUDENTS = ("vgg13", "resnet18", "densenet121", "mobilenet_v2")
"""Of the numbers 0 to 4, 5 to 9, 10 to 14 and 15 to 19."""

KINDS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("model/student_model_1_{}.pth", "surrogate", "hard labels", STUDENTS),
    ("model/student_model_kd_{}.pth", "surrogate", "distilled", STUDENTS),
    ("adv_train/adv_{}.pth", "surrogate", "adversarially trained on hard labels", STUDENTS),
    ("finetune_10/finetune{}.pth", "surrogate", "fine-tuned", (SOURCE,) * 4),
    ("model/clean_model_{}.pth", "reference", "independent", STUDENTS),
)
"""File, relation, kind and the architecture of each five."""


def found_in(folder: Path) -> Iterator[Found]:
    """Yield the models that are there, the source first.

    Raises:
        PoolError: there is no source.
    """
    source = folder / "model/vgg_model.pth"
    if not source.is_file():
        raise PoolError(f"{source}: the source is expected here. Name the folder that holds model/vgg_model.pth.")
    yield Found(source, "source", "source", "source", "trained on the true labels", SOURCE)
    for pattern, relation, kind, architectures in KINDS:
        for number in range(5 * len(architectures)):
            path = folder / pattern.format(number)
            if path.is_file():
                role = role_of(relation, number % 5)
                yield Found(path, path.stem, role, relation, kind, architectures[number // 5])


def role_of(relation: str, place: int) -> str:
    """Return the role of the model at a ``place``, 0 to 4, among those of its kind and architecture."""
    if place == 0:
        return "generate"
    return "calibrate" if relation == "reference" and place < 4 else "test"


def network(architecture: str) -> Any:  # noqa: ANN401 - a torch module
    """Return an untrained network of torchvision with ten outputs."""
    build: Callable[..., Any] = getattr(torchvision.models, architecture)
    return build(weights=None, num_classes=CLASSES)


def exported(found: Found, target: Path) -> None:
    """Write the model to ``target``.

    Raises:
        CaeError: the file holds no weights of that architecture, or see `export_torch`.
    """
    module = network(found.architecture)
    load_weights(module, found.path)
    export_torch(module, target, contract=CONTRACT, image_shape=(SIDE, SIDE, 3), reuse_graph=True)


def make_pool(folder: Path, output: Path) -> Path:
    """Export every model of ``folder`` and return the manifest, which names those of which the export succeeded.

    Raises:
        PoolError: the source is missing, or cannot be exported.
    """
    rows: list[dict[str, Any]] = []
    for found in found_in(folder):
        target = output / "models" / f"{found.name}.onnx"
        try:
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                exported(found, target)
        except CaeError as error:
            if found.relation == "source":
                raise
            print(f"left out: {error}", file=sys.stderr)
            continue
        rows.append(
            {
                "path": f"models/{target.name}",
                "role": found.role,
                "relation": found.relation,
                "kind": found.kind,
                "architecture": found.architecture,
                "sha256": sha256_of_file(target),
            }
        )
        print(f"{len(rows)}: {target}")
    write_manifest(output / "pool.toml", rows)
    return output / "pool.toml"


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description="SAC's public models as a pool of cae.")
    parser.add_argument("folder", type=Path, help="that holds model/vgg_model.pth")
    parser.add_argument("--output", type=Path, default=Path("sacbench"))
    options = parser.parse_args()
    try:
        print(make_pool(options.folder, options.output))
    except CaeError as error:
        sys.exit(f"sacbench_pool: {error}")


if __name__ == "__main__":
    main()
