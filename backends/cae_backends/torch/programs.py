"""Programs that torch wrote, as `TorchModel`: exported ones (``.pt2``) and TorchScript.

To load either runs what stands in it, so its user says first that the file is his own; see `runs_code` of the loaders.
"""

import json
import logging
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor

from cae_backends.batches import check_fixed_batch
from cae_backends.contract_files import PROGRAM_CONTRACT, find_contract, image_shape
from cae_backends.torch.model import TorchModel
from cae_backends.torch.trying import tried
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError, first_line
from cae_core.loaders import Device
from cae_core.reading import file_size, reading

__all__ = ["Program", "load_exported", "load_scripted", "open_exported", "open_scripted"]


def open_exported(path: Path, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open what ``torch.export.save`` wrote; one with a fixed batch is asked in batches of that size.

    Raises:
        ModelError: the file is no exported program.
        ContractError: there is no contract: given, in a sidecar, or in the file.
    """
    program = load_exported(path)
    shape = program.input_shape
    found = find_contract(path, _metadata(program.carried, path), shape, contract, dtype=program.dtype)
    return TorchModel(
        program.module,
        contract=found,
        device=device,
        image_shape=image_shape(found, shape),
        origin=str(path),
    )


def open_scripted(path: Path, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open what ``torch.jit.save`` wrote.

    Raises:
        ModelError: torch cannot load it.
        ContractError: there is no contract: given, or in a sidecar.
    """
    program = load_scripted(path)
    found = find_contract(path, {}, (), contract, look=lambda: tried(program, origin=str(path)))
    return TorchModel(program, contract=found, device=device, origin=str(path))


def load_exported(path: Path) -> "Program":
    """Load what ``torch.export.save`` wrote.

    Raises:
        ModelError: it is no exported program, or takes too many images at a time.
    """
    with reading(path, ModelError, fault="this exported program cannot be loaded", remedy="Export it again."):
        file_size(path)  # it is a file, and no pipe
        return _loaded(path)


def load_scripted(path: Path) -> torch.nn.Module:
    """Load what ``torch.jit.save`` wrote.

    Raises:
        ModelError: torch cannot load it.
    """
    with (
        reading(
            path, ModelError, fault="this TorchScript program cannot be loaded", remedy="Script or trace it again."
        ),
        warnings.catch_warnings(),
        path.open("rb") as file,
    ):
        file_size(path)
        warnings.simplefilter("ignore")  # that TorchScript is deprecated, its reader cannot change
        program = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
    for weight in program.parameters():
        weight.requires_grad_(requires_grad=False)  # else those of a copy would be results, with a history
    return _Scripted(program)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What an exported program holds.

    Attributes:
        module: module that answers any number of images, even if the program's batch is fixed.
        carried: the text of its further file.
        input_shape: shape of the only input; a free axis is None; empty: the shape cannot be told.
        dtype: likewise, as NumPy calls it.
    """

    module: torch.nn.Module
    carried: str
    input_shape: tuple[int | None, ...]
    dtype: str


def _loaded(path: Path) -> Program:
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
    shape, dtype = _input_of(program)
    batch = shape[0] if shape else None
    check_fixed_batch(batch or 1, str(path))
    module = _Exported(program.module(), batch)
    return Program(module=module, carried=carried[PROGRAM_CONTRACT], input_shape=shape, dtype=dtype)


def _input_of(program: Any) -> tuple[tuple[int | None, ...], str]:  # noqa: ANN401 - an ExportedProgram
    """Return shape and type of the only input; an empty shape where there is none, or several."""
    given = set(program.graph_signature.user_inputs)
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in given]
    if len(values) != 1 or not isinstance(values[0], Tensor):
        return (), "float32"
    axes = tuple(axis if isinstance(axis, int) else None for axis in values[0].shape)
    return axes, str(values[0].dtype).removeprefix("torch.")


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
    """Holds an exported program, whose mode was fixed at export and which refuses ``eval()``.

    Args:
        program: takes a tensor of images.
        batch: that it takes at once; None: any.
    """

    def __init__(self, program: torch.nn.Module, batch: int | None) -> None:
        super().__init__()
        self.program, self.batch = program, batch

    def forward(self, x: Tensor) -> Tensor:
        if self.batch is None or len(x) == self.batch:
            answer: Tensor = self.program(x)
            return answer
        spare = -len(x) % self.batch
        filled = torch.cat([x, x[-1:].expand(spare, *x.shape[1:])]) if spare else x
        parts: list[Tensor] = [self.program(part) for part in torch.split(filled, self.batch)]
        for part in parts:
            if not isinstance(part, Tensor) or part.ndim == 0 or len(part) != self.batch:
                return part  # whoever asked says what is wrong with it
        return torch.cat(parts)[: len(x)]

    def train(self, mode: bool = True) -> "_Exported":  # noqa: ARG002, FBT001, FBT002 - the signature is torch's
        return self


class _Scripted(torch.nn.Module):
    """Holds a TorchScript program, which answers as it is written: no profile of the first calls changes the others."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):  # who traces it would hold its compiled form, which no change of type reaches
            raise TypeError("a TorchScript program is not traced")
        with torch.jit.optimized_execution(should_optimize=False):  # type: ignore[attr-defined] # its documented name
            answer: Tensor = self.program(x)
        return answer
