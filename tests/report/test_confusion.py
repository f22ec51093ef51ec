"""How many examples of each true class have each label."""

import numpy as np
import pytest

from cae_core.errors import DataError
from cae_report.tables import confusion_matrix


def test_the_matrix_counts_each_pair() -> None:
    random = np.random.default_rng(4)
    truth, labels = random.integers(0, 5, (2, 200))
    matrix = confusion_matrix(truth, labels, classes=5)
    naive = [[sum((truth == t) & (labels == y)) for y in range(5)] for t in range(5)]
    assert matrix.tolist() == naive
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix.T, confusion_matrix(labels, truth, classes=5))


@pytest.mark.parametrize("outside", [-1, 5, 1000])
@pytest.mark.parametrize("side", ["true classes", "labels"])
def test_a_label_outside_the_classes_is_refused(outside: int, side: str) -> None:
    """It would be counted in the cell of another class."""
    inside, strayed = np.array([0, 4, 2]), np.array([1, outside, 3])
    pair = (strayed, inside) if side == "true classes" else (inside, strayed)
    with pytest.raises(DataError, match=rf"The {side} must lie in 0 \.\. 4; found {outside}"):
        confusion_matrix(*pair, classes=5)


def test_nothing_is_counted_nowhere() -> None:
    assert confusion_matrix(np.zeros(0, np.int64), np.zeros(0, np.int64), classes=2).tolist() == [[0, 0], [0, 0]]


def test_classes_that_do_not_occur_have_empty_rows() -> None:
    assert confusion_matrix(np.array([2]), np.array([0]), classes=4).tolist() == [
        [0] * 4,
        [0] * 4,
        [1, 0, 0, 0],
        [0] * 4,
    ]
