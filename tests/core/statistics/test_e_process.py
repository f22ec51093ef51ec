"""The e-processes against SciPy's hypergeometric law, all orders of few examples, exact probabilities."""

import itertools
import math
import time
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.statistics.e_process import (
    SequentialTest,
    confidence_sequence,
    log_e_values,
    running_confidence_sequence,
    trace,
)

TEST = SequentialTest(examples=100, k0=50, k1=90, fpr=0.01, fnr=0.01)
LEVELS = (0.01, 0.025, 0.05, 0.2, 0.5)


@lru_cache
def log_e_table(n: int) -> NDArray[np.float64]:
    """Return log E at [t, s, k] for 0 <= s <= t <= n and 0 <= k <= n; NaN elsewhere."""
    table = np.full((n + 1, n + 1, n + 1), np.nan)
    for asked in range(n + 1):
        for matches in range(asked + 1):
            table[asked, matches] = log_e_values(n, matches, asked)
    return table


def stopping(crosses: NDArray[np.bool_], count: int) -> tuple[float, float]:
    """Return the exact P(ever crossing) and mean answers until then (or n) where K = count; crosses: (n + 1, n + 1)."""
    n = len(crosses) - 1
    alive = np.zeros(n + 2)
    alive[0], crossed, mean = 1.0, 0.0, 0.0
    for asked in range(n):
        mean += alive.sum()
        match = np.clip((count - np.arange(n + 1)) / (n - asked), 0, 1)
        following = np.zeros(n + 2)
        following[:-1] += alive[:-1] * (1 - match)
        following[1:] += alive[:-1] * match
        stopped = np.append(crosses[asked + 1], False)
        crossed += following[stopped].sum()
        following[stopped] = 0
        alive = following
    return crossed, mean


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_the_values_are_a_mixture_of_scipys_likelihood_ratios(n: int) -> None:
    counts = np.arange(n + 1)
    for asked, k0 in itertools.product(range(n + 1), range(n)):
        for matches in range(asked + 1):
            path = np.asarray(scipy.stats.hypergeom.pmf(matches, n, counts, asked))
            mixture = np.average(path[k0 + 1 :], weights=counts[k0 + 1 :] - k0)
            expected = mixture / path[k0] if path[k0] > 0 else math.inf if mixture > 0 else 0.0
            assert np.exp(log_e_values(n, matches, asked)[k0]) == pytest.approx(expected, rel=1e-9)


def test_the_values_of_a_long_fingerprint_are_exact() -> None:
    """Probabilities of 1e-200 on the way."""
    counts = np.arange(1001)
    path = np.asarray(scipy.stats.hypergeom.logpmf(400, 1000, counts, 500))
    expected = scipy.special.logsumexp(path[701:], b=(counts[701:] - 700) / (300 * 301 / 2)) - path[700]
    assert log_e_values(1000, 400, 500)[700] == pytest.approx(expected, rel=1e-7)


def largest_expectation(n: int, k0: int, count: int) -> float:
    """Return the supremum over all stopping times of E[E_τ] where K = count, by backward induction."""
    best = {matches: math.exp(log_e_values(n, matches, n)[k0]) for matches in [count]}
    for asked in reversed(range(n)):
        earlier = {}
        for matches in range(max(0, asked - (n - count)), min(asked, count) + 1):
            match = (count - matches) / (n - asked)
            ahead = match * best.get(matches + 1, 0.0) + (1 - match) * best.get(matches, 0.0)
            earlier[matches] = max(math.exp(log_e_values(n, matches, asked)[k0]), ahead)
        best = earlier
    return best[0]


@pytest.mark.parametrize(("n", "k0"), [(6, k0) for k0 in range(7)] + [(25, 0), (25, 12), (25, 24)])
def test_no_stopping_time_expects_more_than_one_under_any_k_of_the_null(n: int, k0: int) -> None:
    for count in range(k0 + 1):
        assert largest_expectation(n, k0, count) <= 1 + 1e-12


def test_the_expectation_can_tell_a_false_null() -> None:
    assert largest_expectation(6, 3, 4) > 1.1
    assert largest_expectation(25, 12, 13) > 1.02


@pytest.mark.parametrize(("k0", "k1"), [(k0, k1) for k0 in range(7) for k1 in (None, *range(7))])
def test_over_all_orders_of_six_examples_errors_keep_their_levels(k0: int, k1: int | None) -> None:
    for level in LEVELS:
        states = [SequentialTest(examples=6, k0=k0, k1=k1, fpr=level, fnr=level).start()]
        for _ in range(6):
            states = [state.updated(match) for state in states for match in (False, True)]
        for count in range(7):
            ends = [state.outcome for state in states if state.matches == count]
            assert len(ends) == math.comb(6, count)
            if count <= k0:
                assert ends.count("surrogate") <= level * len(ends)
            if k1 is None or count >= k1:
                assert ends.count("independent") <= level * len(ends)
            if count > k0 or (k1 is not None and count < k1):
                assert None not in ends


@pytest.mark.parametrize("level", [0.01, 0.025, 0.05])
def test_for_a_hundred_examples_the_exact_crossing_probability_keeps_the_level(level: float) -> None:
    for k0 in (0, 1, 30, 50, 75, 98, 99):
        crosses = log_e_table(100)[:, :, k0] >= -math.log(level)
        assert stopping(crosses, k0)[0] <= level
        assert stopping(crosses, max(0, k0 - 1))[0] <= level
        assert stopping(crosses, k0 + 1)[0] == pytest.approx(1)


@pytest.mark.parametrize(("rate", "k0", "most"), [(95, 50, 10), (87, 60, 23), (95, 60, 14.2), (87, 50, 14.5)])
def test_few_queries_decide_a_clear_case(rate: int, k0: int, most: float) -> None:
    """Exact means at 1 %; the best possible bettor, who knows K, takes 9.0, 21.2, 13.1 and 13.4."""
    assert stopping(log_e_table(100)[:, :, k0] >= math.log(100), rate)[1] <= most


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_more_matches_never_weaken_and_a_larger_null_never_strengthens(n: int) -> None:
    table = log_e_table(n)
    for asked in range(n + 1):
        values = table[asked, : asked + 1]
        assert (values[1:] >= values[:-1] - 1e-9).all()
        assert (values[:, :-1] >= values[:, 1:] - 1e-9).all()


def test_the_mirror_is_the_same_test_of_the_other_answers() -> None:
    answers = np.random.default_rng(0).random(100) < 0.6
    states = trace(replace(TEST, k0=40, k1=70), answers.tolist())
    mirrored = trace(replace(TEST, k0=30, k1=60), (~answers).tolist())
    assert [s.log_e_independent for s in states] == [s.log_e_surrogate for s in mirrored]
    assert [s.log_e_surrogate for s in states] == [s.log_e_independent for s in mirrored]


def test_the_first_crossing_counts() -> None:
    states = trace(TEST, [True] * 12 + [False] * 88)
    assert [state.asked for state in states] == list(range(1, 101))
    assert [state.outcome for state in states] == [None] * 7 + ["surrogate"] * 93
    assert states[-1].matches == 12
    assert states[-1].log_e_surrogate == -math.inf
    assert states[-1].log_e_independent == math.inf
    assert trace(TEST, [False] * 12 + [True] * 88)[-1].outcome == "independent"


def test_the_present_e_value_is_shown_not_its_maximum() -> None:
    states = trace(TEST, [True] * 5 + [False] * 5)
    assert states[-1].log_e_surrogate < 0 < states[4].log_e_surrogate


def test_the_start_knows_nothing() -> None:
    state = TEST.start()
    assert (state.asked, state.matches, state.outcome) == (0, 0, None)
    assert state.log_e_surrogate == pytest.approx(0, abs=1e-12)
    assert state.log_e_independent == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 10_000), count=st.integers(0, 30), k0=st.integers(0, 29))
def test_whoever_asks_everything_knows(seed: int, count: int, k0: int) -> None:
    """Levels that nothing but certainty reaches."""
    test = SequentialTest(examples=30, k0=k0, k1=k0 + 1, fpr=1e-300, fnr=1e-300)
    order = np.random.default_rng(seed).permutation(30) < count
    states = trace(test, order.tolist())
    assert states[-1].outcome == ("surrogate" if count > k0 else "independent")
    assert math.inf in (states[-1].log_e_surrogate, states[-1].log_e_independent)
    expected = [math.inf if s.matches > k0 else -math.inf if s.asked - s.matches >= 30 - k0 else None for s in states]
    found = [s.log_e_surrogate if math.isinf(s.log_e_surrogate) else None for s in states]
    assert found == expected


@pytest.mark.parametrize("k0", [100, 101, 500])
def test_nothing_exceeds_the_whole_fingerprint(k0: int) -> None:
    states = trace(replace(TEST, k0=k0), [True] * 100)
    assert all(s.outcome is None and s.log_e_surrogate == -math.inf for s in states)


@pytest.mark.parametrize("k1", [None, 0, -3])
def test_a_side_that_cannot_be_decided_is_not(k1: int | None) -> None:
    states = trace(replace(TEST, k1=k1), [False] * 100)
    assert all(s.outcome is None and s.log_e_independent == -math.inf for s in states)


def test_overlapping_nulls_leave_the_middle_open() -> None:
    """k1 <= k0: a K between them contradicts neither."""
    random = np.random.default_rng(1)
    test = replace(TEST, k0=60, k1=40, fpr=1e-9, fnr=1e-9)
    assert trace(test, (random.permutation(100) < 50).tolist())[-1].outcome is None
    assert trace(test, (random.permutation(100) < 61).tolist())[-1].outcome == "surrogate"
    assert trace(test, (random.permutation(100) < 39).tolist())[-1].outcome == "independent"


def test_one_example() -> None:
    test = SequentialTest(examples=1, k0=0, k1=1, fpr=0.05, fnr=0.05)
    assert [trace(test, [match])[0].outcome for match in (True, False)] == ["surrogate", "independent"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": 0, "k1": None}, "at least one example; found 0"),
        ({"k0": -1}, "k0 must be at least 0"),
        ({"k1": 101}, "k1 must be at most n = 100"),
        ({"fpr": 0.0}, "fpr must lie between 0 and 1"),
        ({"fnr": 1.0}, "fnr must lie between 0 and 1"),
        ({"fpr": math.nan}, "fpr must lie between 0 and 1"),
    ],
)
def test_impossible_tests_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(TEST, **changes)


def test_no_answer_comes_after_the_last() -> None:
    with pytest.raises(OptionError, match="All 100 examples were asked"):
        trace(TEST, [True] * 101)


@pytest.mark.parametrize(("matches", "asked"), [(-1, 0), (3, 2), (0, 11), (11, 11)])
def test_impossible_counts_are_refused(matches: int, asked: int) -> None:
    with pytest.raises(OptionError, match="must hold"):
        log_e_values(10, matches, asked)


def test_a_hundred_answers_take_milliseconds() -> None:
    answers = (np.random.default_rng(0).random(100) < 0.7).tolist()
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        trace(TEST, answers)
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 0.05


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 5, 20, 60])
def test_the_confidence_sequence_always_covers_with_its_probability(n: int, confidence: float) -> None:
    """Exactly: the probability that the true K/n is ever outside."""
    ends = {(t, s): confidence_sequence(n, s, t, confidence=confidence) for t in range(n + 1) for s in range(t + 1)}
    for count in range(n + 1):
        outside = np.zeros((n + 1, n + 1), bool)
        for (asked, matches), (low, high) in ends.items():
            outside[asked, matches] = not low <= count / n <= high
        possible = stopping(outside, count)[0]
        assert possible <= 1 - confidence


@given(seed=st.integers(0, 10_000), rate=st.floats(0, 1), asked=st.integers(0, 50))
@example(seed=45, rate=0.375, asked=45)  # its intersection is empty
def test_the_intersection_lies_in_the_last_interval_and_shrinks(seed: int, rate: float, asked: int) -> None:
    answers = (np.random.default_rng(seed).random(50) < rate).tolist()[:asked]
    low, high = running_confidence_sequence(50, answers, confidence=0.999)
    last = confidence_sequence(50, sum(answers), asked, confidence=0.999)
    before = running_confidence_sequence(50, answers[:-1], confidence=0.999)
    both = max(last[0], before[0]), min(last[1], before[1])
    assert (low, high) == (both if both[0] <= both[1] else before)  # an empty intersection stays what it was


def test_an_empty_intersection_stays_what_it_was() -> None:
    """After 30 matches K >= 40 seems certain, and then nothing matches any more."""
    first = [True] * 30
    kept = running_confidence_sequence(100, first, confidence=0.9)
    everything = running_confidence_sequence(100, first + [False] * 70, confidence=0.9)
    assert kept[0] > 0.8
    assert everything[0] == kept[0] <= everything[1] < 1
    assert confidence_sequence(100, 30, 100, confidence=0.9) == (0.3, 0.3)


def test_the_interval_and_the_verdict_agree() -> None:
    """At the same level, the interval excludes K <= k0 exactly where the e-process is over its limit."""
    answers = (np.random.default_rng(3).permutation(100) < 80).tolist()
    for state in trace(replace(TEST, k0=60, k1=95, fpr=0.025, fnr=0.025), answers):
        low, high = confidence_sequence(100, state.matches, state.asked, confidence=0.95)
        assert (low > 0.60) == (state.log_e_surrogate >= -math.log(0.025))
        assert (high < 0.95) == (state.log_e_independent >= -math.log(0.025))


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
def test_impossible_confidences_are_refused(confidence: float) -> None:
    with pytest.raises(OptionError, match="confidence must lie between"):
        confidence_sequence(10, 1, 2, confidence=confidence)


@pytest.mark.parametrize("level", [0.01, 0.05, 0.3])
def test_the_fewest_answers_are_where_a_run_of_one_kind_ends(level: float) -> None:
    for n, k in itertools.product((1, 2, 7, 20), range(21)):
        if k > n:
            continue
        test = SequentialTest(examples=n, k0=k, k1=n - k, fpr=level, fnr=level)
        found = [
            next((state.asked for state in trace(test, [answer] * n) if state.outcome), None)
            for answer in (True, False)
        ]
        assert list(test.fewest_answers()) == found, (n, k)
        assert replace(test, k1=None).fewest_answers() == (found[0], None)


def test_the_running_sequence_begins_with_everything_and_goes_by_a_95th_part() -> None:
    assert running_confidence_sequence(100, []) == (0.0, 1.0)
    assert running_confidence_sequence(100, [True] * 100) == (1.0, 1.0)
    assert running_confidence_sequence(100, [False] * 100) == (0.0, 0.0)
    answers = ([True] * 3 + [False]) * 12
    assert running_confidence_sequence(100, answers) == running_confidence_sequence(100, answers, confidence=0.95)
    assert running_confidence_sequence(100, answers) != running_confidence_sequence(100, answers, confidence=0.9)


def test_an_e_value_that_is_just_the_limit_has_reached_it() -> None:
    """After t answers of one kind, at levels and confidences whose limit is exactly their e-value."""
    levels, confidences = list[float](), list[float]()
    for k, t in itertools.product(range(20), range(1, 9)):
        value = float(log_e_values(20, t, t)[k])
        level = math.exp(-value)
        for close in (math.nextafter(level, 0), level, math.nextafter(level, 1)):
            if 0 < close < 1 and -math.log(close) == value:
                test = SequentialTest(examples=20, k0=k, k1=20 - k, fpr=close, fnr=close)
                assert test.fewest_answers() == (t, t)
                for match, outcome in ((True, "surrogate"), (False, "independent")):
                    assert [state.outcome for state in trace(test, [match] * t)] == [None] * (t - 1) + [outcome]
                levels.append(close)
        for confidence in (1 - 2 * level + step * 2**-54 for step in range(-4, 5)):
            if 0 < confidence < 1 and -math.log((1 - confidence) / 2) == value:
                assert confidence_sequence(20, t, t, confidence=confidence)[0] == (k + 1) / 20
                assert confidence_sequence(20, 0, t, confidence=confidence)[1] == (19 - k) / 20
                confidences.append(confidence)
    assert min(len(levels), len(confidences)) > 20
