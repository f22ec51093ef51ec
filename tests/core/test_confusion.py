"""True classes, labels, and what models answer to a fingerprint."""

import numpy as np
import pytest

from cae_core.calibration import CalibrationModel, Group, answer_shares
from cae_core.confusion import confusion_matrix
from cae_core.fingerprint import Fingerprint


def test_the_matrix_counts_each_pair() -> None:
    random = np.random.default_rng(4)
    truth, labels = random.integers(0, 5, (2, 200))
    matrix = confusion_matrix(truth, labels, classes=5)
    naive = [[sum((truth == t) & (labels == y)) for y in range(5)] for t in range(5)]
    assert matrix.tolist() == naive
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix.T, confusion_matrix(labels, truth, classes=5))


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
