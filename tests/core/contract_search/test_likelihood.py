"""The finer comparison: information counts, and how sure a model is of itself does not."""

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.contract_search.likelihood import less_likely


def softmax(z: np.ndarray) -> Floats32:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)


def made(noise: float, sharpness: float, seed: int, count: int = 4000) -> tuple[Floats32, Labels]:
    truth = np.random.default_rng(0).integers(10, size=count)
    scores = 3 * np.eye(10)[truth] + np.random.default_rng(1).normal(size=(count, 10))
    return softmax(sharpness * (scores + noise * np.random.default_rng(seed).normal(size=scores.shape))), truth


def test_noise_makes_the_truth_less_likely_whatever_the_sharpness() -> None:
    for sharp, blunt in ((1.0, 1.0), (0.5, 3.0), (3.0, 0.5)):
        clean, truth = made(0.0, sharp, 2)
        noisy, _ = made(0.4, blunt, 3)
        assert less_likely([noisy, clean], truth) == [1, None]


def test_sharpness_alone_tells_nothing() -> None:
    clean, truth = made(0.0, 1.0, 2)
    for sharpness in (0.4, 2.0):
        assert less_likely([clean, made(0.0, sharpness, 2)[0]], truth) == [None, None]


def test_equally_noisy_models_are_rarely_told_apart() -> None:
    wrong = 0
    for seed in range(50):
        pair = [made(0.4, 1.0, 2 * seed + i, count=500)[0] for i in (10, 11)]
        wrong += less_likely(pair, made(0.4, 1.0, 0, count=500)[1]) != [None, None]
    assert wrong <= 1
