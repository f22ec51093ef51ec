"""The composite loss: its value against the formula, its gradient against central differences."""

import dataclasses
from typing import Literal

import numpy as np
import pytest
import scipy.special

from cae_core.arrays import Floats64
from cae_core.method.conferrability import conferrability
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.objective import Goal
from tests.core.toys import LogitCase

Target = Literal["max", "source"]
TARGETS: tuple[Target, ...] = ("max", "source")


def literal_value(case: LogitCase, loss: CompositeLoss) -> Floats64:
    """α H([1,0],[c*,1-c*]) - β H(onehot(y0), p_M) + γ H(p_M, Surr), with SciPy's softmax and no logarithm tricks."""
    p_m, p_s, p_r = (np.asarray(scipy.special.softmax(z, -1)) for z in (case.source, case.surrogates, case.references))
    surr, ref = p_s.mean(axis=0), p_r.mean(axis=0)
    values = []
    for i, y0 in enumerate(case.goal.original):
        confer = surr[i] * (1 - ref[i])
        best = confer[confer.argmax() if loss.target == "max" else p_m[i].argmax()]
        wanted, reached = np.array([1.0, 0.0]), np.array([best, 1 - best])
        onehot = np.arange(len(surr[i])) == y0
        values.append(
            loss.w_confer * cross_entropy(wanted, reached)
            - loss.w_adversarial * cross_entropy(onehot.astype(float), p_m[i])
            + loss.w_transfer * cross_entropy(p_m[i], surr[i])
        )
    return np.array(values)


def cross_entropy(p: Floats64, q: Floats64) -> float:
    """H(p, q) = H(p) + KL(p, q)."""
    return float((scipy.special.entr(p) + scipy.special.rel_entr(p, q)).sum())


def is_tied(case: LogitCase, loss: CompositeLoss) -> bool:
    """Whether the label t* may change within the step of the central difference."""
    chooses = conferrability(case.surrogates, case.references) if loss.target == "max" else case.source
    top = np.sort(chooses, axis=1)[:, -2:]
    return bool((top[:, 1] - top[:, 0] < 1e-3).any())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("block", range(10))
def test_the_gradient_is_that_of_central_differences(target: Target, block: int) -> None:
    """Ten blocks of 20 random cases for each target, with weights of their own."""
    checked = 0
    for seed in range(20 * block, 20 * block + 20):
        weights = np.random.default_rng(10_000 + seed).uniform(0.2, 2, 3)
        loss = CompositeLoss(
            w_confer=weights[0], w_adversarial=weights[1], w_transfer=weights[2], target=target,
        )  # fmt: skip
        case = LogitCase.draw(seed)
        if is_tied(case, loss):
            continue
        assert case.gradient_error(loss) < 1e-6, f"case {seed}"
        checked += 1
    assert checked >= 15


@pytest.mark.parametrize("target", TARGETS)
def test_the_keras_variants_gradient_where_nothing_is_clipped(target: Target) -> None:
    loss = CompositeLoss(target=target, keras_clipping=True)
    plain = dataclasses.replace(loss, keras_clipping=False)
    for seed in range(30):
        case = LogitCase.draw(seed, scale=1.0)
        if is_tied(case, loss):
            continue
        assert case.gradient_error(loss) < 1e-6, f"case {seed}"
        np.testing.assert_array_equal(case.evaluate(loss), case.evaluate(plain))


def test_the_keras_variants_gradient_is_zero_where_it_clips() -> None:
    goal = Goal(np.array([0]), np.array([1]))
    source = np.array([[-30.0, 0.0, 0.0]])  # p_M[y0] below 1e-7
    surrogates = np.array([[[0.0, 40.0, 0.0]]])  # Surr of the classes 0 and 2 below 1e-7, of 1 above 1 - 1e-7
    references = np.array([[[40.0, 0.0, 0.0]]])  # so c* is above 1 - 1e-7
    result = CompositeLoss(w_transfer=0.0, keras_clipping=True)(source, surrogates, references, goal)
    for gradient in (result.source, result.surrogates, result.references):
        np.testing.assert_array_equal(gradient, 0)
    assert result.value[0] == pytest.approx(-np.log1p(-1e-7) + np.log(1e-7))
    transfer = CompositeLoss(w_confer=0.0, w_adversarial=0.0, keras_clipping=True)
    both = transfer(source, surrogates, references, goal)
    np.testing.assert_array_equal(both.surrogates, 0)
    assert np.abs(both.source).max() > 1  # the source's own probabilities are not clipped in that term


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(30))
def test_the_value_is_the_formula(target: Target, seed: int) -> None:
    loss = CompositeLoss(w_confer=1.3, w_adversarial=0.7, w_transfer=0.4, target=target)
    case = LogitCase.draw(seed)
    np.testing.assert_allclose(case.evaluate(loss), literal_value(case, loss), rtol=1e-10, atol=1e-12)


def test_the_conferrability_term_has_a_gradient() -> None:
    """An earlier implementation built it from a fresh tensor: the gradient was zero and nothing complained."""
    case = LogitCase.draw(4)
    alone = CompositeLoss(w_adversarial=0.0, w_transfer=0.0)
    result = alone(case.surrogates[0], case.surrogates, case.references, case.goal)
    assert np.abs(result.surrogates).max() > 1e-3
    assert np.abs(result.references).max() > 1e-3
    np.testing.assert_array_equal(result.source, 0)


@pytest.mark.parametrize(("margin", "live"), [(15.0, True), (16.0, True), (17.0, False), (1e4, False)])
def test_the_adversarial_term_stops_at_1e_minus_7(margin: float, live: bool) -> None:  # noqa: FBT001
    """log 1e-7 = -16.118."""
    goal, others = Goal(np.array([0]), np.array([1])), np.zeros((1, 1, 2))
    loss = CompositeLoss(w_confer=0.0, w_transfer=0.0)
    result = loss(np.array([[0.0, margin]]), others, others, goal)
    assert (np.abs(result.source).max() > 0) == live
    assert result.value[0] == pytest.approx(-margin if live else np.log(1e-7), abs=1e-6)


@pytest.mark.parametrize("scale", [1e3, 1e4])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("keras_clipping", [False, True])
def test_confident_models_give_finite_values_and_gradients(
    scale: float, target: Target, keras_clipping: bool  # noqa: FBT001
) -> None:  # fmt: skip
    loss = CompositeLoss(target=target, keras_clipping=keras_clipping)
    for seed in range(40):
        case = LogitCase.draw(seed, scale=scale)
        result = loss(case.source, case.surrogates, case.references, case.goal)
        assert np.isfinite(result.value).all()
        assert np.isfinite(result.stacked()).all()
        assert np.abs(result.stacked()).max() <= 3 * scale


@pytest.mark.parametrize("sure", [50.0, 1e3, 1e4])
def test_references_sure_of_the_label_still_pull(sure: float) -> None:
    """1 - Ref is exactly 0 there in float64, and the naive gradient dies; the limit is α at t and -α beyond."""
    source, references = np.array([[5.0, 0.0, 0.0]]), np.array([[[sure, 0.0, -5.0]]])
    loss = CompositeLoss(target="source", w_adversarial=0.0, w_transfer=0.0)
    result = loss(source, np.zeros((1, 1, 3)), references, Goal(np.array([1]), np.array([0])))
    rest = np.asarray(scipy.special.softmax([0.0, -5.0]))
    np.testing.assert_allclose(result.references[0, 0], [1, -rest[0], -rest[1]], rtol=1e-9)


@pytest.mark.parametrize("keras_clipping", [False, True])
def test_an_image_does_not_depend_on_its_batch(keras_clipping: bool) -> None:  # noqa: FBT001
    loss = CompositeLoss(keras_clipping=keras_clipping)
    random = np.random.default_rng(8)
    source, white_boxes = random.standard_normal((9, 5)), random.standard_normal((2, 3, 9, 5))
    goal = Goal(random.integers(0, 5, 9), np.zeros(9, np.int64))
    together = loss(source, white_boxes[0], white_boxes[1], goal)
    for i in range(9):
        one = np.array([i])
        mine = Goal(goal.original[one], goal.wanted[one])
        alone = loss(source[one], white_boxes[0][:, one], white_boxes[1][:, one], mine)
        np.testing.assert_allclose(alone.value, together.value[one], rtol=1e-14)
        np.testing.assert_allclose(alone.stacked(), together.stacked()[:, one], rtol=1e-12, atol=1e-300)


def test_permuting_the_models_permutes_their_gradients() -> None:
    case, loss = LogitCase.draw(12), CompositeLoss()
    order = np.random.default_rng(0).permutation(len(case.surrogates))
    plain = loss(case.source, case.surrogates, case.references, case.goal)
    permuted = loss(case.source, case.surrogates[order], case.references, case.goal)
    np.testing.assert_allclose(permuted.value, plain.value, rtol=1e-13)
    np.testing.assert_allclose(permuted.surrogates, plain.surrogates[order], rtol=1e-12)
