"""The adjusted score: against an implementation by leaving each model out, and its rank's exactness by simulation."""

import numpy as np
import pytest

from cae_core.arrays import Floats64
from cae_core.errors import OptionError
from cae_core.statistics.adjustment import (
    DEGREES,
    adjusted_scores,
    outside_hull,
    predicted_scores,
    studentised_deleted,
)


def _by_leaving_out(scores: Floats64, accuracy: Floats64, degree: int) -> Floats64:
    """Return the same by fitting n times, each time without one model, and predicting it."""
    found = []
    for i in range(len(scores)):
        rest = np.delete(np.arange(len(scores)), i)
        design = np.vander(accuracy[rest], degree + 1)
        weights, *_ = np.linalg.lstsq(design, scores[rest], rcond=None)
        free = len(rest) - degree - 1
        variance = ((scores[rest] - design @ weights) ** 2).sum() / free
        here = np.vander(accuracy[i : i + 1], degree + 1)[0]
        spread = 1 + here @ np.linalg.inv(design.T @ design) @ here
        found.append((scores[i] - here @ weights) / np.sqrt(variance * spread))
    return np.array(found)


@pytest.mark.parametrize("degree", DEGREES)
def test_residuals_are_those_of_leaving_each_model_out(degree: int) -> None:
    rng = np.random.default_rng(7)
    for _ in range(50):
        n = int(rng.integers(degree + 4, 30))
        accuracy, scores = rng.uniform(0.5, 0.9, n), rng.normal(size=n)
        assert studentised_deleted(scores, accuracy, degree) == pytest.approx(
            _by_leaving_out(scores, accuracy, degree), rel=1e-5, abs=1e-6
        )


def test_a_model_whose_accuracy_stands_alone_has_no_residual() -> None:
    accuracy, scores = np.array([0.8] * 6 + [0.2]), np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.3, 5.0])
    residuals = studentised_deleted(scores, accuracy, 1)
    assert residuals[-1] == 0
    assert residuals[2] > 0 > residuals[0]


def test_equal_accuracies_are_adjusted_by_their_mean() -> None:
    scores = np.array([0.1, 0.2, 0.4, 0.9])
    assert np.array_equal(
        studentised_deleted(scores, np.full(4, 0.8), 2), studentised_deleted(scores, np.full(4, 0.8), 0)
    )


def test_too_few_models_have_no_residual() -> None:
    assert not studentised_deleted(np.array([0.0, 1.0, 5.0]), np.array([0.1, 0.5, 0.9]), 1).any()


def test_models_on_a_line_and_one_beside_it() -> None:
    accuracy = np.array([0.5, 0.6, 0.7, 0.8, 0.65])
    residuals = studentised_deleted(np.array([0.5, 0.6, 0.7, 0.8, 0.9]), accuracy, 1)
    assert np.isfinite(residuals).all()
    assert int(residuals.argmax()) == 4


@pytest.mark.parametrize("degree", DEGREES)
def test_equal_models_tie_in_every_order(degree: int) -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        n = int(rng.integers(5, 40))
        rates, accuracy = rng.integers(0, 11, (2, n)) / 10, rng.integers(100, 130, n) / 200
        rates[:, 1], accuracy[1] = rates[:, 0], accuracy[0]
        order = rng.permutation(n)
        found = adjusted_scores(rates, accuracy, degree)
        assert found[0] == found[1]
        assert adjusted_scores(rates[:, order], accuracy[order], degree) == pytest.approx(found[order], abs=2e-6)


def test_the_rank_of_one_more_draw_is_exact_although_accuracy_matters() -> None:
    """3,000 tables of 19 references and a suspect of the same law: p <= 5 % in 5 % of them, ties or not."""
    rng, tables, accused = np.random.default_rng(3), 3_000, 0
    for _ in range(tables):
        accuracy = rng.integers(120, 190, 20) / 200
        rates = rng.binomial(50, np.clip(1.1 - accuracy, 0.05, 0.9) * rng.uniform(0.5, 1.0, 20), (2, 20)) / 50
        scores = adjusted_scores(rates, accuracy, 1)
        accused += (scores[:-1] >= scores[-1]).sum() == 0
    assert abs(accused / tables - 0.05) < 4 * (0.05 * 0.95 / tables) ** 0.5


def test_predictions_are_those_of_the_references_alone() -> None:
    rng = np.random.default_rng(5)
    accuracy, references = rng.uniform(0.6, 0.9, 12), rng.uniform(0.1, 0.6, (1, 12))
    own = predicted_scores(references, accuracy, rates=np.array([[0.9]]), accuracies=np.array([0.7]), degree=1)
    together = np.arcsin(np.sqrt(np.append(references[0], 0.9)))
    left_out = _by_leaving_out(together, np.append(accuracy, 0.7), 1)[-1]
    assert own[0] == pytest.approx(left_out, abs=1e-5)


def test_the_hull_ends_at_the_references() -> None:
    references = np.array([0.7, 0.8])
    assert [outside_hull(a, references) for a in (0.69, 0.7, 0.75, 0.8, 0.81)] == [True, False, False, False, True]
    assert outside_hull(0.7, np.zeros(0))


def test_another_degree_is_refused() -> None:
    with pytest.raises(OptionError, match="degree must be one of 0, 1, 2; found 3"):
        studentised_deleted(np.zeros(9), np.linspace(0.1, 0.9, 9), 3)
