"""Model files as `TorchModel`."""

import json
import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import is_zipfile

import torch

from cae_backends.contract_files import PROGRAM_CONTRACT, check_end, find_contract, image_shape
from cae_backends.onnx.softmax import ends_in_softmax, final_softmax, take_off
from cae_backends.onnxruntime.witness import OnnxWitness
from cae_backends.torch.model import TorchModel
from cae_backends.torch.named_class import make_network, parse_named_class
from cae_backends.torch.onnx_import import answer_of, convert_neutral, image_input, read_onnx
from cae_backends.torch.onnx_neutral import neutral
from cae_backends.torch.weights import load_weights
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError, first_line
from cae_core.loaders import Device
from cae_core.reading import file_size, reading

__all__ = ["open_exported", "open_named", "open_onnx"]


def open_onnx(path: Path, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open an ONNX file with gradients.

    Where it answers probabilities by a softmax at its end, the opened model answers the logits before it.

    Raises:
        BackendMissing: onnx2torch does not work here.
        ModelError: the file is no ONNX model, or has an operator that cannot be converted.
        ContractError: nobody says what it takes, or it says logits and ends in a softmax.
    """
    proto = read_onnx(path)
    taken = image_input(proto, origin=str(path))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    found = told = find_contract(path, metadata, taken.shape, contract, dtype=taken.dtype)
    graph = neutral(proto, origin=str(path), output=answer_of(proto, found, origin=str(path)))
    check_end(found, softmax=ends_in_softmax(graph.proto), origin=str(path))
    softmax = final_softmax(graph.proto) if found.output == "probabilities" else None
    if softmax is not None:
        take_off(graph.proto, softmax)
        found = found.replace(output="logits")
    return TorchModel(
        convert_neutral(graph, origin=str(path)),
        contract=found,
        device=device,
        image_shape=image_shape(found, taken.shape),
        witness=OnnxWitness(path, told, graph.resolution),
    )


def open_exported(path: Path, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open what ``torch.export.save`` wrote.

    Raises:
        ModelError: the file is no exported program.
        ContractError: there is no contract: given, in a sidecar, or in the file.
    """
    with reading(path, ModelError, fault="this exported program cannot be loaded", remedy="Export it again."):
        file_size(path)  # it is a file, and no pipe
        program, carried = _loaded(path)
    found = find_contract(path, _metadata(carried, path), (), contract)
    return TorchModel(_Exported(program), contract=found, device=device)


def open_named(spec: str, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open a network that the user's own class makes, with the weights in a file.

    The model's runtime says what was done to find the weights in it.

    Raises:
        ModelError: the text, the class or the weights are not what they should be.
        ContractError: there is no contract: given, or in a sidecar of the weights.
    """
    named = parse_named_class(spec)
    if not named.weights.is_file():
        raise ModelError(f"{named.weights}: no such file of weights. Give the path of an existing one.")
    network = make_network(named)
    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"{named.words}: it must make a torch.nn.Module; found {type(network).__name__}. Name the network's class."
        )
    done = load_weights(network, named.weights)
    found = find_contract(named.weights, {}, (), contract)
    model = TorchModel(network, contract=found, device=device, origin=named.words)
    model.runtime += f", {done}" if done else ""
    return model


def _loaded(path: Path) -> tuple[torch.nn.Module, str]:
    """Return the module in an exported program, and what stands in its further file."""
    if not is_zipfile(path):  # torch would also print a traceback
        raise ModelError(f"{path}: this is not a program that torch.export.save wrote. Export it again.")
    errors: list[BaseException] = []
    try:
        # the open file: of a path torch doubts that it ends in .pt2 where the letters are capital ones
        with _pickles_hold_tensors_only(), _kept_from_the_log(errors), path.open("rb") as file:
            carried = {PROGRAM_CONTRACT: ""}
            program = torch.export.load(file, extra_files=carried)
    except pickle.UnpicklingError as exc:
        raise ModelError(
            f"{path}: the file holds pickled code, which is never run. Export the model again, or as ONNX."
        ) from exc
    except Exception as exc:  # torch reads a foreign file here, and no list of what it raises is complete
        if errors:
            raise ValueError(first_line(errors[0])) from exc
        raise
    return program.module(), carried[PROGRAM_CONTRACT]


def _metadata(text: str, path: Path) -> dict[str, str]:
    """Return what `cae convert` wrote into the file; nothing for a foreign one."""
    try:
        table = json.loads(text or "{}")
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ContractError(f"{path}: its {PROGRAM_CONTRACT} must be a JSON object. Convert the model again.")
    return {str(key): str(value) for key, value in table.items()}


@contextmanager
def _pickles_hold_tensors_only() -> Iterator[None]:
    """Forbid what torch does by default: it unpickles parts of an exported program, and the code in them runs."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _kept_from_the_log(errors: list[BaseException]) -> Iterator[None]:
    """Add to ``errors`` those that torch logs, traceback and all, before it raises another that refers to its log."""

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            errors.append(record.exc_info[1])
        return False

    logger = logging.getLogger("torch.export")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


class _Exported(torch.nn.Module):
    """Holds an exported program, whose mode was fixed at export and which refuses ``eval()``."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.program(x)
        return answer

    def train(self, mode: bool = True) -> "_Exported":  # noqa: ARG002, FBT001, FBT002 - the signature is torch's
        return self
