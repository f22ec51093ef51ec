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

__all__ = ["TensorFileError", "pack_tensors", "read_metadata", "read_tensors", "unpack_tensors"]

_LONGEST_HEADER = 100_000_000
"""Of safetensors itself, in bytes."""


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
    try:
        tensors = safetensors.numpy.load(content)
    # NumPy has no bfloat16 and no 8-bit floats: looking their types up fails in one of these ways
    except (safetensors.SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(str(error)) from error
    # the header was checked just now: its length in 8 bytes, then JSON
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header.get("__metadata__") or {}), tensors


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return metadata and tensors of a file.

    Raises:
        TensorFileError: see `unpack_tensors`.
        OSError: it cannot be read.
    """
    return unpack_tensors(path.read_bytes())


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file without reading its tensors, which may be missing.

    Raises:
        TensorFileError: it does not begin as such a file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LONGEST_HEADER else b""
    try:
        metadata = json.loads(header)["__metadata__"]
        return {str(name): str(value) for name, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TensorFileError(f"no header: {error!r}") from error
