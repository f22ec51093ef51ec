"""Adam against the paper's lines and against torch."""

import numpy as np
import pytest
import torch

from cae_backends.tensorflow.runtime import load_keras
from cae_core.arrays import Floats32, Floats64
from cae_core.method.adam import AdamState, adam_step, init_adam

SHAPE = (3, 4, 5, 2)


def gradients(steps: int, seed: int = 0) -> list[Floats32]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(SHAPE).astype(np.float32) for _ in range(steps)]


def literal_adam(steps: list[Floats32], rate: float) -> Floats64:
    """Kingma & Ba, Algorithm 1, in float64."""
    x, m, v = np.zeros(SHAPE), np.zeros(SHAPE), np.zeros(SHAPE)
    for t, g32 in enumerate(steps, start=1):
        g = g32.astype(np.float64)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        x = x - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    return x


def run(steps: list[Floats32], rate: float) -> tuple[Floats32, AdamState]:
    x, state = np.zeros(SHAPE, np.float32), init_adam(SHAPE)
    for gradient in steps:
        change, state = adam_step(state, gradient, rate)
        x = x + change
    return x, state


@pytest.mark.parametrize("rate", [5e-4, 0.01, 1.0])
def test_adam_is_the_papers(rate: float) -> None:
    steps = gradients(50)
    np.testing.assert_allclose(run(steps, rate)[0], literal_adam(steps, rate), rtol=1e-4, atol=1e-4 * rate)


def test_adam_is_torchs() -> None:
    steps = gradients(50, seed=1)
    x = torch.zeros(SHAPE, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=0.01)
    for gradient in steps:
        x.grad = torch.from_numpy(gradient)
        optimiser.step()
    np.testing.assert_allclose(run(steps, 0.01)[0], x.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e-7, 1e-5, 1.0])
def test_the_other_form_is_keras(scale: float) -> None:
    """Gradients around epsilon, where the two forms part."""
    keras = load_keras()
    steps = [np.float32(scale) * gradient for gradient in gradients(30, seed=2)]
    variable, optimiser = keras.Variable(np.zeros(SHAPE, np.float32)), keras.optimizers.Adam(0.01, epsilon=1e-7)
    x, state = np.zeros(SHAPE, np.float32), init_adam(SHAPE)
    for gradient in steps:
        optimiser.apply([gradient], [variable])
        change, state = adam_step(state, gradient, 0.01, form="keras")
        x = x + change
    np.testing.assert_allclose(x, np.asarray(variable), rtol=2e-5, atol=1e-7)
    apart = np.abs(x - run(steps, 0.01)[0]).max()
    assert (apart > 1e-3) == (scale < 1e-4)


def test_the_first_step_is_the_rate_against_the_gradients_sign() -> None:
    (gradient,) = gradients(1)
    change, _ = adam_step(init_adam(SHAPE), gradient, 0.01)
    np.testing.assert_allclose(change, -0.01 * np.sign(gradient), rtol=1e-4)


def test_the_state_is_not_lost_between_steps() -> None:
    """With a fresh state each step would be the rate itself; opposite gradients must slow it down instead."""
    (gradient,) = gradients(1)
    _, state = adam_step(init_adam(SHAPE), gradient, 0.01)
    second, after = adam_step(state, -gradient, 0.01)
    assert np.abs(second).max() < 0.002
    assert after.steps.tolist() == [2, 2, 2]
    np.testing.assert_allclose(after.first, 0.9 * state.first - 0.1 * gradient, rtol=1e-5, atol=1e-9)


def test_each_image_has_its_own_step_count() -> None:
    """An image that joins a running batch moves as if it had begun alone."""
    first, second = gradients(2)
    _, old = adam_step(init_adam(SHAPE), first, 0.01)
    fresh = init_adam(SHAPE)
    joined = AdamState(
        np.concatenate([old.first[:2], fresh.first[2:]]),
        np.concatenate([old.second[:2], fresh.second[2:]]),
        np.concatenate([old.steps[:2], fresh.steps[2:]]),
    )
    change, state = adam_step(joined, second, 0.01)
    assert state.steps.tolist() == [2, 2, 1]
    np.testing.assert_array_equal(change[:2], adam_step(old, second, 0.01)[0][:2])
    np.testing.assert_array_equal(change[2:], adam_step(fresh, second, 0.01)[0][2:])


def test_a_zero_gradient_moves_nothing_and_the_arguments_stay() -> None:
    state = init_adam(SHAPE)
    change, _ = adam_step(state, np.zeros(SHAPE, np.float32), 0.01)
    assert change.dtype == np.float32
    np.testing.assert_array_equal(change, 0)
    assert state.steps.tolist() == [0, 0, 0]
