"""Conferrability against its definition."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from cae_core.arrays import Floats64
from cae_core.method.conferrability import conferrability, log_conferrability


def literal(surrogates: Floats64, references: Floats64) -> Floats64:
    """Surr_t (1 - Ref_t), as the report writes it."""
    surr = np.asarray(scipy.special.softmax(surrogates, axis=-1)).mean(axis=0)
    ref = np.asarray(scipy.special.softmax(references, axis=-1)).mean(axis=0)
    return np.asarray(surr * (1 - ref), np.float64)


def draw(seed: int, scale: float = 3.0) -> tuple[Floats64, Floats64]:
    random = np.random.default_rng(seed)
    m_s, m_r, n, c = (int(x) for x in random.integers((1, 1, 1, 2), (6, 6, 8, 12)))
    return scale * random.standard_normal((m_s, n, c)), scale * random.standard_normal((m_r, n, c))


@pytest.mark.parametrize("seed", range(20))
def test_conferrability_is_surr_times_one_minus_ref(seed: int) -> None:
    surrogates, references = draw(seed)
    np.testing.assert_allclose(conferrability(surrogates, references), literal(surrogates, references), rtol=1e-10)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 1.0, 100.0, 1e4]))
def test_conferrability_lies_in_zero_to_one(seed: int, scale: float) -> None:
    value = conferrability(*draw(seed, scale))
    assert np.isfinite(value).all()
    assert (value >= 0).all()
    assert (value <= 1 + 1e-12).all()


@given(seed=st.integers(0, 10_000), shift=st.floats(-1e3, 1e3))
def test_a_shift_of_any_models_logits_changes_nothing(seed: int, shift: float) -> None:
    surrogates, references = draw(seed)
    moved = conferrability(surrogates + shift, references - shift)
    np.testing.assert_allclose(moved, conferrability(surrogates, references), rtol=1e-9)


@given(seed=st.integers(0, 10_000))
def test_permuting_classes_permutes_and_permuting_models_changes_nothing(seed: int) -> None:
    surrogates, references = draw(seed)
    random = np.random.default_rng(seed + 1)
    expected = conferrability(surrogates, references)
    classes = random.permutation(surrogates.shape[2])
    np.testing.assert_allclose(
        conferrability(surrogates[..., classes], references[..., classes]), expected[:, classes], rtol=1e-12
    )
    shuffled = conferrability(random.permutation(surrogates), random.permutation(references))
    np.testing.assert_allclose(shuffled, expected, rtol=1e-12)


def test_ties_share_the_probability() -> None:
    tied = np.zeros((2, 1, 4))
    np.testing.assert_allclose(conferrability(tied, tied), np.full((1, 4), 0.25 * 0.75), rtol=1e-14)


def test_a_label_that_all_surrogates_and_no_reference_give_reaches_one() -> None:
    """Softmax over the *product* of probabilities cannot exceed 0.23 for ten classes; tau 0.95 was unreachable."""
    surrogates, references = np.zeros((5, 1, 10)), np.zeros((5, 1, 10))
    surrogates[..., 3], references[..., 7] = 50.0, 50.0
    assert conferrability(surrogates, references)[0, 3] > 0.999
    flawed = scipy.special.softmax(literal(surrogates, references), axis=-1)
    assert flawed.max() < 0.24


def test_the_logarithm_survives_references_that_are_sure_of_the_label() -> None:
    sure = np.array([[[1e4, 0.0, 0.0]]])
    value = log_conferrability(sure, sure)
    assert value[0, 0] == pytest.approx(np.log(2) - 1e4, rel=1e-12)
    assert value[0, 1] == pytest.approx(-1e4, rel=1e-12)
