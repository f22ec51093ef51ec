"""The capped margins: value against a literal transcription, gradient against central differences."""

import numpy as np
import pytest

from cae_core.arrays import Floats64
from cae_core.method.objectives.margins import MarginLoss, margin
from cae_core.method.objectives.objective import Goal
from tests.core.toys import LogitCase


def literal_margin(z: Floats64, label: int) -> float:
    return float(z[label] - np.delete(z, label).max())


def literal_value(case: LogitCase, loss: MarginLoss) -> list[float]:
    values = []
    for i, (y0, t) in enumerate(zip(case.goal.original, case.goal.wanted, strict=True)):
        s = [min(literal_margin(z[i], t), loss.cap) for z in case.surrogates]
        r = [min(literal_margin(z[i], y0), loss.cap) for z in case.references]
        m = min(literal_margin(case.source[i], t), loss.cap)
        values.append(-(np.mean(s) + loss.w_references * np.mean(r) + m))
    return [float(value) for value in values]


def has_kink(case: LogitCase, loss: MarginLoss) -> bool:
    """Whether a rival may change, or a margin cross the cap, within the step of the central difference."""
    for z in (case.source, case.surrogates, case.references):
        ordered = np.sort(z, axis=-1)
        for labels in (case.goal.original, case.goal.wanted):
            if (np.abs(margin(z, labels)[0] - loss.cap) < 1e-3).any():
                return True
        if (np.diff(ordered, axis=-1) < 1e-3).any():
            return True
    return False


@pytest.mark.parametrize("seed", range(20))
def test_the_value_is_the_formula(seed: int) -> None:
    case, loss = LogitCase.draw(seed), MarginLoss(cap=2.5, w_references=1.7)
    np.testing.assert_allclose(case.evaluate(loss), literal_value(case, loss), rtol=1e-12)


@pytest.mark.parametrize("block", range(10))
def test_the_gradient_is_that_of_central_differences(block: int) -> None:
    checked = 0
    for seed in range(20 * block, 20 * block + 20):
        random = np.random.default_rng(20_000 + seed)
        loss = MarginLoss(cap=float(random.uniform(0.5, 4)), w_references=float(random.uniform(0.2, 3)))
        case = LogitCase.draw(seed)
        if has_kink(case, loss):
            continue
        assert case.gradient_error(loss) < 1e-6, f"case {seed}"
        checked += 1
    assert checked >= 15


def test_a_margin_above_the_cap_no_longer_counts() -> None:
    goal = Goal(np.array([0]), np.array([1]))
    above = np.array([[0.0, 9.0, 1.0]])
    references = np.array([[[9.0, 0.0, 1.0]]])
    result = MarginLoss(cap=6.0, w_references=2.0)(above, above[np.newaxis], references, goal)
    assert result.value.tolist() == [-24.0]
    np.testing.assert_array_equal(result.stacked(), 0)


def test_every_model_counts_by_itself() -> None:
    """One model far above the cap does not hide another one that has not followed yet."""
    goal = Goal(np.array([0]), np.array([1]))
    surrogates = np.array([[[0.0, 1e4]], [[3.0, 0.0]]])
    result = MarginLoss()(np.array([[0.0, 1e4]]), surrogates, np.array([[[1e4, 0.0]]]), goal)
    np.testing.assert_array_equal(result.surrogates, [[[0, 0]], [[0.5, -0.5]]])


@pytest.mark.parametrize("scale", [1e3, 1e4])
def test_confident_models_give_finite_values_and_bounded_gradients(scale: float) -> None:
    case = LogitCase.draw(3, scale=scale)
    result = MarginLoss()(case.source, case.surrogates, case.references, case.goal)
    assert np.isfinite(result.value).all()
    assert np.abs(result.stacked()).max() <= 2


def test_an_image_does_not_depend_on_its_batch() -> None:
    random = np.random.default_rng(8)
    source, white_boxes = random.standard_normal((9, 5)), random.standard_normal((2, 3, 9, 5))
    goal = Goal(random.integers(0, 5, 9), np.full(9, 2))
    together = MarginLoss()(source, white_boxes[0], white_boxes[1], goal)
    alone = [
        MarginLoss()(
            source[[i]], white_boxes[0][:, [i]], white_boxes[1][:, [i]], Goal(goal.original[[i]], goal.wanted[[i]])
        )
        for i in range(9)
    ]
    np.testing.assert_array_equal(np.concatenate([x.value for x in alone]), together.value)
    np.testing.assert_array_equal(np.concatenate([x.stacked() for x in alone], axis=1), together.stacked())


def test_margin_of_the_largest_logit_and_of_a_tie() -> None:
    margins, rival = margin(np.array([[1.0, 4.0, 2.5], [2.0, 2.0, 0.0]]), np.array([1, 0]))
    assert margins.tolist() == [1.5, 0.0]
    assert rival.tolist() == [2, 1]
