"""Model dropout: a function of seed and step, never an empty pool, the source always kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.method.dropout import keep_mask


def masks(steps: int, seed: int = 1, members: int = 8, dropout: float = 0.3) -> NDArray[np.bool_]:
    drawn = [
        keep_mask(seed=seed, step=s, surrogates=members, references=members, dropout=dropout) for s in range(steps)
    ]
    return np.array(drawn)


@given(seed=st.integers(0, 2**63), step=st.integers(0, 10**6), members=st.integers(1, 20))
def test_the_mask_is_a_function_of_seed_and_step(seed: int, step: int, members: int) -> None:
    np.random.seed(0)  # noqa: NPY002 - the global state must not matter
    first = keep_mask(seed=seed, step=step, surrogates=members, references=2, dropout=0.3)
    np.random.seed(1)  # noqa: NPY002
    keep_mask(seed=seed, step=step + 1, surrogates=members, references=2, dropout=0.3)
    again = keep_mask(seed=seed, step=step, surrogates=members, references=2, dropout=0.3)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (1 + members + 2,)
    assert first.dtype == np.bool_


def test_seeds_and_steps_differ() -> None:
    assert not np.array_equal(masks(20, seed=1), masks(20, seed=2))
    assert len({mask.tobytes() for mask in masks(100)}) > 80


def test_the_source_is_always_kept() -> None:
    assert masks(200)[:, 0].all()


@pytest.mark.parametrize("dropout", [0.3, 0.9, 0.99])
def test_no_pool_is_ever_empty(dropout: float) -> None:
    drawn = masks(300, members=2, dropout=dropout)[:, 1:]
    assert drawn[:, :2].any(axis=1).all()
    assert drawn[:, 2:].any(axis=1).all()


def test_each_member_is_kept_seven_times_in_ten() -> None:
    """Over 2000 steps the standard deviation is 0.01; pools of eight are practically never redrawn."""
    np.testing.assert_allclose(masks(2000)[:, 1:].mean(axis=0), 0.7, atol=0.045)


def test_without_dropout_everybody_is_kept() -> None:
    assert masks(50, dropout=0.0).all()


def test_members_drop_out_independently_of_each_other_and_of_the_steps_before() -> None:
    """Draws of one step that repeat those of another one would let the same members sit out in turn."""
    drawn = masks(2000)[:, 1:].astype(float)
    for lag in range(4):
        early, late = drawn[: len(drawn) - lag], drawn[lag:]
        correlation = np.corrcoef(early.T, late.T)[:16, 16:]
        if lag == 0:
            np.fill_diagonal(correlation, 0)
        assert np.abs(correlation).max() < 0.12, f"lag {lag}"
