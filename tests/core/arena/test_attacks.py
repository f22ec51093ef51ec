"""The attacks against closed forms of linear classifiers, and central differences."""

import numpy as np
import pytest

from cae_core.arena.attacks import carlini_wagner, fast_gradient, iterated_gradient, loss_gradient, margin_gradient
from cae_core.arrays import Floats32, Floats64, Labels
from cae_core.method.ball import Ball
from tests.core.toys import SHAPE, LinearModel

CLASSES = 4


def drawn(seed: int, n: int = 6) -> tuple[LinearModel, Floats32, Labels]:
    random = np.random.default_rng(seed)
    model = LinearModel(random.standard_normal((int(np.prod(SHAPE)), CLASSES)))
    images = random.uniform(0.3, 0.7, (n, *SHAPE)).astype(np.float32)
    return model, images, model.predict(images).labels


def cross_entropy(model: LinearModel, images: Floats64, labels: Labels) -> Floats64:
    flat = images.reshape(len(images), -1) - 0.5
    z = flat @ model.weights.astype(np.float64)
    total: Floats64 = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]
    return total


def test_the_loss_gradient_is_that_of_central_differences() -> None:
    model, images, labels = drawn(1, n=2)
    found = loss_gradient(model, images, labels)
    h, wide = 1e-5, images.astype(np.float64)
    for place in np.ndindex(*SHAPE):
        step = np.zeros(SHAPE)
        step[place] = h
        slope = (cross_entropy(model, wide + step, labels) - cross_entropy(model, wide - step, labels)) / (2 * h)
        np.testing.assert_allclose(found[(slice(None), *place)], slope, atol=1e-4)


def test_a_fast_gradient_step_is_the_sign_of_the_gradient() -> None:
    model, images, labels = drawn(2)
    p = np.exp(model.logits(images).astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    wanted = images + 0.1 * np.sign(p @ model.weights.T).reshape(images.shape)
    np.testing.assert_allclose(fast_gradient(model, images, labels, ball=Ball(0.1)), wanted, atol=1e-6)


def test_an_l2_step_has_the_length_of_the_radius() -> None:
    model, images, labels = drawn(3)
    moved = fast_gradient(model, images, labels, ball=Ball(0.2, "l2"))
    np.testing.assert_allclose(np.sqrt(np.square(moved - images).sum(axis=(1, 2, 3))), 0.2, rtol=1e-4)


def test_between_two_classes_all_attacks_end_in_the_same_corner() -> None:
    """There the gradient of either loss is a multiple of one difference of weights, and the corner is known."""
    random = np.random.default_rng(4)
    model = LinearModel(random.standard_normal((int(np.prod(SHAPE)), 2)))
    images = random.uniform(0.3, 0.7, (5, *SHAPE)).astype(np.float32)
    labels = model.predict(images).labels
    away = np.sign(model.weights[:, 1 - labels] - model.weights[:, labels]).T.reshape(images.shape)
    corner = images + 0.1 * away
    ball = Ball(0.1)
    iterated = iterated_gradient(model, images, labels, ball=ball, step=0.02, steps=10)
    from_elsewhere = iterated_gradient(
        model, images, labels, ball=ball, step=0.02, steps=20, random=np.random.default_rng(0)
    )
    margin = carlini_wagner(model, images, labels, ball=ball, confidence=1e6, rate=0.02, steps=20)
    for moved in (iterated, from_elsewhere, margin):
        np.testing.assert_allclose(moved, corner, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_nothing_leaves_the_ball_or_the_range(norm: str) -> None:
    model, images, labels = drawn(5)
    edge = np.round(images).astype(np.float32)  # pixels at 0 and 1
    ball = Ball(0.3, norm)  # type: ignore[arg-type]
    for moved in (
        fast_gradient(model, edge, labels, ball=ball),
        iterated_gradient(model, edge, labels, ball=ball, step=0.1, steps=7, random=np.random.default_rng(1)),
        carlini_wagner(model, edge, labels, ball=ball, confidence=0.5, rate=0.1, steps=7),
    ):
        delta = (moved - edge).reshape(len(edge), -1)
        length = np.abs(delta).max(axis=1) if norm == "linf" else np.sqrt(np.square(delta).sum(axis=1))
        assert length.max() <= 0.3 + 1e-5
        assert 0 <= moved.min() <= moved.max() <= 1


def test_a_random_start_is_spread_over_the_ball() -> None:
    model, images, labels = drawn(6, n=200)
    start = iterated_gradient(
        model, images, labels, ball=Ball(0.1), step=0.01, steps=0, random=np.random.default_rng(2)
    )
    spread = (start - images).ravel()
    assert np.quantile(spread, [0.1, 0.5, 0.9]) == pytest.approx([-0.08, 0.0, 0.08], abs=0.005)


def test_the_margin_rests_once_it_is_won() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.4, 3.0], [0.0, 9.0, 0.0]], np.float32)
    found = margin_gradient(logits, np.array([0, 1, 0]), confidence=3.0)
    assert found.tolist() == [[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.0]]
