"""Weights that an ONNX file keeps in files beside it: are these there, and do they hold what the model says?

Asked before the weights are read, so that a file that was left behind or cut is told by its name, and that no file
outside of the model's own folder is ever opened. https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from cae_core.errors import ModelError, first_line
from cae_core.files.digests import leads_into_store

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

__all__ = ["check_external_data", "external_files", "load_external_data", "shown"]

_AGAIN = "Copy the model again with all of its files, or export it as one file."
_LONGEST = 80


def check_external_data(model: "ModelProto", path: Path) -> None:
    """Refuse a model whose weights in other files are not there, not complete, or not in the model's own folder.

    Args:
        model: as ``onnx.load(path, load_external_data=False)`` gives it.
        path: the file that it was read from; its weights are looked for in the same folder.

    Raises:
        ModelError: it names the file of weights, and what is wrong with it.
    """
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL:
            _place(tensor, path)


def load_external_data(model: "ModelProto", path: Path) -> None:
    """Read into ``model`` every tensor that lies in another file, those of sparse weights and of functions included.

    onnx's own reading leaves the parts of sparse weights outside, and refuses files with two names, which stores of
    downloads have and the runtime reads.

    Args:
        model: as ``onnx.load(path, load_external_data=False)`` gives it.
        path: as of `check_external_data`.

    Raises:
        ModelError: as of `check_external_data`, asked of all of them before the first is read.
        OSError: a file cannot be read.
    """
    check_external_data(model, path)
    for tensor in _tensors(model):
        if tensor.data_location == tensor.EXTERNAL:
            place = _place(tensor, path)
            with place.file.open("rb") as file:
                file.seek(place.offset)
                tensor.raw_data = file.read(place.length)
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]


def external_files(model: "ModelProto", path: Path) -> set[Path]:
    """Return the files in which ``model`` says that its weights lie, each by its name in the model's folder.

    Args:
        model: as ``onnx.load(path, load_external_data=False)`` gives it.
        path: as of `check_external_data`.

    Raises:
        ModelError: as of `check_external_data`.
    """
    return {_place(tensor, path).file for tensor in _tensors(model) if tensor.data_location == tensor.EXTERNAL}


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies: ``length`` bytes from ``offset`` on; -1: to the end of the file."""

    file: Path
    offset: int
    length: int


def _tensors(message: Any) -> "Iterator[TensorProto]":  # noqa: ANN401 - any protobuf message
    """Yield every tensor of a message: initializers, sparse ones, attributes, those of subgraphs and functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(part)


def _place(tensor: "TensorProto", path: Path) -> _Place:
    """Return where a tensor lies, which has been looked at; see `check_external_data`."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, location = shown(tensor.name or "without a name"), said.get("location", "")
    if not location:
        raise ModelError(f"{path}: the tensor {name} lies in a second file that the model does not name. {_AGAIN}")
    file, available = _file(location, path)
    offset, length = (_bytes(said.get(key, ""), key, name, location, path) for key in ("offset", "length"))
    needed = _needed(tensor)
    if length is not None and needed is not None and length != needed:
        raise ModelError(
            f"{path}: the tensor {name} takes {needed} bytes, and the model says that {shown(location)} holds "
            f"{length} for it. Export the model again."
        )
    end = (offset or 0) + (length if length is not None else needed or 0)
    if end > available:
        raise ModelError(
            f"{path}: its file of weights {shown(location)} has {available} bytes, and the tensor {name} ends at "
            f"byte {end}. {_AGAIN}"
        )
    taken = length if length is not None else needed
    return _Place(file, offset or 0, -1 if taken is None else taken)


def _file(location: str, path: Path) -> tuple[Path, int]:
    """Return the file at ``location``, seen from the model's folder, and its size in bytes."""
    name, windows = shown(location), PureWindowsPath(location)
    if PurePosixPath(location).is_absolute() or windows.drive or windows.root:
        raise ModelError(f"{path}: its weights must lie beside it, and it names the absolute path {name}. {_AGAIN}")
    if ".." in (*PurePosixPath(location).parts, *windows.parts):  # behind a link it leads elsewhere than it says
        raise ModelError(
            f"{path}: its weights must lie in its own folder, and {name} leads upwards and is not read. {_AGAIN}"
        )
    file = path.parent / os.path.relpath(path.parent / location, path.parent)
    try:
        if not _lies_beside(file, path):
            raise ModelError(
                f"{path}: its weights must lie in its own folder, and {name} leads out of it, or is a link, and is not "
                f"read. {_AGAIN}"
            )
        found = file.stat()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: its weights lie in a second file, {name}, which is not there. {_AGAIN}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL
        raise ModelError(
            f"{path}: its file of weights {name} cannot be read ({first_line(error)}). {_AGAIN}"
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{path}: its weights must lie in a file, and {name} is none. {_AGAIN}")
    return file, found.st_size


def _lies_beside(file: Path, model: Path) -> bool:
    """Return whether a file lies in the model's folder, itself and not by a link.

    A cache of downloads holds links, to the model and to its weights, into one other folder: these are followed.
    """
    folder = Path(os.path.abspath(model.parent))  # noqa: PTH100 - links stay links
    named = Path(os.path.abspath(file))  # noqa: PTH100
    if not named.is_relative_to(folder):
        return False
    real = Path(os.path.realpath(file))
    if real == Path(os.path.realpath(folder)) / named.relative_to(folder):
        return True
    return model.is_symlink() and real.parent == Path(os.path.realpath(model)).parent and leads_into_store(file, folder)


def _bytes(text: str, key: str, name: str, location: str, path: Path) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ModelError(
            f"{path}: the {key} of the tensor {name} in {shown(location)} must be a number of bytes; "
            f"found {shown(text)}. Export the model again."
        )
    return int(text)


def _needed(tensor: "TensorProto") -> int | None:
    """Return how many bytes the tensor takes; None for a type without a size."""
    from onnx import TensorProto, helper

    count = int(math.prod(max(0, size) for size in tensor.dims))
    name = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in TensorProto.DataType.values() else ""
    if name.endswith("INT4") or name == "FLOAT4E2M1":  # two numbers a byte
        return (count + 1) // 2
    if name == "BFLOAT16" or name.startswith("FLOAT8"):  # an older onnx hands them to NumPy as float32
        return count * (2 if name == "BFLOAT16" else 1)
    try:
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, TypeError, ValueError):  # a type of a newer onnx
        return None
    if kind.kind == "O" or name in ("INT2", "UINT2", "STRING"):
        return None
    return count * int(kind.itemsize)


def shown(text: str) -> str:
    r"""Return a foreign text as one short piece of a sentence.

    Example:
        >>> shown("a\nb")
        "'a\\nb'"
    """
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return short if short.isprintable() else ascii(short)
