"""A pool of linear classifiers in memory, with every role, and an `OpenPool` that counts what is asked."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Images
from cae_core.dataset import ImageSet
from cae_core.files.digests import sha256_of_text
from cae_core.models import DifferentiableModel, Model, Predictions
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import Opened
from cae_core.pool.manifest import Pool, PoolMember, Relation, Role
from cae_core.pool.members import OpenPool
from tests.core.toys import SHAPE, LinearModel

CLASSES = 4


class Counting(LinearModel):
    """Counts how often it is asked, and how many images."""

    def __init__(self, weights: Floats64) -> None:
        super().__init__(weights)
        self.calls: list[int] = []

    def predict(self, images: Images) -> Predictions:
        self.calls.append(len(images))
        return super().predict(images)


class ToyOpen(OpenPool):
    """Opens the models of a `ToyPool` by name."""

    def __init__(self, models: dict[str, Counting]) -> None:
        super().__init__()
        self.models, self.opened = models, Counter[str]()

    def digest(self, member: PoolMember) -> str:
        return sha256_of_text(member.name)

    def expect(self, members: Iterable[PoolMember], *, gradients: bool = False) -> None:
        pass

    def open(self, member: PoolMember, *, keep: bool = False) -> Opened[Model]:  # noqa: ARG002
        self.opened[member.name] += 1
        return Opened(model=self.models[member.name], spec=member.name, files=ModelFiles(member.name), contract=None)

    def open_white_box(
        self,
        member: PoolMember,
        *,
        images: NDArray[np.uint8] | None = None,  # noqa: ARG002
    ) -> Opened[DifferentiableModel]:
        model = self.models[member.name]
        return Opened(model=model, spec=member.name, files=ModelFiles(member.name), contract=None)


@dataclass(frozen=True)
class ToyPool:
    """A manifest's members, the models behind them, and the images."""

    pool: Pool
    data: ImageSet
    models: dict[str, Counting] = field(repr=False)

    def opened(self) -> ToyOpen:
        """Return what opens them; the counts of the models begin anew."""
        for model in self.models.values():
            model.calls.clear()
        return ToyOpen(self.models)


def toy_pool(*, references: int = 20, probes: int = 300, seed: int = 7) -> ToyPool:
    """Make a source, 3 + 3 models to generate with, 2 + 2 to screen, references to calibrate, 3 + 2 + 5 to test."""
    random = np.random.default_rng(seed)
    size = int(np.prod(SHAPE))
    templates = random.standard_normal((size, CLASSES))
    labels = random.permutation(np.arange(probes, dtype=np.int64) % CLASSES)
    pixels = 0.5 + 0.03 * templates.T[labels] + 0.06 * random.standard_normal((probes, size))
    images = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(probes, *SHAPE)
    data = ImageSet(images, labels, tuple(f"class {j}" for j in range(CLASSES)), "toy")
    members, models = list[PoolMember](), dict[str, Counting]()
    own = templates + 0.9 * random.standard_normal((size, CLASSES))

    def add(role: Role, relation: Relation, count: int, kind: str, spread: float) -> None:
        for i in range(count):
            name = f"{role}-{relation}-{kind}-{i}".replace(" ", "-")
            base = own if relation != "reference" else templates
            weights = base + spread * random.standard_normal(base.shape)
            models[name] = Counting(3 * weights / np.sqrt(size))
            members.append(PoolMember(path=Path(f"/models/{name}.onnx"), role=role, relation=relation, kind=kind))

    add("source", "source", 1, "source", 0.0)
    for role, count in (("generate", 3), ("screen", 2)):
        add(role, "surrogate", count, "near", 0.2)  # type: ignore[arg-type]
        add(role, "reference", count, "honest", 0.9)  # type: ignore[arg-type]
    add("calibrate", "reference", references, "honest", 0.9)
    add("test", "surrogate", 3, "near", 0.1)
    add("test", "surrogate", 2, "far", 0.6)
    add("test", "reference", 5, "honest", 0.9)
    return ToyPool(Pool(tuple(members), "/models/pool.toml"), data, models)
