"""Tensors by name and string metadata in one safetensors file, typed."""

# pyright: basic
# safetensors is published without complete types; this is the only module that calls it.

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from cae_core.errors import first_line

__all__ = ["TensorFileError", "check_complete", "pack_tensors", "read_metadata", "read_tensors", "unpack_tensors"]

_LARGEST_HEADER = 1 << 24
"""Bytes: a parser makes twenty times as many of them."""


_READ_AT_ONCE = 1 << 26
"""Bytes: of a larger file the header is looked at before the rest is read."""


class TensorFileError(ValueError):
    """The file is not a complete safetensors file; callers say what it was to be."""


def pack_tensors(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the file's bytes: the same for the same tensors and one metadata key."""
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    return safetensors.numpy.save(contiguous, dict(metadata))


def unpack_tensors(content: bytes) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return metadata and tensors of a file's ``content``.

    Raises:
        TensorFileError: it is truncated, something else, or holds types that NumPy lacks.
    """
    length = int.from_bytes(content[:8], "little")
    if length > _LARGEST_HEADER:
        raise TensorFileError(f"its header has {length} bytes, and at most {_LARGEST_HEADER} are read")
    try:
        tensors = safetensors.numpy.load(content)
    # NumPy has no bfloat16 and no 8-bit floats: looking their types up fails in one of these ways
    except (safetensors.SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(first_line(error)) from error
    header = json.loads(content[8 : 8 + length])  # it was checked just now
    return dict(header.get("__metadata__") or {}), tensors


def check_complete(path: Path) -> None:
    """Refuse a large file whose header does not describe all of it, before all of it is read into memory.

    Raises:
        TensorFileError: it does not.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size <= _READ_AT_ONCE:
        return  # unopened: it is about to be read, and every file is opened once
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LARGEST_HEADER else b""
    try:
        tensors = [row for name, row in json.loads(header).items() if name != "__metadata__"]
        described = 8 + length + max((int(row["data_offsets"][1]) for row in tensors), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise TensorFileError("no header") from error
    if described != size:
        raise TensorFileError(f"it has {size} bytes, and its header describes {described}")


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return metadata and tensors of a file.

    Raises:
        TensorFileError: see `unpack_tensors`.
        OSError: it cannot be read.
    """
    check_complete(path)
    return unpack_tensors(path.read_bytes())


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file without reading its tensors, which may be missing.

    Raises:
        TensorFileError: it does not begin as such a file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LARGEST_HEADER else b""
    try:
        metadata = json.loads(header)["__metadata__"]
        return {str(name): str(value) for name, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TensorFileError(f"no header: {error!r}") from error
