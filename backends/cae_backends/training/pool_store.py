"""The folder of a trained pool: what is finished, and how a result is kept.

A job's files are ``<role>/<name>.onnx`` (the model), ``state/<digest>.safetensors`` (its weights, where jobs
derive from it) and ``state/<digest>.json`` (the record, written last), where the digest is that of all inputs. A job
counts as finished only where its record is there and the files have the record's digests; so a run that was killed at
any moment is simply started again.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.execution.crew import Shared
from cae_backends.training.jobs import PoolJob
from cae_core.arrays import sha256_of
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.files.digests import sha256_of_file
from cae_core.files.storage import write_atomically
from cae_core.opening.model_files import suspect_digest

__all__ = ["MadeMember", "PoolData", "PoolStore", "Record", "Result", "pack_data", "unpack_data"]


@dataclass(frozen=True)
class PoolData:
    """The images of a pool.

    Attributes:
        train: images for training.
        test: images on which the members' accuracy is measured.
        foreign: images (n, h, w, k) of something else, that some thieves ask about; None where there are none.
    """

    train: ImageSet
    test: ImageSet
    foreign: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        for images in (self.test.images, self.foreign):
            if images is not None and images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(
                    f"All images of a pool have one shape; found {self.train.images.shape[1:]} and {images.shape[1:]}."
                )

    def sha256(self) -> str:
        """Return one digest of all."""
        parts = [self.train.sha256(), self.test.sha256()]
        if self.foreign is not None:
            parts.append(sha256_of(self.foreign))
        return "/".join(parts)


def pack_data(data: PoolData) -> bytes:
    """Return ``data`` as an ``.npz`` file's bytes."""
    file = io.BytesIO()
    foreign = {} if data.foreign is None else {"foreign": data.foreign}
    np.savez(
        file,
        allow_pickle=False,
        train_images=data.train.images,
        train_labels=data.train.labels,
        test_images=data.test.images,
        test_labels=data.test.labels,
        class_names=np.array(data.train.class_names),
        **foreign,
    )
    return file.getvalue()


def unpack_data(packed: bytes | Path) -> PoolData:
    """Read what `pack_data` made, or a file of it."""
    with np.load(io.BytesIO(packed) if isinstance(packed, bytes) else packed, allow_pickle=False) as file:
        names = tuple(str(name) for name in file["class_names"])
        train = ImageSet(file["train_images"], file["train_labels"], names)
        test = ImageSet(file["test_images"], file["test_labels"], names)
        return PoolData(train, test, file.get("foreign"))


@dataclass(frozen=True)
class MadeMember:
    """One model that a job has made: the ONNX file and its accuracy on the test images."""

    model: bytes
    accuracy: float


@dataclass(frozen=True)
class Result:
    """What a job sends home.

    Attributes:
        members: the model, then its snapshots.
        weights: the model's, as safetensors; empty where nothing derives from them.
        contract: that the exporter was told; empty where the file says it.
        seconds: seconds that the job took.
        validation: see `Made.validation`.
    """

    members: tuple[MadeMember, ...]
    weights: bytes
    contract: dict[str, Any]
    seconds: float
    validation: tuple[float, ...] = ()


@dataclass(frozen=True)
class Record:
    """What is kept about a finished job; the lists run over its members."""

    digest: str
    models_sha256: list[str]
    accuracies: list[float]
    weights_sha256: str
    contract: dict[str, Any]
    seconds: float
    validation: list[float] = field(default_factory=list[float])
    """Left out where it is empty, as in the records of before."""


@dataclass(frozen=True)
class PoolStore:
    """The files below ``folder``."""

    folder: Path

    def model_paths(self, job: PoolJob) -> tuple[Path, ...]:
        """Return where the models of ``job`` lie, its snapshots included."""
        if job.origin is not None:
            return (Path(os.path.abspath(job.origin)),)  # noqa: PTH100 - links stay links
        return tuple(self.folder / job.role / f"{name}.onnx" for name in job.member_names())

    def weights_path(self, digest: str) -> Path:
        """Return where the weights of the job with this digest lie."""
        return self.folder / "state" / f"{digest}.safetensors"

    def _record_path(self, digest: str) -> Path:
        return self.folder / "state" / f"{digest}.json"

    def shared(self, data: PoolData) -> Shared[PoolData]:
        """Return ``data`` as a crew takes them; local processes read them from a file of this folder."""
        return Shared(
            name=data.sha256(),
            store=lambda: self._store_data(data),
            pack=lambda: pack_data(data),
            unpack=unpack_data,
        )

    def _store_data(self, data: PoolData) -> Path:
        """Store ``data`` under a name derived from its content, and return the path."""
        digest = hashlib.sha256(data.sha256().encode()).hexdigest()
        path = self.folder / "state" / f"data-{digest[:32]}.npz"
        if not path.exists():
            write_atomically(path, pack_data(data))
        return path

    def finished(self, job: PoolJob, digest: str) -> Record | None:
        """Return the record of ``job`` where it is done with these inputs and its files are whole, else None."""
        try:
            record = Record(**json.loads(self._record_path(digest).read_text(encoding="utf-8")))
            if self._digests(job) != record.models_sha256:
                return None
            if record.weights_sha256 and sha256_of_file(self.weights_path(digest)) != record.weights_sha256:
                return None
        except (OSError, ValueError, TypeError):  # missing, not JSON, or of another version: then it is not done
            return None
        return record

    def keep(self, job: PoolJob, digest: str, result: Result) -> Record:
        """Write the files of a job, the record last.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        paths = self.model_paths(job)
        for path, member in zip(paths, result.members, strict=True):
            if job.origin is None:
                write_atomically(path, member.model)
        weights = ""
        if result.weights:
            write_atomically(self.weights_path(digest), result.weights)
            weights = sha256_of_file(self.weights_path(digest))
        record = Record(
            digest=digest,
            models_sha256=self._digests(job),
            accuracies=[member.accuracy for member in result.members],
            weights_sha256=weights,
            contract=result.contract,
            seconds=round(result.seconds, 3),
            validation=[round(accuracy, 6) for accuracy in result.validation],
        )
        kept = {name: value for name, value in dataclasses.asdict(record).items() if name != "validation" or value}
        text = json.dumps(kept, indent=1)
        write_atomically(self._record_path(digest), text.encode())
        return record

    def _digests(self, job: PoolJob) -> list[str]:
        """Return the digests of a job's models; those made here are one file each."""
        if job.origin is not None:
            return [suspect_digest(job.origin)]
        return [sha256_of_file(path) for path in self.model_paths(job)]

    def known_models(self) -> dict[str, set[str]]:
        """Return the SHA-256 of every model that a record in this folder names, with the digests of those records."""
        known: dict[str, set[str]] = {}
        for record in self._records():
            for model in record.models_sha256:
                known.setdefault(model, set()).add(record.digest)
        return known

    def validation_by_epoch(self) -> dict[str, list[float]]:
        """Return how accurate each model was after each epoch of its training, by the model's SHA-256.

        On the images that its recipe holds out; models of recipes that hold none out are not there, and snapshots
        neither. For a thief's model right is what its source answers.
        """
        return {record.models_sha256[0]: record.validation for record in self._records() if record.validation}

    def _records(self) -> Iterator[Record]:
        for path in (self.folder / "state").glob("[!.]*.json"):  # with a dot: a draft
            try:
                yield Record(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                continue

    def overwritten(self, job: PoolJob, digest: str, known: Mapping[str, set[str]]) -> Path | None:
        """Return a finished model of other inputs that stands where ``job`` would write, if there is one.

        Args:
            job: that is not finished.
            digest: of its inputs.
            known: as `known_models`.
        """
        for path in self.model_paths(job):
            if job.origin is None and path.is_file():
                makers = known.get(sha256_of_file(path), set())
                if makers and digest not in makers:
                    return path
        return None
