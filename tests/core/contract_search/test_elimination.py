"""Elimination: the truth is out with at most the stated probability, and a clear winner is found."""

import numpy as np
import pytest

from cae_core.arrays import Labels
from cae_core.contract_search.elimination import Elimination, beaten


def _run(answers: np.ndarray, truth: Labels, **options: object) -> Elimination:
    made = Elimination(len(answers), truth, lambda i, start, stop: answers[i, start:stop], **options)  # type: ignore[arg-type]
    made.run()
    return made


def test_a_clear_winner_leaves_the_others_early() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(10, size=2000)
    answers = np.stack([rng.integers(10, size=2000), np.where(rng.random(2000) < 0.9, truth, -1), np.zeros(2000, int)])
    made = _run(answers, truth)
    assert made.winners == (1,)
    assert [one.beaten_by for one in made.standings] == [1, None, 1]
    assert made.standings[0].images == made.standings[2].images == 20
    assert made.standings[1].images == 200  # once it is alone, more images would tell nothing


def test_what_gives_every_label_alike_wins_together_and_ends_early() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(10, size=10_000)
    one = np.where(rng.random(10_000) < 0.8, truth, -1)
    made = _run(np.stack([one, one]), truth)
    assert made.winners == (0, 1)
    assert made.standings[0].images == 200


def test_what_is_neither_alike_nor_worse_is_undecided() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(10, size=300)
    answers = np.stack([np.where(rng.random(300) < 0.8, truth, -1) for _ in range(2)])
    made = _run(answers, truth)
    assert made.winners == ()
    assert len(made.alive) == 2
    assert made.standings[0].images == 300


def test_of_nearly_equal_candidates_the_more_accurate_comes_first() -> None:
    truth = np.arange(1000) % 10
    worse, better = truth.copy(), truth.copy()
    worse[:8], better[:3] = -1, -1
    made = _run(np.stack([worse, better]), truth)
    assert made.winners == (1, 0)
    assert made.agreement(0, 1) == pytest.approx(0.995)


def test_the_most_accurate_is_out_with_at_most_the_level() -> None:
    rng = np.random.default_rng(3)
    out, runs, level = 0, 500, 0.2
    for _ in range(runs):
        truth = np.zeros(200, np.int64)
        answers = np.where(rng.random((6, 200)) < 0.7, 0, 1)  # all are equally accurate: none may be beaten
        out += 0 not in _run(answers, truth, level=level).alive
    assert out / runs <= level + 3 * np.sqrt(level / runs)
    assert out > 0


def test_beaten_is_mcnemars_exact_test() -> None:
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(4)
    for _ in range(200):
        right = rng.random((2, 40)) < rng.random((2, 1))
        wins, losses = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        p = scipy.binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1
        assert (beaten(right, 0.01)[1] == 0) == (p <= 0.01)


def test_fewer_images_than_a_stage_are_all_that_is_asked() -> None:
    truth = np.zeros(50, np.int64)
    made = _run(np.zeros((1, 50), np.int64), truth)
    assert made.stages == (20, 50)
    assert made.standings[0].images == 50
