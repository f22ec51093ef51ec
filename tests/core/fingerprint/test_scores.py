"""Two numbers an image by which a model is known again, and no other one."""

import numpy as np
import pytest

from cae_core.arrays import Floats32
from cae_core.fingerprint.scores import same_scores, scores_of


def probabilities(seed: int, n: int = 20, classes: int = 5, scale: float = 1.0) -> Floats32:
    logits = scale * np.random.default_rng(seed).standard_normal((n, classes))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_another_runtime_moves_them_a_little(classes: int) -> None:
    told = probabilities(1, classes=classes)
    moved = told * (1 + np.random.default_rng(2).uniform(-1e-5, 1e-5, told.shape)).astype(np.float32)
    assert same_scores(scores_of(told), scores_of(moved))


def test_another_model_has_other_ones() -> None:
    assert not same_scores(scores_of(probabilities(1)), scores_of(probabilities(2)))


def test_one_image_is_enough_to_tell_them_apart() -> None:
    told, other = probabilities(1), probabilities(1)
    other[7, :2] += np.array([3e-4, -3e-4], np.float32)
    assert not same_scores(scores_of(told), scores_of(other))


def test_the_place_of_the_second_class_counts() -> None:
    """Rounded or ranked probabilities may have one largest value for every image."""
    told = np.tile(np.array([0.6, 0.2, 0.1, 0.1], np.float32), (9, 1))
    other = told[:, [0, 2, 1, 3]]
    assert np.array_equal(scores_of(told)[:, 0], scores_of(other)[:, 0])
    assert not same_scores(scores_of(told), scores_of(other))


def test_certain_answers_tell_nothing() -> None:
    certain = np.tile(np.array([1, 0, 0], np.float32), (9, 1))
    assert not same_scores(scores_of(certain), scores_of(certain))
    certain[:2] = [0.5, 0.25, 0.25]
    assert not same_scores(scores_of(certain), scores_of(certain))
    certain[2] = [0.5, 0.25, 0.25]
    assert not same_scores(scores_of(certain), scores_of(certain))  # a label in disguise, three times
    certain[:3] = [[0.5, 0.25, 0.25], [0.6, 0.2, 0.2], [0.7, 0.2, 0.1]]
    assert same_scores(scores_of(certain), scores_of(certain))


def test_none_and_others_of_another_number() -> None:
    told = scores_of(probabilities(1))
    assert not same_scores(told[:0], told[:0])
    assert not same_scores(told, told[:-1])


def test_what_is_no_number_counts_as_0() -> None:
    told = probabilities(1)
    told[3] = np.nan
    assert np.isfinite(scores_of(told)).all()
    assert scores_of(told)[3].tolist() == [0, 0]
