"""The python version of CIFAR-10 and CIFAR-100: pickled dictionaries with an array of rows and a list of labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.unpickling import unpickle_table
from cae_core.arrays import Labels
from cae_core.errors import DataError

__all__ = ["parse_names", "parse_pickle"]


_LARGEST = 1 << 28
"""Bytes of rows: a pickle can name one row many times. CIFAR-100's have 154 million."""


def parse_pickle(content: bytes, where: str, *, labels: str) -> tuple[NDArray[np.uint8], Labels]:
    """Return the rows, uint8 (n, 3072), and the numbers that the key ``labels`` names, (n,).

    As published, or as a script has written them again: with text keys, with lists for arrays or arrays for lists.

    Raises:
        DataError: the file is truncated, malformed, or a pickle that asks for more than arrays.
    """
    table = unpickle_table(content, where)
    rows = _rows(_item(table, "data", where), where)
    numbers = _item(table, labels, where)
    listed = numbers.tolist() if isinstance(numbers, np.ndarray) and numbers.ndim == 1 else numbers
    if not isinstance(listed, list | tuple) or not all(_small(x) for x in listed):
        raise DataError(f"{where} must hold {labels}, a list of small numbers; found {_kind(numbers)}.")
    return rows, np.array(listed, np.int64)


def parse_names(content: bytes, where: str, *, key: str) -> tuple[str, ...]:
    """Return the names of the classes that ``key`` names.

    Raises:
        DataError: as `parse_pickle`.
    """
    names = _item(unpickle_table(content, where), key, where)
    if not isinstance(names, list | tuple) or not all(isinstance(name, bytes | str) for name in names):
        raise DataError(f"{where} must hold {key}, a list of strings; found {_kind(names)}.")
    return tuple(name if isinstance(name, str) else name.decode("utf-8", "replace") for name in names)


def _item(table: dict[str, Any], key: str, where: str) -> Any:  # noqa: ANN401 - plain data
    if key not in table:
        found = ", ".join(sorted(table)[:8]) or "nothing"
        raise DataError(f"{where} must hold {key}; found {found}.")
    return table[key]


def _rows(data: Any, where: str) -> NDArray[np.uint8]:  # noqa: ANN401 - plain data
    made = _stacked(data)
    if made is None or made.dtype.kind not in "iu" or made.ndim != 2 or made.shape[1] != 3072 or _outside(made):
        raise DataError(f"{where} must hold data, uint8 (n, 3072); found {_kind(data)}.")
    return made.astype(np.uint8, copy=False)


def _stacked(data: object) -> NDArray[Any] | None:
    """Return an array as it is, or one of a list of rows; None where it is neither."""
    if isinstance(data, np.ndarray):
        return data
    if not isinstance(data, list | tuple) or not data or len(data) * 3072 > _LARGEST:
        return None
    return np.stack([np.asarray(row) for row in data]) if all(_is_row(row) for row in data) else None


def _is_row(row: object) -> bool:
    if isinstance(row, np.ndarray):
        return bool(row.shape == (3072,))
    return isinstance(row, list | tuple) and len(row) == 3072 and all(_small(x) for x in row)


def _outside(made: NDArray[Any]) -> bool:
    return bool(made.size) and not 0 <= int(made.min()) <= int(made.max()) < 256


def _small(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < 256


def _kind(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
