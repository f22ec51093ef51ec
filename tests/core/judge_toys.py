"""A dispute among the toys: linear classifiers in files, which are opened by a function of the tests' own."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.dataset import ImageSet
from cae_core.disputes.regeneration import JudgePool, Regeneration, regenerate
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.white_boxes import WhiteBoxes, open_white_boxes, provenance_of
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.opened import Opened
from cae_core.pool.manifest import PoolMember, Relation, Role
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers, GenerationMembers
from tests.core.toys import SHAPE, LinearModel, quick_settings

CLASSES = 4
NONCE = bytes(range(16))
RATE = 0.05


class ToyPool(OpenPool):
    """Opens the toys' files, with gradients too, by this function or another one for the black boxes."""

    def __init__(self, opener: Callable[[PoolMember], Model] | None = None) -> None:
        super().__init__(opener=opener or opened)

    def open_white_box(
        self, member: PoolMember, *, images: NDArray[np.uint8] | None = None
    ) -> Opened[DifferentiableModel]:
        del images  # by which a file would be checked
        return Opened(model=opened(member), spec=str(member.path), files=self.files(member.path))


def opened(member: PoolMember) -> LinearModel:
    """Open a member: its file holds the weights."""
    return LinearModel(np.load(member.path))


@dataclass(frozen=True)
class Dispute:
    """The parties' models and the judge's, all in one folder."""

    folder: Path
    data: ImageSet
    claimant: GenerationMembers
    judge: JudgePool
    copy: PoolMember
    stranger: PoolMember
    oddity: Floats64
    templates: Floats64

    @property
    def source(self) -> PoolMember:
        return self.judge.source

    def claimant_boxes(self) -> WhiteBoxes:
        """Return the claimant's models, open."""
        return open_white_boxes(self.claimant, opened=ToyPool())

    def claim(self, **settings: Any) -> Fingerprint:  # noqa: ANN401 - of different types
        """Return the claimant's fingerprint."""
        made = generate(
            self.claimant_boxes(), self.data, quick_settings(**settings), provenance=provenance_of(self.claimant)
        )
        return made.fingerprint

    def with_controls(self, count: int, *, surrogates: int = 3) -> JudgePool:
        """Return the judge's pool with control sources of his, each with so many surrogates; their oddities differ."""
        controls: list[GenerationMembers] = []
        for number in range(count):
            random = np.random.default_rng(1000 + number)
            own = random.standard_normal(self.oddity.shape)
            oddities = [own, *(own + 0.1 * random.standard_normal(own.shape) for _ in range(surrogates))]
            paths = [self.folder / f"control-{number}-{i}.npy" for i in range(len(oddities))]
            for path, oddity in zip(paths, oddities, strict=True):
                np.save(path, (3 * (self.templates + 0.9 * oddity)).astype(np.float32))
            controls.append(
                GenerationMembers(
                    source=PoolMember(path=paths[0], role="source", relation="source"),
                    surrogates=[PoolMember(path=path, role="generate", relation="surrogate") for path in paths[1:]],
                    references=self.judge.generating.references,
                )
            )
        return dataclasses.replace(self.judge, controls=tuple(controls))

    def regenerated(
        self, pool: JudgePool | None = None, *, fpr: float = RATE, score: str = "caeacc", behind: tuple[str, ...] = ()
    ) -> Regeneration:
        """Return what the judge makes of the claimed source."""
        return regenerate(
            pool or self.judge,
            self.data,
            settings=quick_settings(count=40),
            calibration=CalibrationSettings(fpr=fpr, score=score, behind=behind),
            nonce=NONCE,
            opened=ToyPool(),
        )


def make_dispute(folder: Path, *, references: int = 19, seed: int = 7) -> Dispute:
    """Make the models; independent ones differ by oddities of their own, copies by a tenth of that."""
    random = np.random.default_rng(seed)
    size = int(np.prod(SHAPE))
    templates = random.standard_normal((size, CLASSES))
    labels = random.permutation(np.arange(300, dtype=np.int64) % CLASSES)
    pixels = 0.5 + 0.05 * templates.T[labels] + 0.02 * random.standard_normal((len(labels), size))
    images = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(-1, *SHAPE)
    own = random.standard_normal((size, CLASSES))

    def member(name: str, oddity: Floats64, role: Role, relation: Relation) -> PoolMember:
        path = folder / f"{name}.npy"
        np.save(path, (3 * (templates + 0.9 * oddity)).astype(np.float32))
        return PoolMember(path=path, role=role, relation=relation)

    def many(name: str, count: int, role: Role, relation: Relation) -> tuple[PoolMember, ...]:
        oddities = [random.standard_normal(own.shape) for _ in range(count)]
        if relation == "surrogate":
            oddities = [own + 0.1 * oddity for oddity in oddities]
        return tuple(member(f"{name}-{i}", oddity, role, relation) for i, oddity in enumerate(oddities))

    def generating(name: str) -> GenerationMembers:
        return GenerationMembers(
            source=source,
            surrogates=many(f"{name}-surrogate", 3, "generate", "surrogate"),
            references=many(f"{name}-reference", 3, "generate", "reference"),
        )

    source = member("source", own, "source", "source")
    judge = JudgePool(
        generating=generating("judge"),
        calibrating=CalibrationMembers(
            references=many("calibrate", references, "calibrate", "reference"),
            surrogates=many("calibrate-copy", 3, "calibrate", "surrogate"),
        ),
    )
    return Dispute(
        folder,
        ImageSet(images, labels, tuple(f"class {j}" for j in range(CLASSES)), "toy"),
        generating("claimant"),
        judge,
        many("copy", 1, "test", "surrogate")[0],
        many("stranger", 1, "test", "reference")[0],
        own,
        templates,
    )
