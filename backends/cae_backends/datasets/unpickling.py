"""Pickled originals, read without running them: a pickle is a program, so only plain data are ever made of it."""

import io
import pickle
import struct
from typing import Any

import numpy as np

from cae_core.errors import DataError

__all__ = ["unpickle_table"]

_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, lists, dictionaries, strings and numbers, and refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class has it
        if (module, name) not in _ALLOWED:
            raise DataError(f"the pickle asks for {module}.{name}, which no data set needs. Do not trust it.")
        return _ALLOWED[module, name]


def unpickle_table(content: bytes, where: str) -> dict[bytes, Any]:
    """Return the dictionary that Python 2 pickled; its strings are bytes.

    Raises:
        DataError: it is truncated, no dictionary, or asks for more than plain data.
    """
    try:
        table = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except DataError as exc:
        raise DataError(f"{where}: {exc}") from exc
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, struct.error,
        MemoryError, OverflowError, RecursionError,
    ) as exc:  # fmt: skip
        raise DataError(f"{where} is truncated or no python file of its data set. Download it again.") from exc
    if not isinstance(table, dict):
        raise DataError(f"{where} must hold a dictionary; found {type(table).__name__}.")
    return table
