"""Tensors by name and string metadata in one safetensors file, typed."""

# pyright: basic
# safetensors is published without complete types; this is the only module that calls it.

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

__all__ = ["TensorFileError", "pack_tensors", "read_tensors"]


class TensorFileError(ValueError):
    """The file is not a complete safetensors file; callers say what it was to be."""


def pack_tensors(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the file's bytes: the same for the same tensors and one metadata key."""
    contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    return safetensors.numpy.save(contiguous, dict(metadata))


def read_tensors(path: Path, *, prefix: str = "") -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return metadata and tensors.

    Args:
        path: the file.
        prefix: of the names of the tensors that are read; the others stay on the disk.

    Raises:
        TensorFileError: the file is truncated, something else, or holds types that NumPy lacks.
        OSError: it cannot be read.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a mapping
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in names}
    # NumPy has no bfloat16 and no 8-bit floats: looking their types up fails in these two ways
    except (safetensors.SafetensorError, TypeError, AttributeError) as error:
        raise TensorFileError(str(error)) from error
