"""A child process that opens models and answers for them; `party` is its other side.

It opens by the ordinary ways. What its parent asks it believes; what it answers its parent does not believe.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core import loaders
from cae_core.containment import frames
from cae_core.containment.birth import Born, use_threads
from cae_core.containment.pipes import read_exactly, write_all
from cae_core.containment.starting import born_as_program
from cae_core.contract import Contract, Task, parse_contract
from cae_core.errors import BackendMissing, CaeError, ContractError, ContractMissing, DataError, ModelError, first_line
from cae_core.loaders import Device, opens
from cae_core.models import DifferentiableModel, Model, Pullback
from cae_core.opening.answer_table import read_answers
from cae_core.opening.opened import asked_by, open_black_box, open_white_box, read_signature
from cae_core.opening.readable import readable_for
from cae_core.opening.services import ServiceClient, client_of
from cae_core.opening.told_signature import signature_table

__all__ = ["Hint", "Server", "Told", "contract_table", "main", "serve", "told_contract"]

Arrays: TypeAlias = Sequence[NDArray[Any]]
Told: TypeAlias = tuple[dict[str, Any], Arrays]


@dataclass(frozen=True)
class Hint:
    """What a child can do before it is asked: the model that it will probably be asked to open.

    Attributes:
        files: of the model.
        device: where it will run.
    """

    files: tuple[Path, ...]
    device: Device


def main(parent: int, main_thread: int) -> None:
    """Be a fresh interpreter's program; see `run_program`."""
    serve(born_as_program(parent, main_thread=bool(main_thread)))


def serve(born: Born, hint: Hint | None = None) -> None:
    """Answer until nobody asks any more."""
    server = Server(born)
    if hint is not None:
        server.lock(hint.files, device=hint.device, scratch=None)
        _prepare(hint.files)
    server.run()


def _question(descriptor: int) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    length = bytearray(4)
    read_exactly(descriptor, memoryview(length))
    content = bytearray(frames.header_length(bytes(length)))
    read_exactly(descriptor, memoryview(content))
    header = frames.decoded_header(bytes(content))
    arrays: list[NDArray[Any]] = []
    for dtype, shape in header.pop("arrays"):
        array = np.empty(shape, np.dtype(dtype))
        if array.nbytes:
            read_exactly(descriptor, array.data.cast("B"))
        arrays.append(array)
    return header, arrays


def _prepare(files: Sequence[Path]) -> None:
    """Import what opening the first file takes, while the parent reads its own files."""
    if not files:
        return
    loader = next(
        (x for x in sorted(loaders.installed_loaders(), key=lambda x: x.gradients) if opens(x, files[0])), None
    )
    prepare: Callable[[], None] | None = getattr(loader, "prepare", None)
    if prepare is not None:
        try:
            prepare()
        except CaeError:  # it is said when the model is opened
            return


class Server:
    """The open models of a child process, and what it is asked of them; each ``do`` of a question is a method here."""

    def __init__(self, born: Born) -> None:
        self._born = born
        self._allowed: set[str] | None = None
        self._models: dict[int, Model] = {}
        self._opened: dict[int, tuple[str, Device]] = {}
        self._pullbacks: dict[int, Pullback] = {}
        self._services: dict[int, ServiceClient] = {}

    def run(self) -> None:
        """Answer until nobody asks any more, and end the process."""
        try:
            while True:
                header, arrays = _question(self._born.requests)
                answer, told = self.answer(header, arrays)
                write_all(self._born.answers, memoryview(frames.encoded_header(answer)))
                for array in told:
                    write_all(self._born.answers, frames.array_bytes(array))
        except (EOFError, BrokenPipeError):
            os._exit(0)

    def answer(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Return a header and arrays: the answer, or what is wrong."""
        for handle in header.get("free", ()):
            self._pullbacks.pop(handle, None)
        for number in header.get("close", ()):
            self._models.pop(number, None)
            self._opened.pop(number, None)
        spec = str(header.get("spec", ""))
        try:
            return getattr(self, f"do_{header['do']}")(header, arrays)  # type: ignore[no-any-return]
        except CaeError as error:
            if isinstance(error.__cause__, MemoryError):
                return _failure(ModelError, _memory(spec), spec)
            kinds = (BackendMissing, ModelError, ContractMissing, ContractError, DataError)
            kind = next((kind for kind in kinds if isinstance(error, kind)), ModelError)
            return _failure(kind, str(error), spec)
        except MemoryError:
            return _failure(ModelError, _memory(spec), spec)
        except Exception as error:  # noqa: BLE001 - a foreign model runs here, in whatever framework
            return _failure(ModelError, f"{spec}: the model cannot be opened or run ({first_line(error)}).", spec)

    def lock(
        self, files: Sequence[Path], *, device: Device, scratch: Path | None, ports: tuple[int, ...] | None = None
    ) -> None:
        """Refuse this process everything but these files and, where it asks a service, these ports."""
        self._allowed = {str(file) for file in files}
        list(loaders.installed_loaders())  # they are found by folders that are closed from now on
        self._born.lock(lambda: readable_for(files, device=device, scratch=scratch, ports=ports))

    def do_lock(self, header: Mapping[str, Any], _: Arrays) -> Told:
        """Lock, or say whether what is asked for is among what was allowed."""
        files, scratch = [Path(file) for file in header["files"]], header["scratch"]
        ports = header.get("ports")
        if self._allowed is None:
            opened = None if ports is None else tuple(ports)
            self.lock(files, device=header["device"], scratch=Path(scratch) if scratch else None, ports=opened)
        elif scratch or ports is not None or not {*header["files"]} <= self._allowed:
            return {"layers": [], "fits": False}, ()
        if header["threads"] is not None:
            use_threads(header["threads"])
        if scratch:
            os.environ["TMPDIR"] = scratch
        os.environ.update(header.get("secrets", {}))
        self._born.limit(memory=header["memory"], files=header["memory"] if scratch else 0)
        return {"layers": self._born.layers, "fits": True}, ()

    def do_open(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Open a model."""
        contract = told_contract(header["contract"], arrays[0] if header["mean"] else None, header["spec"])
        spec, device = str(header["spec"]), str(header["device"])
        model: Model
        if header["gradients"]:
            images = arrays[-1] if header["images"] else None
            model = open_white_box(spec, contract=contract, device=device, images=images).model
        else:
            told = header.get("task")
            model = self._black_box(spec, contract, device, None if told is None else _task(told))
        self._models[header["id"]], self._opened[header["id"]] = model, (spec, device)
        found: Contract | None = getattr(model, "contract", None)
        witness = getattr(model, "witness", None)
        described = {
            "contract": None if found is None else contract_table(found),
            "mean": None if found is None or found.mean_image is None else found.mean_image.shape,
            "shape": getattr(model, "image_shape", None),
            "runtime": getattr(model, "runtime", None),
            "witness": None if witness is None else [str(witness.name), float(witness.resolution)],
        }
        return described, () if found is None or found.mean_image is None else (found.mean_image,)

    def _black_box(self, spec: str, contract: Contract | None, device: Device, task: Task | None) -> Model:
        """Open a model; or take one of this file that is open, and can be asked by another contract: see `asked_by`."""
        for number, model in self._models.items():
            again = asked_by(model) if self._opened[number] == (spec, device) else None
            if again is not None and contract is not None:
                return again(contract, task)
        return open_black_box(spec, contract=contract, device=device, task=task).model

    def do_signature(self, header: Mapping[str, Any], _: Arrays) -> Told:
        """Say what a file says of its tensors."""
        found = read_signature(header["spec"])
        return {"signature": None if found is None else signature_table(found)}, ()

    def do_predict(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Answer images."""
        told = self._models[header["id"]].predict(arrays[0])
        if told.labels.dtype.kind != "i" or told.labels.shape != (len(arrays[0]),):
            raise ModelError(
                f"{header['spec']}: answers must be integer labels ({len(arrays[0])},); found {told.labels.dtype} "
                f"{told.labels.shape}."
            )
        labels = told.labels.astype(np.int64, copy=False)
        if told.probabilities is None:
            return {"classes": 0}, (labels,)
        scores = np.asarray(told.probabilities, np.float32)
        return {"classes": scores.shape[1]}, (labels, scores)

    def do_vjp(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Answer images, and keep the way back from a gradient."""
        logits, self._pullbacks[header["handle"]] = self._white_box(header).vjp(arrays[0])
        return {"classes": logits.shape[1]}, (np.asarray(logits, np.float32),)

    def do_pull(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Go the way back from a gradient."""
        return {}, (np.asarray(self._pullbacks[header["handle"]](arrays[0]), np.float32),)

    def do_witness(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Answer by the other implementation of a white box's file."""
        witness: Any = getattr(self._models[header["id"]], "witness", None)
        logits = witness.logits(arrays[0], plain=header["plain"])
        return {"classes": logits.shape[1]}, (np.asarray(logits, np.float32),)

    def do_service(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Make the client of a service; nothing is asked yet."""
        contract = told_contract(header["contract"], arrays[0] if header["mean"] else None, header["spec"])
        self._services[header["id"]] = client_of(header["spec"], contract=contract, task=_task(header["task"]))
        return {}, ()

    def do_ask(self, header: Mapping[str, Any], arrays: Arrays) -> Told:
        """Ask a service."""
        asked = self._services[header["id"]].ask(arrays[0])
        told = {"requests": asked.requests, "sent": asked.sent, "versions": asked.versions, "why": asked.why}
        told["fault"] = asked.fault
        classes = 0 if asked.scores is None else asked.scores.shape[1]
        scores = () if asked.scores is None else (np.asarray(asked.scores, np.float32),)
        return {**told, "classes": classes}, (asked.labels, asked.reached.astype(np.uint8), *scores)

    def do_answers(self, header: Mapping[str, Any], _: Arrays) -> Told:
        """Read recorded answers: which export they answer, or their labels."""
        table = read_answers(Path(header["spec"]))
        if header["names"] is None:
            return {"export": table.export}, ()
        return {}, (table.labels(header["names"], header["classes"]),)

    def _white_box(self, header: Mapping[str, Any]) -> DifferentiableModel:
        model = self._models[header["id"]]
        if not isinstance(model, DifferentiableModel):
            raise ModelError(f"{header['spec']}: the model was opened without gradients.")
        return model


def _task(told: Mapping[str, Any]) -> Task:
    return Task(classes=told["classes"], names=tuple(told["names"]))


def _memory(spec: str) -> str:
    return f"{spec}: the model takes more memory than its process may have."


def _failure(kind: type[CaeError], text: str, spec: str) -> Told:
    """Return what is wrong; a long path in front of it is not to take the sentence's place."""
    named = bool(spec) and text.startswith(f"{spec}: ")
    return {"error": kind.__name__, "text": text.removeprefix(f"{spec}: ") if named else text, "named": named}, ()


def contract_table(contract: Contract) -> dict[str, Any]:
    """Return a contract as JSON holds it; a mean image travels beside it."""
    return {name: value for name, value in contract.stated().items() if name != "mean_image"}


def told_contract(table: Mapping[str, Any] | None, mean: NDArray[np.float32] | None, origin: str) -> Contract | None:
    """Return the contract of such a table; None where there is none.

    Raises:
        ContractError: it is none.
    """
    if table is None:
        return None
    if "mean_image" in table:
        raise ContractError(f"{origin}: a contract names a file.")
    found = parse_contract(table, origin=origin)
    return found if mean is None else found.replace(mean_image=mean)
