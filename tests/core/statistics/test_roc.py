"""The AUC against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from cae_core.errors import DataError
from cae_core.statistics.roc import auc_interval, roc_auc


@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 1000]))
def test_the_auc_is_scikit_learns(seed: int, levels: int) -> None:
    """Few levels make many ties."""
    random = np.random.default_rng(seed)
    surrogates, references = (random.integers(0, levels, random.integers(1, 30)) / levels for _ in range(2))
    truth = np.r_[np.ones(len(surrogates)), np.zeros(len(references))]
    expected = roc_auc_score(truth, np.r_[surrogates, references])
    assert roc_auc(surrogates.tolist(), references.tolist()) == pytest.approx(expected, abs=1e-12)


def test_the_ends_of_the_range() -> None:
    assert roc_auc([0.9, 0.8], [0.1, 0.7]) == 1
    assert roc_auc([0.1], [0.5, 0.6]) == 0
    assert roc_auc([0.5, 0.5], [0.5]) == 0.5


@pytest.mark.parametrize(("surrogates", "references"), [([], [0.5]), ([0.5], [])])
def test_one_empty_side_is_refused(surrogates: list[float], references: list[float]) -> None:
    with pytest.raises(DataError, match="at least one score of each side"):
        roc_auc(surrogates, references)


@pytest.mark.parametrize(("s", "r", "seed"), [(3, 2, 0), (31, 37, 1), (5, 100, 2), (1, 1, 3)])
def test_the_limits_solve_newcombes_equation(s: int, r: int, seed: int) -> None:
    """Each is 1.96 standard errors, of its own, from the estimate: solved anew as roots of the equation."""
    random = np.random.default_rng(seed)
    scores = random.normal(1, 1, s).tolist(), random.normal(0, 1, r).tolist()
    found, limits = roc_auc(*scores), auc_interval(*scores)

    def equation(theta: float) -> float:
        q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)  # Hanley & McNeil 1982
        n = (s + r) / 2 - 1
        variance = (theta * (1 - theta) + n * (q1 - theta**2) + n * (q2 - theta**2)) / (s * r)
        return (found - theta) ** 2 - norm.ppf(0.975) ** 2 * variance

    for limit, edge in zip(limits, (0.0, 1.0), strict=True):
        if found == edge:
            assert limit == pytest.approx(edge, abs=1e-12)
        else:
            inside = found + (edge - found) * 1e-9
            assert limit == pytest.approx(brentq(equation, min(inside, edge), max(inside, edge)), abs=1e-6)


def test_the_interval_holds_the_area_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    truth = norm.cdf(1.5 / np.sqrt(2))
    held = 0
    for _ in range(400):
        low, high = auc_interval(random.normal(1.5, 1, 20).tolist(), random.normal(0, 1, 25).tolist())
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.985


def test_models_that_are_told_apart_leave_room_for_doubt() -> None:
    low, high = auc_interval([0.9, 0.8, 0.7], [0.1, 0.2])
    assert low < 0.5
    assert high == 1
    assert auc_interval([0.1, 0.2], [0.9, 0.8, 0.7]) == pytest.approx((0, 1 - low))
