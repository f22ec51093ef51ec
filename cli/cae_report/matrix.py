"""The confusion matrix of true class and source's label, as a table that fits a page."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from cae_core.foreign_text import visible
from cae_report.tables import LabelPair

__all__ = ["Matrix", "matrix_of"]

_MOST = 12  # classes that fit a page
_LONGEST = 28  # characters of a class's name that fit the head of a column
_DARKEST = 0.55  # of a cell's colour, so that its number stays readable


@dataclass(frozen=True)
class Matrix:
    """A table of counts.

    Attributes:
        classes: heads of rows and columns, the middle of a long name cut; where there are many classes, the last is all
            the others.
        rows: counts by true class, then by label.
        shades: 0 to 1, of the same cells.
        truths: sums of the rows.
        labels: sums of the columns: the distribution of the source's labels.
    """

    classes: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    shades: tuple[tuple[float, ...], ...]
    truths: tuple[int, ...]
    labels: tuple[int, ...]


def matrix_of(classes: tuple[str, ...], pairs: tuple[LabelPair, ...]) -> Matrix:
    """Return the matrix; of many classes those with the most examples are kept apart and the others put together."""
    found = Counter[int]()
    for pair in pairs:
        found.update({pair.truth: pair.examples, pair.label: pair.examples})
    numbers = range(len(classes))
    kept = sorted(sorted(numbers, key=lambda number: (-found[number], number))[:_MOST])
    heads = [visible(classes[number], _LONGEST) for number in kept]
    if len(kept) < len(classes):
        heads.append(f"{len(classes) - len(kept)} others")
    place = {number: kept.index(number) if number in kept else len(kept) for number in numbers}
    counts = np.zeros((len(heads), len(heads)), np.int64)
    for pair in pairs:
        counts[place[pair.truth], place[pair.label]] += pair.examples
    shades = _DARKEST * counts / max(1, int(counts.max()))
    return Matrix(
        tuple(heads),
        tuple(map(tuple, counts.tolist())),
        tuple(tuple(round(shade, 3) for shade in row) for row in shades.tolist()),
        tuple(counts.sum(axis=1).tolist()),
        tuple(counts.sum(axis=0).tolist()),
    )
