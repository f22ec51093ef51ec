"""One job in one process: train, measure, export, and return the files' bytes. Nothing is read or written elsewhere."""

import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cae_backends.architectures.options import PretrainedWeights
from cae_backends.training.jobs import COPYING_KINDS, ESTIMATOR_KIND, PoolJob
from cae_backends.training.pool_store import MadeMember, PoolData, Result, unpack_data
from cae_core.arrays import Floats32
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import Model
from cae_core.opening.opened import open_model

if TYPE_CHECKING:
    from cae_backends.training.fitting import EpochProgress
    from cae_backends.training.kinds import Made, Setup, Teacher
    from cae_backends.training.trainers import Network

__all__ = ["Exporter", "Parent", "Task", "run_task"]

ImageShape: TypeAlias = tuple[int, int, int]

Exporter: TypeAlias = Callable[[str, Any, Path, Contract, ImageShape], None]
"""Writes a model as ONNX: (framework, model, path, contract, (h, w, k)); the framework is a trainer's name, or
``"sklearn"`` for an estimator of vectors in [0, 1]. A top-level function: it is pickled."""

_ONE_AT_A_TIME = threading.Lock()
"""Frameworks keep their random state and number of threads for the whole process."""


@dataclass(frozen=True)
class Parent:
    """What a surrogate is derived from: its job, and its weights or, for an `origin`, its model file."""

    job: PoolJob
    content: bytes
    contract: Contract | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job with all that a worker needs to run it, but for the data, which are sent once and not per job.

    Attributes:
        job: what to make.
        parent: what it derives from, if anything.
        export: writes its models.
        device: where to train.
        keep_weights: whether to send the weights home, for jobs that derive from this one.
        origin: the model file of a source that is there already.
        weights: content of the file of pretrained weights that the job starts from, if any.
    """

    job: PoolJob
    parent: Parent | None
    export: Exporter
    device: str
    keep_weights: bool
    origin: Parent | None = None
    weights: bytes = b""


@lru_cache(maxsize=1)
def _read_data(path: Path) -> PoolData:
    return unpack_data(path)


def run_task(task: Task, data: PoolData | Path, progress: "EpochProgress | None" = None) -> Result:
    """Train, measure and export one job's members.

    Raises:
        CaeError: an option is wrong, the training diverged, or the model cannot be exported.
    """
    loaded = _read_data(data) if isinstance(data, Path) else data
    start = time.perf_counter()
    with _ONE_AT_A_TIME, tempfile.TemporaryDirectory(prefix="cae-") as folder:
        if task.origin is not None:
            result = _measured(task.origin, loaded, Path(folder))
        elif task.job.kind == ESTIMATOR_KIND:
            result = _estimator(task, loaded, Path(folder))
        else:
            result = _network(task, loaded, Path(folder), progress)
    return dataclasses.replace(result, seconds=time.perf_counter() - start)


def _measured(origin: Parent, data: PoolData, folder: Path) -> Result:
    answers = _opened(origin, folder).predict(data.test.images)
    return Result((MadeMember(b"", float((answers.labels == data.test.labels).mean())),), b"", {}, 0.0)


def _estimator(task: Task, data: PoolData, folder: Path) -> Result:
    from cae_backends.training.estimators import fit_estimator

    estimator, accuracy = fit_estimator(data.train, data.test, name=task.job.architecture, seed=task.job.seed)
    path = folder / "model.onnx"
    task.export("sklearn", estimator, path, _contract(data, "NHWC"), _image_shape(data))
    return Result((MadeMember(path.read_bytes(), accuracy),), b"", {}, 0.0)


def _network(task: Task, data: PoolData, folder: Path, progress: "EpochProgress | None") -> Result:
    from safetensors.numpy import save

    from cae_backends.training.fitting import accuracy
    from cae_backends.training.kinds import Setup
    from cae_backends.training.trainers import find_trainer

    job = task.job
    with _pretrained(task, folder) as start:
        setup = Setup(
            trainer=find_trainer(job.trainer),
            data=data.train,
            architecture=job.architecture,
            seed=job.seed,
            recipe=job.recipe,
            device=task.device,
            queries=data.foreign if job.queries == "foreign" else None,
            snapshots=job.snapshot_epochs,
            progress=progress,
            weights=start,
        )
        made = _made(task, setup, folder)
    network = made.network
    contract = _contract(data, network.layout)

    def exported(name: str) -> MadeMember:
        path = folder / f"{name}.onnx"
        task.export(job.trainer, network.model, path, contract, _image_shape(data))
        return MadeMember(path.read_bytes(), accuracy(network, data.test))

    weights = save(network.weights()) if task.keep_weights else b""  # before a snapshot's are loaded
    members = [exported("model")]
    for epoch in job.snapshot_epochs:
        network.load(made.snapshots[epoch])
        members.append(exported(f"epoch-{epoch}"))
    return Result(tuple(members), weights, contract.stated(), 0.0)


@contextmanager
def _pretrained(task: Task, folder: Path) -> Iterator[PretrainedWeights]:
    """Give what `Trainer.build` takes; what is wrong with a file is said of the one that the plan names."""
    given = task.job.weights
    if given is None or given.path is None:
        yield None if given is None else "imagenet"
        return
    copy = folder / "weights" / given.path.name  # the path may be another machine's
    copy.parent.mkdir()
    copy.write_bytes(task.weights)
    try:
        yield copy
    except ModelError as error:
        raise type(error)(str(error).replace(str(copy), str(given.path))) from error


def _made(task: Task, setup: "Setup", folder: Path) -> "Made":
    from cae_backends.training.kinds import DERIVATIONS, THEFTS, independent

    parent = task.parent
    if parent is None:
        return independent(setup)
    if parent.job.origin is not None:
        teacher = _teacher(_opened(parent, folder), classes=len(setup.data.class_names))
        return THEFTS[task.job.kind](teacher, setup)
    copy = _loaded(parent, setup)
    if task.job.kind in COPYING_KINDS:
        return DERIVATIONS[task.job.kind](copy, setup)
    return THEFTS[task.job.kind](copy.logits, setup)


def _loaded(parent: Parent, setup: "Setup") -> "Network":
    from safetensors.numpy import load

    from cae_backends.training.trainers import find_trainer

    job = parent.job
    same = dataclasses.replace(
        setup, trainer=find_trainer(job.trainer), architecture=job.architecture, recipe=job.recipe, weights=None
    )
    network = same.fresh()
    network.load(load(parent.content))
    return network


def _opened(parent: Parent, folder: Path) -> Model:
    path = folder / f"source{parent.job.origin.suffix if parent.job.origin else '.onnx'}"
    path.write_bytes(parent.content)
    return open_model(str(path), contract=parent.contract, device="cpu", trusted=parent.job.trusted)


def _teacher(model: Model, *, classes: int) -> "Teacher":
    """The logits of a black box are the logarithms of its probabilities; of a bare label, those of a certain one."""

    def logits(images: Floats32) -> Floats32:
        answers = model.predict(images)
        if (answers.labels < 0).any():
            raise ModelError("The source refuses some of the images, and nothing can be learned from that.")
        certain = np.eye(classes, dtype=np.float32)[answers.labels]
        probabilities = certain if answers.probabilities is None else answers.probabilities
        return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))

    return logits


def _image_shape(data: PoolData) -> ImageShape:
    _, height, width, channels = data.train.images.shape
    return height, width, channels


def _contract(data: PoolData, layout: Any) -> Contract:  # noqa: ANN401 - one of Contract's own literals
    height, width, channels = _image_shape(data)
    return Contract(
        layout=layout,
        range=(0.0, 1.0),
        output="logits",
        channels="GRAY" if channels == 1 else "RGB",
        size=(height, width),
    )
