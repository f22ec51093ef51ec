"""Softmax in the log domain against SciPy, on hostile logits."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from cae_core.method.softmax import log_mean_exp, log_others, log_softmax

HOSTILE = [
    [0.0, 0.0],
    [5.0, 5.0, 5.0],
    [1e4, 0.0, -1e4],
    [1e4, 1e4, 0.0],
    [-1e4, -1e4, -1e4],
    [40.0, 0.0, 0.0],
    [0.0, 1e-12, -1e-12],
]


@pytest.mark.parametrize("logits", HOSTILE)
def test_log_softmax_is_scipys(logits: list[float]) -> None:
    np.testing.assert_allclose(log_softmax(np.array(logits)), scipy.special.log_softmax(logits), rtol=1e-13, atol=1e-15)


def test_log_softmax_of_random_logits_and_of_float32() -> None:
    z = np.random.default_rng(0).normal(scale=20, size=(3, 50, 7))
    np.testing.assert_allclose(log_softmax(z), scipy.special.log_softmax(z, axis=-1), rtol=1e-12, atol=1e-14)
    assert log_softmax(z.astype(np.float32)).dtype == np.float64


@given(shift=st.floats(-1e4, 1e4), seed=st.integers(0, 1000))
def test_softmax_does_not_depend_on_a_shift(shift: float, seed: int) -> None:
    z = np.random.default_rng(seed).normal(scale=5, size=(4, 6))
    np.testing.assert_allclose(log_softmax(z + shift), log_softmax(z), atol=1e-10)


def test_log_mean_exp_is_scipys() -> None:
    values = np.random.default_rng(1).normal(scale=300, size=(5, 40, 3))
    expected = scipy.special.logsumexp(values, axis=0) - np.log(5)
    np.testing.assert_allclose(log_mean_exp(values), expected, rtol=1e-13)


@pytest.mark.parametrize("logits", HOSTILE)
def test_log_others_is_the_sum_over_the_other_classes(logits: list[float]) -> None:
    log_p = scipy.special.log_softmax(logits)
    expected = [scipy.special.logsumexp(np.delete(log_p, j)) for j in range(len(logits))]
    np.testing.assert_allclose(log_others(np.asarray(log_p)), expected, rtol=1e-12, atol=1e-15)


def test_one_minus_p_survives_where_float64_rounds_it_to_zero() -> None:
    log_p = log_softmax(np.array([[100.0, 0.0, -3.0]]))
    assert 1 - np.exp(log_p[0, 0]) == 0
    assert log_others(log_p)[0, 0] == pytest.approx(np.log(1 + np.exp(-3)) - 100, rel=1e-14)


def test_inputs_are_left_alone() -> None:
    z = np.random.default_rng(2).normal(size=(2, 3))
    z.setflags(write=False)
    log_p = log_softmax(z)
    kept = log_p.copy()
    log_others(log_p)
    np.testing.assert_array_equal(log_p, kept)
