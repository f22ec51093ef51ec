"""The least score that accuses: by looking at every score that there is."""

from fractions import Fraction

import numpy as np
import pytest

from cae_core.statistics.parametric import beta_binomial_p_value, beta_binomial_tails
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import as_counts, just_above, least_accused

COUNTS = [3, 9, 12, 12, 14, 15, 17, 18, 20, 20, 20, 21, 23, 25, 26, 28, 31, 33, 38]


@pytest.mark.parametrize("rate", [0.04, 0.05, 0.1, 0.15, 0.5])
def test_it_is_the_first_count_whose_rank_is_at_most_the_rate(rate: float) -> None:
    accused = [
        count for count in range(41) if Fraction(1 + sum(known >= count for known in COUNTS), 20) <= Fraction(str(rate))
    ]
    found = least_accused(np.array(COUNTS) / 40, 40, fpr=rate, score=Score.CAEACC, parametric=False)
    assert found == (accused[0] / 40 if accused else None)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_parametric_it_is_the_first_count_whose_tail_is_at_most_the_rate(rate: float) -> None:
    counts = np.array([4, 7, 9, 12])
    accused = [count for count in range(41) if beta_binomial_p_value(counts, 40, count) <= rate]
    found = least_accused(counts / 40, 40, fpr=rate, score=Score.CAEACC, parametric=True)
    assert found == accused[0] / 40


def test_a_tail_that_is_the_rate_accuses() -> None:
    counts = np.array([4, 7, 9, 12])
    for count in (15, 20, 25):
        rate = float(beta_binomial_tails(counts, 40)[count])
        assert least_accused(counts / 40, 40, fpr=rate, score=Score.CAEACC, parametric=True) == count / 40


def test_there_is_none_where_a_reference_matches_everything() -> None:
    scores = np.array([0.1] * 18 + [1.0])
    assert least_accused(scores, 40, fpr=0.05, score=Score.CAEACC, parametric=False) is None
    assert least_accused(scores, 40, fpr=0.1, score=Score.CAEACC, parametric=False) == 5 / 40
    almost = np.array([0.1] * 18 + [39 / 40])
    assert least_accused(almost, 40, fpr=0.05, score=Score.CAEACC, parametric=False) == 1.0


def test_of_a_score_without_steps_it_is_the_next_number() -> None:
    """Whoever reaches it exceeds the highest reference, and whoever does not does not."""
    for score in (Score.LLR, Score.ADJUSTED):
        found = least_accused(np.array(COUNTS) / 10, 40, fpr=0.05, score=score, parametric=False)
        assert found is not None
        assert found > 3.8
        assert not 3.8 < (3.8 + found) / 2 < found
        assert just_above(-1.0, 40, score) == np.nextafter(-1.0, 0)


@pytest.mark.parametrize("asked", [3, 7, 30, 49, 97])
def test_one_match_more_is_more_however_the_fraction_was_rounded(asked: int) -> None:
    for count in range(asked):
        assert just_above(count / asked, asked, Score.CAEACC) == (count + 1) / asked
    assert just_above(1.0, asked, Score.CAEACC) is None


def test_where_no_count_suffices_there_is_no_parametric_threshold() -> None:
    assert least_accused(np.array([1.0, 1.0, 0.9]), 10, fpr=0.05, score=Score.CAEACC, parametric=True) is None


def test_fractions_are_counts_again() -> None:
    for trials in (3, 7, 100, 977):
        counts = np.arange(trials + 1)
        found = as_counts(counts / trials, trials)
        assert (found.tolist(), found.dtype) == (counts.tolist(), np.dtype(np.int64))
