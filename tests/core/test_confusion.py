"""True classes, labels, and what models answer to a fingerprint."""

import numpy as np
import pytest

from cae_core.calibration import CalibrationModel, Group, answer_shares
from cae_core.confusion import confusion_matrix
from cae_core.errors import DataError
from cae_core.fingerprint import Fingerprint


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


def test_answers_are_the_label_the_truth_or_neither(fingerprint: Fingerprint) -> None:
    asked = np.array([3, 7, 1, 15])
    labels, truth = fingerprint.labels[asked], fingerprint.ground_truth[asked]
    shares = answer_shares(np.array([labels[0], labels[1], truth[2], -1]), fingerprint, asked)
    assert (shares.match, shares.truth, shares.third) == (0.5, 0.25, 0.25)
    two = answer_shares(np.stack([labels, truth]), fingerprint, asked)
    assert (two.match, two.truth, two.third) == (0.5, 0.5, 0.0)


def test_accuracies_are_on_the_probes_that_were_asked() -> None:
    right = np.array([[True, False, True, True], [False, False, True, False]])
    models = tuple(CalibrationModel(name=str(i), sha256=str(i)) for i in range(2))
    group = Group(models=models, answers=np.zeros((2, 3), np.int64), right=right)
    assert group.accuracy(np.array([0, 1, 2])) == pytest.approx([2 / 3, 1 / 3])
    assert group.accuracy(np.array([1])).tolist() == [0.0, 0.0]
