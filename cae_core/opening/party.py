"""Foreign models in a child process: one process for all models of one party, started when the first is opened.

A party that names its models beforehand has them in one process; a model that is named later gets another one, since
a process that is locked stays so.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core import loaders
from cae_core.containment.child import Answer, Child
from cae_core.containment.frames import BadFrame, readable
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.record import ADDRESS, OWN, OWN_CODE, Containment
from cae_core.containment.starting import make_scratch, run_program
from cae_core.contract import Contract, Task
from cae_core.errors import CaeError, ModelError
from cae_core.loaders import Device, Loader, files_told, opens
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.contained import Connection, ContainedModel, ContainedWhiteBox, ContainedWitness
from cae_core.opening.early import files_known_early, take_early_child
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import Opened, find_loader, open_black_box, open_white_box, read_signature
from cae_core.opening.own_code import is_own_code
from cae_core.opening.serving import contract_table, told_contract
from cae_core.opening.told_signature import told_signature
from cae_core.signature import Signature

__all__ = ["SERVING", "Party", "files_to_read", "lock_child", "start_child"]

SERVING = "cae_core.opening.serving"
"""The program of a child, see `run_program`."""

_STARTING_S = 120.0
"""Until a process is there and locked, on a machine that is busy."""

_LARGEST_MEAN = 4096 * 4096 * 3

_NUMBERS = count()


class Party:
    """The foreign models of one party.

    Args:
        device: where they run.
        limits: of time, memory and threads.
        gradients: whether models will be opened with gradients, which takes more memory.
        born: gives a process that was made beforehand for a model and its loader; None where there is none.
    """

    def __init__(
        self,
        *,
        device: Device = "auto",
        limits: Limits = GENEROUS,
        gradients: bool = False,
        born: Callable[[str, Loader], Child | None] = take_early_child,
    ) -> None:
        self.device, self.limits, self.gradients = device, limits, gradients
        self._born = born
        self._files: dict[str, tuple[Path, ...]] = {}
        self._child: Child | None = None
        self._held: frozenset[str] = frozenset()
        self._layers: tuple[str, ...] = ()

    @property
    def containment(self) -> Containment:
        """What stands around the models that were opened last."""
        return Containment(child=True, layers=self._layers)

    def name(self, specs: Iterable[str | Path]) -> None:
        """Say which models will be opened, so that one process may read them all."""
        for spec in map(str, specs):
            if spec not in self._files:
                self._files[spec] = files_known_early(spec) or files_to_read(spec)

    def black_box(
        self,
        spec: str,
        *,
        contract: Contract | None = None,
        trusted: bool = False,
        named_by_user: bool = False,
        files: ModelFiles | None = None,
        task: Task | None = None,
    ) -> Opened[Model]:
        """Open a model that is only asked.

        In the party's process, unless it is ``trusted``, lies at an address, or is the user's own code, which he must
        have named himself; see `own_code`.

        Raises:
            ModelError: as of `open_black_box`, or its process ends.
            CaeError: as of `open_black_box`.
        """
        loader = find_loader(spec, gradients=False, trusted=trusted, named_by_user=named_by_user)
        apart = _uncontained(spec, loader, trusted=trusted)
        if apart is not None:
            return open_black_box(
                spec,
                contract=contract,
                device=self.device,
                trusted=trusted,
                named_by_user=named_by_user,
                files=files,
                containment=apart,
                task=task,
            )
        connection, described = self._opened(spec, loader, contract, gradients=False, images=None, task=task)
        return Opened(
            model=ContainedModel(connection, described["contract"], described["runtime"]),
            spec=spec,
            files=files or ModelFiles(spec),
            contract=contract,
            containment=self.containment,
        )

    def white_box(
        self,
        spec: str,
        *,
        contract: Contract | None = None,
        trusted: bool = False,
        images: NDArray[np.uint8] | None = None,
        files: ModelFiles | None = None,
    ) -> Opened[DifferentiableModel]:
        """Open a model with gradients, likewise; it is held against its file in the process; see `open_white_box`.

        Raises:
            ModelError: as of `open_white_box`, or its process ends.
            CaeError: as of `open_white_box`.
        """
        loader = find_loader(spec, gradients=True, trusted=trusted)
        apart = _uncontained(spec, loader, trusted=trusted)
        if apart is not None:
            return open_white_box(
                spec,
                contract=contract,
                device=self.device,
                trusted=trusted,
                images=images,
                files=files,
                containment=apart,
            )
        self.gradients = True
        connection, told = self._opened(spec, loader, contract, gradients=True, images=images)
        witness = told["witness"]
        model = ContainedWhiteBox(
            connection,
            told["contract"],
            image_shape=told["shape"],
            witness=None if witness is None else ContainedWitness(connection, *witness),
            runtime=told["runtime"],
        )
        return Opened(
            model=model,
            spec=spec,
            files=files or ModelFiles(spec),
            contract=contract,
            containment=self.containment,
        )

    def signature(self, spec: str, *, trusted: bool = False, named_by_user: bool = False) -> Signature | None:
        """Return what a model's file says of its tensors, read in the party's process as `black_box` opens it.

        None: the backend that opens it cannot tell.

        Raises:
            ModelError: as of `open_black_box`, or its process ends.
        """
        loader = find_loader(spec, gradients=False, trusted=trusted, named_by_user=named_by_user)
        if getattr(loader, "signature", None) is None:
            return None
        if _uncontained(spec, loader, trusted=trusted) is not None:
            return read_signature(spec, trusted=trusted, named_by_user=named_by_user)
        child = self._process(spec, loader)
        seconds = self.limits.opening_seconds(_size(self._files[spec]))
        header = {"do": "signature", "spec": spec}
        told: Signature | None = child.ask(header, seconds=seconds, origin=spec, read=told_signature)
        return told

    def end(self) -> None:
        """End the process; its models cannot be asked any more."""
        if self._child is not None:
            self._child.end()

    def _opened(
        self,
        spec: str,
        loader: Loader,
        contract: Contract | None,
        *,
        gradients: bool,
        images: NDArray[np.uint8] | None,
        task: Task | None = None,
    ) -> tuple[Connection, dict[str, Any]]:
        child = self._process(spec, loader)
        size = _size(self._files[spec])
        some = None if images is None else images[np.sort(np.random.default_rng().permutation(len(images))[:_SHOWN])]
        mean = None if contract is None else contract.mean_image
        number = next(_NUMBERS)
        header = {
            "do": "open",
            "id": number,
            "spec": spec,
            "gradients": gradients,
            "contract": None if contract is None else contract_table(contract),
            "mean": mean is not None,
            "images": some is not None,
            "device": self.device,
            "task": None if task is None else dataclasses.asdict(task),
        }
        described = child.ask(
            header,
            [array for array in (mean, some) if array is not None],
            seconds=self.limits.opening_seconds(size),
            origin=spec,
            read=lambda answer: _described(answer, spec),
        )
        return Connection(child, number, spec, size, self.limits), described

    def _process(self, spec: str, loader: Loader) -> Child:
        """Return the party's process, if it may read this model, and else a new one."""
        self.name([spec])
        if self._child is None or not self._child.alive or spec not in self._held:
            self._child = self._started(
                spec, loader, scratch=_writes(loader) or any(map(self._wants_scratch, self._files))
            )
            self._held = frozenset(self._files)
        return self._child

    def _wants_scratch(self, spec: str) -> bool:
        fitting = [loader for loader in loaders.installed_loaders() if opens(loader, Path(spec))]
        return any(map(_writes, sorted(fitting, key=lambda loader: loader.gradients != self.gradients)[:1]))

    def _started(self, spec: str, loader: Loader, *, scratch: bool) -> Child:
        early = None if scratch or len(self._files) > 1 else self._born(spec, loader)
        if early is not None and self._locked(early, spec):
            return early
        child = start_child(SERVING, limits=self.limits, scratch=scratch)
        if not self._locked(child, spec):
            raise ModelError(f"{spec}: the process for this model did not start as expected.")
        return child

    def _locked(self, child: Child, spec: str) -> bool:
        files = [file for files in self._files.values() for file in files]
        memory = self.limits.bytes_of_memory(_size(files), gradients=self.gradients)
        layers = lock_child(child, files, memory=memory, threads=self.limits.threads, device=self.device, origin=spec)
        self._layers = layers or ()
        return layers is not None


def start_child(module: str, *, limits: Limits, scratch: bool) -> Child:
    """Start a fresh interpreter that runs ``module``; ``scratch``: with a folder that it may write.

    Raises:
        ModelError: it cannot be started.
    """
    folder = make_scratch() if scratch else None
    try:
        return Child(run_program(module, threads=limits.threads), scratch=folder)
    except BaseException:
        if folder is not None:
            folder.rmdir()
        raise


def lock_child(
    child: Child,
    files: Iterable[Path],
    *,
    memory: int,
    threads: int | None,
    device: Device,
    origin: str,
    ports: tuple[int, ...] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> tuple[str, ...] | None:
    """Lock a child in with these files, and return its layers; None, and it is ended, where it has other files.

    Args:
        child: that is locked.
        files: that it may read.
        memory: bytes that it may take.
        threads: that its runtime may have; None: as many as it likes.
        device: where models run in it.
        origin: what the model is called in messages.
        ports: to which it may connect, where it asks a service; None: it has no network.
        secrets: environment variables that it is given.

    Raises:
        ModelError: it ends, or is not there in time.
    """
    beside = ("job memory limit",) if child.limit_memory(memory) else ()
    header = {
        "do": "lock",
        "files": sorted({str(file) for file in files}),
        "memory": memory,
        "scratch": None if child.scratch is None else str(child.scratch),
        "threads": threads,
        "device": device,
        **({} if ports is None else {"ports": ports}),
        **({} if secrets is None else {"secrets": secrets}),
    }
    layers = child.ask(header, seconds=_STARTING_S, origin=origin, read=_layers)
    if layers is None:
        child.end()
        return None
    return (*beside, *layers, "memory and time watched")


_SHOWN = 64
"""Ordinary images that travel for the check of a white box, which asks some of them."""


def files_to_read(spec: str) -> tuple[Path, ...]:
    """Return the files and folders that opening a model reads; what is no regular file is left out.

    They are named for a process that has not been started: what is wrong with them, that process will say.
    """
    path = Path(spec)
    if not path.exists():
        return ()
    if not (path.is_file() or path.is_dir()):  # whoever reads a pipe waits
        return ()
    try:
        told = [file for files in files_told(spec) for file in files if file.is_file()]
    except (CaeError, OSError):
        told = []
    return tuple(dict.fromkeys([path, *told]))


def _writes(loader: Loader) -> bool:
    return bool(getattr(loader, "scratch", False))


def _size(files: Iterable[Path]) -> int:
    """Return the bytes of files, and of the files in folders."""
    every = (inner for file in files for inner in (file.rglob("*") if file.is_dir() else [file]))
    return sum(file.stat().st_size for file in every if file.is_file())


def _uncontained(spec: str, loader: Loader, *, trusted: bool) -> Containment | None:
    """Return why a model is opened in this process; None where it is not."""
    if is_own_code(spec):
        return OWN_CODE
    if spec.partition(":")[0] in loader.schemes and ":" in spec:
        return ADDRESS
    return OWN if trusted else None


def _layers(answer: Answer) -> tuple[str, ...] | None:
    told: object = answer.header.get("layers")
    if not isinstance(told, list) or answer.header.get("fits") is not True:
        return None
    return tuple(readable(layer, longest=40) for layer in cast("list[object]", told)[:40])


def _described(answer: Answer, spec: str) -> dict[str, Any]:
    """Return what a child says of a model that it has opened.

    Raises:
        BadFrame: it says what cannot be.
    """
    told = answer.header
    try:
        shape = None if told["mean"] is None else tuple(int(size) for size in told["mean"])
        if shape is not None and (len(shape) != 3 or min(shape) < 1 or np.prod(shape, dtype=float) > _LARGEST_MEAN):
            raise BadFrame("a mean image of an odd shape")
        mean = None if shape is None else answer.array(np.float32, shape)
        contract = told_contract(told["contract"], mean, spec)
        axes = (None, None, None) if told["shape"] is None else tuple(_axis(size) for size in told["shape"])
        witness = None if told["witness"] is None else (readable(told["witness"][0]), float(told["witness"][1]))
    except (CaeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise BadFrame("a malformed description") from error
    if len(axes) != 3 or not (witness is None or 0 < witness[1] < 1):
        raise BadFrame("a malformed description")
    return {"contract": contract, "shape": axes, "witness": witness, "runtime": _runtime(told.get("runtime"))}


def _runtime(told: object) -> str | None:
    return readable(told, longest=80) if isinstance(told, str) else None


def _axis(size: object) -> int | None:
    if size is None:
        return None
    if not isinstance(size, int) or not 0 < size < 1 << 20:
        raise ValueError("no size of an image")
    return size
