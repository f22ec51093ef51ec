"""CAEAcc: matches over all asked, with its interval."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.errors import DataError
from cae_core.method.caeacc import cae_accuracy


@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=60), seed=st.integers(0, 1000))
def test_caeacc_is_the_share_of_equal_labels(labels: list[int], seed: int) -> None:
    wanted = np.array(labels, np.int64)
    random = np.random.default_rng(seed)
    answers = np.where(random.random(len(wanted)) < 0.5, wanted, random.integers(-1, 10, len(wanted)))
    result = cae_accuracy(answers, wanted)
    matches = sum(int(a) == b for a, b in zip(answers, labels, strict=True))
    assert (result.matches, result.asked, result.value) == (matches, len(labels), matches / len(labels))
    expected = scipy.stats.binomtest(matches, len(labels)).proportion_ci(0.95, method="exact")
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_refusal_is_no_match_and_counts_as_asked() -> None:
    result = cae_accuracy(np.array([-1, -1, 2, 2]), np.array([0, 1, 2, 2]))
    assert (result.matches, result.asked, result.value) == (2, 4, 0.5)


@pytest.mark.parametrize(
    ("answers", "labels"),
    [
        (np.zeros((3, 10)), np.zeros(3, np.int64)),
        (np.zeros(3), np.zeros(3, np.int64)),
        (np.zeros(3, np.int64), np.zeros((3, 10), np.float32)),
        (np.zeros((3, 1), np.int64), np.zeros(3, np.int64)),
        (np.zeros(3, np.bool_), np.zeros(3, np.int64)),
    ],
)
def test_scores_in_the_place_of_labels_are_refused(answers: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    """Comparing logits with labels gives an array of False, and never an error by itself."""
    with pytest.raises(DataError, match="must be integer labels"):
        cae_accuracy(answers, labels)


@pytest.mark.parametrize(("answers", "labels"), [(2, 3), (0, 0), (1, 0)])
def test_other_lengths_and_nothing_are_refused(answers: int, labels: int) -> None:
    with pytest.raises(DataError, match="of the same length, at least 1"):
        cae_accuracy(np.zeros(answers, np.int64), np.zeros(labels, np.int64))
