"""The benign check: nonsense answers are no sign of independence."""

import numpy as np
import pytest
import scipy.stats

from cae_core.fingerprint.benign import check_benign

TRUTH = np.arange(50, dtype=np.int64) % 10


def answers(right: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return answers of which exactly ``right`` are right."""
    return np.where(np.arange(50) < right, TRUTH, (TRUTH + 1) % 10).astype(np.int64)


@pytest.mark.parametrize("right", range(51))
def test_the_check_fails_where_the_upper_limit_is_below_halfway(right: int) -> None:
    """Halfway between chance, 0.1, and the source's 0.9 is 0.5."""
    reason = check_benign(answers(right), TRUTH, classes=10, source_accuracy=0.9)
    limit = scipy.stats.binomtest(right, 50).proportion_ci(0.99, method="exact").high
    assert (reason is not None) == (limit < 0.5)
    if reason is not None:
        assert f"the model is right on {right / 50:.0%} of 50 benign images, and the source on 90%" in reason


def test_a_weak_source_asks_for_less() -> None:
    assert check_benign(answers(11), TRUTH, classes=10, source_accuracy=0.95) is not None
    assert check_benign(answers(11), TRUTH, classes=10, source_accuracy=0.5) is None


def test_a_constant_suspect_fails_whatever_its_accuracy() -> None:
    lopsided = np.where(np.arange(50) < 45, 3, 4).astype(np.int64)
    reason = check_benign(np.full(50, 3), lopsided, classes=10, source_accuracy=0.9)
    assert reason is not None
    assert "the same class, 3, to all 50 benign images" in reason


def test_a_suspect_that_never_answers_fails() -> None:
    reason = check_benign(np.full(50, -1), TRUTH, classes=10, source_accuracy=0.9)
    assert reason is not None
    assert "no usable answer" in reason


def test_one_class_only_among_the_probes_is_no_constant_suspect() -> None:
    same = np.full(50, 7)
    assert check_benign(same, same, classes=10, source_accuracy=0.9) is None
