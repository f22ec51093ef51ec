"""The AUC against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cae_core.errors import DataError
from cae_core.statistics.roc import roc_auc


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
