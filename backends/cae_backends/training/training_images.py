"""On which images each member of a pool was trained, as its manifest tells it; see `cae_core.pool.trained_on`."""

from dataclasses import asdict, dataclass
from typing import Any, Self

from cae_backends.training.jobs import PoolJob
from cae_backends.training.kinds.table import find_kind
from cae_backends.training.pool_store import PoolData
from cae_core.arrays import sha256_of

__all__ = ["TrainingImages"]


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """Digests and sizes of a pool's images.

    Attributes:
        train: SHA-256 of the training images and labels.
        test: likewise of the test images.
        count: number of training images.
        foreign: SHA-256 and number of the images that thieves with foreign queries ask about; None without any.
    """

    train: str
    test: str
    count: int
    foreign: tuple[str, int] | None

    @classmethod
    def of(cls, data: PoolData) -> Self:
        """Return those of a pool's data."""
        foreign = None if data.foreign is None else (sha256_of(data.foreign), len(data.foreign))
        return cls(train=data.train.sha256(), test=data.test.sha256(), count=len(data.train), foreign=foreign)

    def seen_by(self, job: PoolJob) -> dict[str, Any] | None:
        """Return what a job's model saw, as a manifest has it; None where it is not known, or its parent's too."""
        kind = find_kind(job.kind)
        if job.origin is not None or kind.copies or not kind.known_images:
            return None
        data, count, apart_from = self.train, self.count, [self.test]
        foreign = self.foreign if job.queries == "foreign" else None
        if foreign is not None:
            (data, count), apart_from = foreign, [self.test, self.train]
        seen: dict[str, Any] = {"data": data, "count": count, "apart_from": apart_from}
        if foreign is None and job.part is not None:
            seen["part"] = asdict(job.part)
        if kind.trained and job.recipe.share < 1:
            seen |= {"share": job.recipe.share, "seed": job.seed if job.images_seed is None else job.images_seed}
        return seen
