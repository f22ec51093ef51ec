"""The binary version of CIFAR-10 and CIFAR-100: one or two bytes of labels and 3072 of pixels for each image."""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.errors import DataError

__all__ = ["parse_lines", "parse_records"]


def parse_records(content: bytes, where: str, *, label: int, labels: int) -> tuple[NDArray[np.uint8], Labels]:
    """Return the rows, uint8 (n, 3072), and byte ``label`` of the ``labels`` bytes that stand before each row, (n,).

    Raises:
        DataError: the file is no whole number of records.
    """
    record = labels + 3072
    if not content or len(content) % record:
        raise DataError(
            f"{where} must be a whole number of {record}-byte records; found {len(content)} bytes. Download it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, labels:], records[:, label].astype(np.int64)


def parse_lines(content: bytes, where: str) -> tuple[str, ...]:
    """Return the names of the classes, one a line.

    Raises:
        DataError: there is none.
    """
    lines = (line.strip() for line in content.decode("utf-8", "replace").splitlines())
    names = tuple(line for line in lines if line)
    if not names:
        raise DataError(f"{where} must hold the names of the classes, one a line; it is empty. Download it again.")
    return names
