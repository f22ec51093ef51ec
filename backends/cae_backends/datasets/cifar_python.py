"""The python version of CIFAR-10 and CIFAR-100: pickled dictionaries with an array of rows and a list of labels."""

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets.unpickling import unpickle_table
from cae_core.arrays import Labels
from cae_core.errors import DataError

__all__ = ["parse_names", "parse_pickle"]


def parse_pickle(content: bytes, where: str, *, labels: bytes) -> tuple[NDArray[np.uint8], Labels]:
    """Return the rows, uint8 (n, 3072), and the list that the key ``labels`` names, (n,).

    Raises:
        DataError: the file is truncated, malformed, or a pickle that asks for more than arrays.
    """
    table = unpickle_table(content, where)
    rows, numbers = table.get(b"data"), table.get(labels)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3072:
        found = f"{rows.dtype} {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DataError(f"{where} must hold data, uint8 (n, 3072); found {found}.")
    if not isinstance(numbers, list) or not all(isinstance(x, int) and 0 <= x < 256 for x in numbers):
        raise DataError(
            f"{where} must hold {labels.decode()}, a list of small numbers; found {type(numbers).__name__}."
        )
    return rows, np.array(numbers, np.int64)


def parse_names(content: bytes, where: str, *, key: bytes) -> tuple[str, ...]:
    """Return the names of the classes that ``key`` names.

    Raises:
        DataError: as `parse_pickle`.
    """
    names = unpickle_table(content, where).get(key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{where} must hold {key.decode()}, a list of strings; found {type(names).__name__}.")
    return tuple(name.decode("utf-8", "replace") for name in names)
