"""Path ranks: their score against SciPy's interval, and the rule exact at every stopping time, by enumeration too."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import isqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from cae_core.errors import OptionError
from cae_core.statistics.path_ranks import FEWEST_ANSWERS, PathState, PathTest, path_scores, wilson_limits
from cae_core.statistics.ranks import Among

CONFIDENCE = float(1 - 2 * norm.sf(2))


def run(test: PathTest, matches: NDArray[np.bool_]) -> list[PathState]:
    """Return the state after each answer of one path."""
    state, states = test.start(), list[PathState]()
    for match in matches.tolist():
        state = state.updated(match)
        states.append(state)
    return states


def among(table: NDArray[np.bool_], *, rate: float = 0.05, surrogates: NDArray[np.bool_] | None = None) -> PathTest:
    """Return the test whose references' answers (r, n) are the rows of a table, in the order of its columns."""
    copies = np.zeros((0, table.shape[1]), bool) if surrogates is None else surrogates
    return PathTest(references=(path_scores(table),), surrogates=path_scores(~copies), fpr=rate, fnr=rate)


def squared_limit(s: int, t: int) -> Fraction:
    """Return the lower Wilson limit at z = 2, rounded down to 40 binary places, in whole numbers alone."""
    scale = 1 << 80
    root = Fraction(isqrt(scale * 4 * (s * (t - s) + t) // t), 1 << 40)
    return (Fraction(s + 2) - root) / (t + 4)


class TestTheScore:
    @pytest.mark.parametrize("t", [1, 2, 7, 30, 100])
    def test_it_is_the_lower_wilson_limit(self, t: int) -> None:
        for s in range(t + 1):
            expected = binomtest(s, t).proportion_ci(CONFIDENCE, method="wilson").low
            assert float(wilson_limits(np.array(s), np.array(t))) == pytest.approx(expected, abs=1e-9)

    def test_of_a_path_it_is_the_largest(self) -> None:
        table = np.random.default_rng(4).random((50, 30)) < 0.6
        for row, score in zip(table, path_scores(table), strict=True):
            limits = [float(wilson_limits(row[:t].sum(), np.array(t))) for t in range(5, 31)]
            assert score == max(limits)

    def test_a_step_at_a_time_it_is_the_same_to_the_last_bit(self) -> None:
        random = np.random.default_rng(9)
        table = random.random((40, 60)) < random.beta(3, 2, 40)[:, np.newaxis]
        for row, high, low in zip(table, path_scores(table), path_scores(~table), strict=True):
            last = run(among(table), row)[-1]
            assert (last.score, last.score_independent) == (high, low)
            assert (last.asked, last.matches) == (60, row.sum())


class TestExactAtEveryStoppingTime:
    def test_every_table_of_few_short_paths(self) -> None:
        """Three models, six examples, every table once: the last is accused at most at the rate, in whole numbers.

        Independently of the code: scores in fractions, the rank by counting, exchangeable weights that no product of
        probabilities gives (they depend on how many models answer alike).
        """
        n, models, rate = 6, 3, Fraction(1, 3)
        paths = list(product([False, True], repeat=n))
        limits = {(s, t): squared_limit(s, t) for t in range(FEWEST_ANSWERS, n + 1) for s in range(t + 1)}
        best = [[limits[sum(path[:t]), t] for t in range(FEWEST_ANSWERS, n + 1)] for path in paths]
        ranks = {score: rank for rank, score in enumerate(sorted({max(scores) for scores in best}))}
        score = np.array([ranks[max(scores)] for scores in best])
        a, b, suspect = np.meshgrid(*[np.arange(len(paths))] * models, indexing="ij")
        alike = (a == b).astype(np.int64) + (b == suspect) + (a == suspect)
        weight = 1 + 7 * alike + sum(np.array([sum(path) for path in paths])[which] for which in (a, b, suspect))
        hits = (score[suspect] > score[a]) & (score[suspect] > score[b])
        accused, total = Fraction(int(weight[hits].sum())), int(weight.sum())
        assert Fraction(0) < accused <= rate * total
        # and the code agrees, wherever it is looked at: some prefix outranks every whole path of the references
        for table in np.random.default_rng(2).integers(0, len(paths), (300, models)).tolist():
            *known, own = table
            hit = any(1 + sum(max(best[row]) >= now for row in known) <= rate * models for now in best[own])
            states = run(among(np.array([paths[row] for row in known]), rate=1 / 3), np.array(paths[own]))
            assert ("surrogate" in {state.outcome for state in states}) == hit == hits[tuple(table)]

    @pytest.mark.parametrize(
        ("models", "rate", "law"),
        [(19, 0.05, "beta"), (19, 0.05, "clusters"), (39, 0.05, "beta"), (99, 0.01, "beta"), (19, 0.1, "hard images")],
    )
    def test_tables_at_random(self, models: int, rate: float, law: str) -> None:
        """8,000 tables of exchangeable models: an independent implementation keeps the rate, and agrees."""
        random, tables, n = np.random.default_rng(17), 8_000, 25
        steps = np.arange(1, n + 1)
        shape: dict[str, Callable[[int], NDArray[np.float64]]] = {
            "beta": lambda m: random.beta(6, 9, (m, models + 1, 1)),
            "clusters": lambda m: np.where(random.random((m, models + 1, 1)) < 0.3, 0.7, 0.3),
            "hard images": lambda m: random.beta(0.4, 0.6, (m, 1, n)),
        }
        accused = 0
        for part in range(tables // 1000):
            answers = random.random((1000, models + 1, n)) < shape[law](1000)
            p = answers.cumsum(axis=2) / steps
            limits = (p + 2 / steps - 2 * np.sqrt(p * (1 - p) / steps + 1 / steps**2)) / (1 + 4 / steps)
            limits = limits.round(12)
            limits = limits[:, :, FEWEST_ANSWERS - 1 :]
            whole, last = limits[:, :-1].max(axis=2), limits[:, -1]
            reached = (whole[:, :, np.newaxis] >= last[:, np.newaxis]).sum(axis=1)  # (1000, n), at each answer
            hits = (1 + reached <= rate * (models + 1) + 1e-9).any(axis=1)
            accused += int(hits.sum())
            for table, hit in list(zip(answers, hits, strict=True))[: 50 if part == 0 else 0]:
                assert (run(among(table[:-1], rate=rate), table[-1])[-1].outcome == "surrogate") == hit
        error = np.sqrt(rate * (1 - rate) / tables)
        assert accused / tables <= rate + 4 * error
        assert accused / tables > rate / 3  # it is no rule that never accuses

    def test_the_mirror_acquits_as_seldom(self) -> None:
        random, tables = np.random.default_rng(23), 4_000
        answers = random.random((tables, 20, 25)) < random.beta(8, 2, (tables, 20, 1))
        nobody = np.ones((19, 25), bool)  # of whom none can be outranked: nothing else can stop it
        scores = path_scores(~answers.reshape(-1, 25)).reshape(tables, 20)
        acquitted = scores[:, -1] > scores[:, :-1].max(axis=1)
        for table, expected in list(zip(answers, acquitted, strict=True))[:100]:
            states = run(among(nobody, surrogates=table[:-1]), table[-1])
            assert (states[-1].outcome == "independent") == expected
        assert 0.02 < acquitted.mean() <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / tables)

    def test_an_order_that_was_chosen_among_ten_is_the_price(self) -> None:
        """Some 16 % of innocent suspects at 5 %, see `docs/results/simulations.md`."""
        random, suspects = np.random.default_rng(31), 600
        tables = random.random((suspects, 20, 100)) < random.beta(6, 9, (suspects, 20, 1))
        accused = np.zeros(suspects, bool)
        for _ in range(10):
            scores = path_scores(tables[:, :, random.permutation(100)].reshape(-1, 100)).reshape(suspects, 20)
            accused |= scores[:, -1] > scores[:, :-1].max(axis=1)
        assert 0.1 < accused.mean() < 0.22


class TestGroups:
    LOW, HIGH = np.full(19, 0.2), np.full(19, 0.6)

    def test_it_has_to_stand_out_in_each(self) -> None:
        test = PathTest(references=(self.LOW, self.HIGH), surrogates=np.zeros(0), fpr=0.05, fnr=0.05)
        assert test.threshold == 0.6
        assert test.high(0.5).as_extreme == 19
        assert test.high(0.7).p_value == pytest.approx(0.05)

    def test_one_that_is_too_small_accuses_nobody(self) -> None:
        test = PathTest(references=(self.LOW, self.HIGH[1:]), surrogates=np.zeros(0), fpr=0.05, fnr=0.05)
        assert test.threshold is None
        assert test.fewest_answers() == (None, None)
        assert run(test, np.ones(50, bool))[-1].outcome is None
        assert test.high(0.9).p_value > 0.05

    def test_there_is_one_at_least(self) -> None:
        with pytest.raises(OptionError, match="at least one group of references; found none"):
            PathTest(references=(), surrogates=np.zeros(0), fpr=0.05, fnr=0.05)


class TestStopping:
    @pytest.mark.parametrize("threshold", [0.0, 0.19, 0.2, 0.5, 0.75, 0.9, 0.957])
    def test_fewest_answers(self, threshold: float) -> None:
        test = PathTest(references=(np.full(19, threshold),), surrogates=np.full(19, threshold), fpr=0.05, fnr=0.05)
        surrogate, independent = test.fewest_answers()
        for fewest, match in ((surrogate, True), (independent, False)):
            assert fewest is not None
            outcomes = [state.outcome for state in run(test, np.full(fewest, match))]
            assert outcomes[-1] == ("surrogate" if match else "independent")
            assert set(outcomes[:-1]) <= {None}

    def test_a_tie_is_no_accusation(self) -> None:
        path = np.ones((19, 8), bool)
        assert run(among(path), path[0])[-1].outcome is None
        assert run(among(path), np.ones(9, bool))[-1].outcome == "surrogate"

    def test_what_came_first_stays(self) -> None:
        low, high = path_scores(np.zeros((19, 5), bool)), path_scores(np.ones((19, 5), bool))
        test = PathTest(references=(low,), surrogates=path_scores(~np.ones((19, 5), bool)), fpr=0.05, fnr=0.05)
        assert high.max() > low.max()
        states = run(test, np.array([False] * 5 + [True] * 20))
        assert [state.outcome for state in states] == [None] * 4 + ["independent"] * 21

    def test_before_the_fifth_answer_nothing_counts(self) -> None:
        never = path_scores(np.zeros((19, 30), bool))
        test = PathTest(references=(never,), surrogates=never, fpr=0.05, fnr=0.05)
        assert [state.outcome for state in run(test, np.ones(6, bool))] == [None] * 4 + ["surrogate"] * 2
        assert path_scores(np.ones((1, 4), bool)).tolist() == [0]


def test_a_path_stands_where_it_is_least_extreme_and_ties_count() -> None:
    test = PathTest(
        references=(np.array([0.1, 0.5, 0.5]), np.array([0.9])),
        surrogates=np.array([0.2, 0.4, 0.4, 0.6]),
        fpr=0.05,
        fnr=0.05,
    )
    assert test.high(0.5) == Among(models=1, as_extreme=1, p_value=1.0)
    assert test.high(0.95) == Among(models=1, as_extreme=0, p_value=0.5)
    assert test.low(0.4) == Among(models=4, as_extreme=3, p_value=4 / 5)
    assert test.low(0.41) == Among(models=4, as_extreme=1, p_value=2 / 5)
