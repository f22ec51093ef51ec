"""One job in one process: train, measure, export, and return the files' bytes. Nothing is read or written elsewhere."""

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from cae_backends.architectures.options import ImageShape, PretrainedWeights
from cae_backends.contract_files import write_sidecar
from cae_backends.execution.stopping import check_stopped
from cae_backends.execution.telling import tell
from cae_backends.training.adoption import AdoptedNetwork, Adopter, find_adopter
from cae_backends.training.fitting import accuracy
from cae_backends.training.jobs import PoolJob
from cae_backends.training.kinds.chains import Chain, Victim, make_derived
from cae_backends.training.kinds.record import Copy, Estimator, Teacher, Theft, Training
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.kinds.table import find_kind
from cae_backends.training.pool_store import MadeMember, PoolData, Result
from cae_backends.training.trainers import Network, find_exporter, find_trainer
from cae_core.arrays import Floats32, as_unit_float
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError, PoolError, renaming
from cae_core.files.scratch import scratch_folder
from cae_core.models import Model
from cae_core.opening.party import Party
from cae_core.progress import StageProgress

__all__ = ["Parent", "Task", "exporter_name", "given_images", "run_task", "work"]

_ONE_AT_A_TIME = threading.Lock()
"""Frameworks keep their random state and number of threads for the whole process."""


@dataclass(frozen=True)
class Parent:
    """What a surrogate is derived from.

    Attributes:
        job: job that made the parent.
        content: the parent's weights or, for an `origin`, its model file.
        contract: of an `origin` that does not carry its own.
        beside: the other files that an `origin` is read from, by their names seen from its folder.
    """

    job: PoolJob
    content: bytes
    contract: Contract | None = None
    beside: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, kw_only=True)
class Task:
    """A job with all that a worker needs to run it, but for the data, which are sent once and not per job.

    Attributes:
        job: what to make.
        parent: what it derives from, if anything.
        device: device on which to train.
        keep_weights: whether to send the weights home, for jobs that derive from this one.
        origin: the model file of a source that is there already.
        weights: content of the file of pretrained weights that the job starts from, if any.
    """

    job: PoolJob
    parent: Parent | None
    device: str
    keep_weights: bool
    origin: Parent | None = None
    weights: bytes = b""


def work(task: Task, data: PoolData) -> Result:
    """Run a job as a crew's worker does: it says how far it is, and ends after the epoch where nobody waits for it."""

    def told(done: int, epochs: int) -> None:
        tell(done, epochs)
        check_stopped()

    return run_task(task, data, told)


def run_task(task: Task, data: PoolData, progress: StageProgress | None = None) -> Result:
    """Train, measure and export one job's members.

    Raises:
        CaeError: an option is wrong, the training diverged, or the model cannot be exported.
    """
    start = time.perf_counter()
    with _ONE_AT_A_TIME, scratch_folder() as folder:
        result = _result(task, data, folder, progress)
    return dataclasses.replace(result, seconds=time.perf_counter() - start)


def exporter_name(job: PoolJob) -> str:
    """Return the name of the exporter that writes a job's models."""
    kind = find_kind(job.kind)
    return kind.exporter if isinstance(kind, Estimator) else job.trainer


def _result(task: Task, data: PoolData, folder: Path, progress: StageProgress | None) -> Result:
    if task.origin is not None:
        return _measured(task.origin, data, folder)
    kind = find_kind(task.job.kind)
    if isinstance(kind, Estimator):
        return _estimator(task.job, kind, data, folder)
    with _pretrained(task, folder) as start:
        made = _made(task, _setup(task, data, start, progress), folder)
    return _network(task, made, data, folder)


def _measured(origin: Parent, data: PoolData, folder: Path) -> Result:
    answers = _opened(origin, folder).predict(data.test.images)
    return Result((MadeMember(b"", float((answers.labels == data.test.labels).mean())),), b"", {}, 0.0)


def _estimator(job: PoolJob, kind: Estimator, data: PoolData, folder: Path) -> Result:
    estimator, score = kind.make(given_images(job, data), data.test, job.architecture, job.seed)
    model = _exported(job, estimator, folder / "model.onnx", _contract(data, "NHWC"), _image_shape(data))
    return Result((MadeMember(model, score),), b"", {}, 0.0)


def _setup(task: Task, data: PoolData, start: PretrainedWeights, progress: StageProgress | None) -> Setup:
    job = task.job
    return Setup(
        trainer=find_trainer(job.trainer),
        data=given_images(job, data),
        architecture=job.architecture,
        seed=job.seed,
        recipe=job.recipe,
        device=task.device,
        queries=data.foreign if job.queries == "foreign" else None,
        snapshots=job.snapshot_epochs,
        progress=progress,
        weights=start,
        images_seed=job.images_seed,
        adopted=find_kind(job.kind).starts_from == "weights" and _of_file(task),
    )


def given_images(job: PoolJob, data: PoolData) -> ImageSet:
    """Return the training images that a job is given."""
    return data.train if job.part is None else data.train.subset(job.part.places(len(data.train)))


def _network(task: Task, made: Made, data: PoolData, folder: Path) -> Result:
    """Export a network and its snapshots, after which it holds the last snapshot's weights."""
    from safetensors.numpy import save

    job, network = task.job, made.network
    adopted = find_kind(job.kind).copies and _of_file(task)
    contract = cast("AdoptedNetwork", network).contract if adopted else _contract(data, network.layout)

    def member(name: str) -> MadeMember:
        path = folder / f"{name}.onnx"
        return MadeMember(
            _exported(job, network.model, path, contract, _image_shape(data)), accuracy(network, data.test)
        )

    weights = save(network.weights()) if task.keep_weights else b""  # before a snapshot's are loaded
    members = [member("model")]
    for epoch in job.snapshot_epochs:
        network.load(made.snapshots[epoch])
        members.append(member(f"epoch-{epoch}"))
    told = {} if adopted else contract.stated()  # what was adopted goes into a file that says it
    return Result(tuple(members), weights, told, 0.0, made.validation)


def _exported(job: PoolJob, model: Any, path: Path, contract: Contract, image_shape: ImageShape) -> bytes:  # noqa: ANN401
    find_exporter(exporter_name(job))(model, path, contract, image_shape)
    return path.read_bytes()


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
    with renaming({str(copy): str(given.path)}):
        yield copy


def _made(task: Task, setup: Setup, folder: Path) -> Made:
    kind, parent = find_kind(task.job.kind), task.parent
    if isinstance(kind, Training):
        return kind.make(setup)
    if isinstance(kind, Theft | Copy | Chain) and parent is not None:
        return make_derived(kind, _victim(parent, setup, folder), setup)
    raise PoolError(f"Job {task.job.name}: a {kind.name} model is made of its parent, and none was given.")


def _victim(parent: Parent, setup: Setup, folder: Path) -> Victim:
    origin = parent.job.origin
    return Victim(
        asked=lambda: _teacher(parent, setup, folder),
        copied=lambda: _loaded(parent, setup) if origin is None else _adopted(parent, setup, folder),
        architecture=parent.job.architecture,
        trainer=parent.job.trainer if origin is None else find_adopter(origin),
    )


def _teacher(parent: Parent, setup: Setup, folder: Path) -> Teacher:
    """Return what a thief asks: the network that the parent's job has trained, or its file."""
    if parent.job.origin is None:
        return _loaded(parent, setup).logits
    return _logits_of(_opened(parent, folder), classes=len(setup.data.class_names))


def _loaded(parent: Parent, setup: Setup) -> Network:
    from safetensors.numpy import load

    job = parent.job
    same = dataclasses.replace(
        setup, trainer=find_trainer(job.trainer), architecture=job.architecture, recipe=job.recipe, weights=None
    )
    network = same.fresh()
    network.load(load(parent.content))
    return network


def _of_file(task: Task) -> bool:
    """Return whether a job's parent is a model file that was there already."""
    return task.parent is not None and task.parent.job.origin is not None


def _adopted(parent: Parent, setup: Setup, folder: Path) -> Network:
    with _file_of(parent, folder) as path:
        adopter = cast("Adopter", find_trainer(find_adopter(path)))
        network = adopter.adopt(path, contract=None, device=setup.device, trusted=parent.job.trusted)
        found, known = network.logits(as_unit_float(setup.data.images[:1])).shape[1], len(setup.data.class_names)
        if found != known:
            raise ModelError(f"{path}: the model tells {found} classes and the data have {known}. Take its own data.")
        return network


def _opened(parent: Parent, folder: Path) -> Model:
    with _file_of(parent, folder) as path:
        return Party(device="cpu").black_box(str(path), trusted=parent.job.trusted).model


@contextmanager
def _file_of(parent: Parent, folder: Path) -> Iterator[Path]:
    """Give the file of an `origin` with its contract beside it; what is wrong with it is said of the origin."""
    origin = parent.job.origin or Path("source.onnx")
    path = folder / "source" / origin.name
    for name, content in {**parent.beside, origin.name: parent.content}.items():
        file = path.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    if parent.contract is not None:
        write_sidecar(path, parent.contract)
    with renaming({str(path): str(origin)}):
        yield path


def _logits_of(model: Model, *, classes: int) -> Teacher:
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
