"""One job in one process: train, export, and keep the result under the digest of its inputs.

A member's files are ``<role>/<name>.onnx`` (the model), ``state/<name>.safetensors`` (its weights, for the jobs that
derive from it) and ``state/<name>.json`` (the record, written last). A member counts as finished only where its
record has the digest of today's inputs and the files have the record's digests; so a run that was killed at
any moment is simply started again.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cae_backends.training.jobs import ESTIMATOR_KIND, PoolJob
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import OptionError
from cae_core.file_digest import sha256_of_file
from cae_core.storage import replacing

if TYPE_CHECKING:
    from torch import nn

    from cae_backends.training.fitting import EpochProgress

__all__ = [
    "EstimatorExporter",
    "ModuleExporter",
    "PoolData",
    "Record",
    "Task",
    "finished",
    "model_path",
    "run_job",
    "stored_data",
    "weights_path",
]

ImageShape: TypeAlias = tuple[int, int, int]

ModuleExporter: TypeAlias = Callable[["nn.Module", Path, Contract, ImageShape], None]
"""Writes a torch module as ONNX: (module, path, contract, (h, w, k)). A top-level function: it is pickled."""

EstimatorExporter: TypeAlias = Callable[[Any, Path, ImageShape], None]
"""Writes a scikit-learn estimator of vectors in [0, 1] as ONNX, its contract inside: (estimator, path, (h, w, k))."""


@dataclass(frozen=True)
class PoolData:
    """The images of a pool: ``train`` for training and ``test`` for the members' accuracy."""

    train: ImageSet
    test: ImageSet

    def sha256(self) -> str:
        """Return one digest of both."""
        return f"{self.train.sha256()}/{self.test.sha256()}"


@dataclass(frozen=True)
class Record:
    """What is kept about a finished job: digests, accuracy (0 to 1), and the contract that the exporter was told."""

    digest: str
    model_sha256: str
    weights_sha256: str
    accuracy: float
    contract: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job with all that a worker process needs to run it. The data lie in a file, to be sent once and not per job."""

    job: PoolJob
    parent: PoolJob | None
    digest: str
    folder: Path
    data: Path
    export: ModuleExporter
    export_estimator: EstimatorExporter | None


def model_path(folder: Path, job: PoolJob) -> Path:
    """Return where the exported model of ``job`` lies."""
    return folder / job.role / f"{job.name}.onnx"


def weights_path(folder: Path, job: PoolJob) -> Path:
    """Return where the weights of ``job`` lie."""
    return folder / "state" / f"{job.name}.safetensors"


def _record_path(folder: Path, job: PoolJob) -> Path:
    return folder / "state" / f"{job.name}.json"


def stored_data(data: PoolData, folder: Path) -> Path:
    """Store ``data`` for the workers, under a name derived from its content, and return the path."""
    path = folder / "state" / f"data-{data.train.sha256()[:16]}-{data.test.sha256()[:16]}.npz"
    if not path.exists():
        names = np.array(data.train.class_names)
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                train_images=data.train.images,
                train_labels=data.train.labels,
                test_images=data.test.images,
                test_labels=data.test.labels,
                class_names=names,
            )
    return path


@lru_cache(maxsize=1)
def _loaded_data(path: Path) -> PoolData:
    with np.load(path, allow_pickle=False) as file:
        names = tuple(str(name) for name in file["class_names"])
        train = ImageSet(file["train_images"], file["train_labels"], names)
        return PoolData(train, ImageSet(file["test_images"], file["test_labels"], names))


def finished(folder: Path, job: PoolJob, digest: str) -> Record | None:
    """Return the record of ``job`` where it is done with these inputs and its files are whole, else None."""
    try:
        record = Record(**json.loads(_record_path(folder, job).read_text(encoding="utf-8")))
        if record.digest != digest or sha256_of_file(model_path(folder, job)) != record.model_sha256:
            return None
        if record.weights_sha256 and sha256_of_file(weights_path(folder, job)) != record.weights_sha256:
            return None
    except (OSError, ValueError, TypeError):  # missing, not JSON, or of another version: then it is not done
        return None
    return record


def run_job(task: Task, progress: "EpochProgress | None" = None) -> Record:
    """Train and export one member, write its files and return its record.

    Raises:
        CaeError: an option is wrong, the training diverged, or a file cannot be written.
    """
    path = model_path(task.folder, task.job)
    data = _loaded_data(task.data)
    _, height, width, channels = data.train.images.shape
    image_shape = (height, width, channels)
    if task.job.kind == ESTIMATOR_KIND:
        accuracy = _estimator_job(task, data, path, image_shape)
        weights, contract = "", None
    else:
        accuracy, contract = _module_job(task, data, path, image_shape, progress)
        weights = sha256_of_file(weights_path(task.folder, task.job))
    fields = dataclasses.asdict(contract) if contract is not None else {}
    table = {name: value for name, value in fields.items() if value is not None}
    record = Record(task.digest, sha256_of_file(path), weights, accuracy, table)
    with replacing(_record_path(task.folder, task.job)) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(record), indent=1), encoding="utf-8")
    return record


def _module_job(
    task: Task, data: PoolData, path: Path, image_shape: ImageShape, progress: "EpochProgress | None"
) -> tuple[float, Contract]:
    from safetensors.torch import save_file

    from cae_backends.training.fitting import accuracy

    module = _trained(task, data.train, progress)
    height, width, channels = image_shape
    contract = Contract(
        layout="NCHW",
        range=(0.0, 1.0),
        output="logits",
        channels="GRAY" if channels == 1 else "RGB",
        size=(height, width),
    )
    with replacing(weights_path(task.folder, task.job)) as temporary:
        save_file(module.state_dict(), temporary)
    with replacing(path) as temporary:
        task.export(module, temporary, contract, image_shape)
    return accuracy(module, data.test), contract


def _trained(task: Task, train: ImageSet, progress: "EpochProgress | None") -> "nn.Module":
    from safetensors.torch import load_file

    from cae_backends.training.kinds import SURROGATES, Setup, independent

    job = task.job
    setup = Setup(data=train, architecture=job.architecture, seed=job.seed, recipe=job.recipe, progress=progress)
    if task.parent is None:
        return independent(setup)
    source = dataclasses.replace(setup, architecture=task.parent.architecture).fresh()
    source.load_state_dict(load_file(weights_path(task.folder, task.parent)))
    return SURROGATES[job.kind](source.eval(), setup)


def _estimator_job(task: Task, data: PoolData, path: Path, image_shape: ImageShape) -> float:
    from cae_backends.training.estimators import fit_estimator

    job = task.job
    if task.export_estimator is None:
        raise OptionError(f"Job {job.name}: a {job.kind} member needs an exporter for estimators; none was given.")
    estimator, accuracy = fit_estimator(data.train, data.test, name=job.architecture, seed=job.seed)
    with replacing(path) as temporary:
        task.export_estimator(estimator, temporary, image_shape)
    return accuracy
