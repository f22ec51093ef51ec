"""The studies of simulated rates and of few queries, against the library and simulation, and their tables."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cae_core.calibration.file import save_calibration
from cae_core.statistics.e_process import SequentialTest, trace
from cae_core.statistics.path_ranks import PathTest, path_scores, wilson_limits
from tests.core.toys import toy_calibration, toy_fingerprint


@lru_cache
def study(name: str = "simulated_rates") -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "experiments" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_chosen_weights_are_the_librarys() -> None:
    """Two ways to compute the same bets."""
    for k0 in (0, 50, 75, 99):
        own = study().weighted_bets(k0, study().weights(k0)["K1 - k0"])
        below = np.tril_indices(101)
        assert own[below] == pytest.approx(study().library_bets()[k0][below], rel=1e-9, abs=1e-9)


def test_the_exact_walk_is_the_mean_over_simulated_orders() -> None:
    crossing, mean = study().walk(study().library_bets()[60:61], 0.05)
    assert crossing[0, 61:] == pytest.approx(1)
    random = np.random.default_rng(0)
    test = SequentialTest(examples=100, k0=60, k1=None, fpr=0.05, fnr=0.05)
    for count in (58, 80):
        states = [trace(test, (random.permutation(100) < count).tolist()) for _ in range(200)]
        ends = [[state.outcome for state in run] for run in states]
        asked = np.array([run.index("surrogate") + 1 if "surrogate" in run else 100 for run in ends])
        accused = np.array(["surrogate" in run for run in ends])
        assert abs(asked.mean() - mean[0, count]) < 4 * asked.std() / len(asked) ** 0.5
        assert abs(accused.mean() - crossing[0, count]) < 4 * (0.25 / len(asked)) ** 0.5


@pytest.mark.long
def test_it_prints_its_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(study(), "MODELS", (4, 39))
    monkeypatch.setattr(study(), "NOMINAL", (0.05,))
    monkeypatch.setattr("sys.argv", ["simulated_rates", "--draws", "3", "--seed", "1"])
    study().main()
    printed = capsys.readouterr().out
    assert printed.count("| 39 | 5 % |") == 3
    assert printed.count("| 4 | 5 % | never | never |") == 3
    assert "| 0.95 | 50 | 9.9 | 8.5 | 7.3 |" in printed
    assert "| 0.30 | 60 | 21.4 | 17.8 | 15.3 |" in printed
    assert "| K1 - k0 | 30.17 | 26.48 | 23.59 |" in printed


class TestFewQueries:
    def test_it_stops_where_the_library_does(self) -> None:
        few, random = study("few_queries"), np.random.default_rng(4)
        known, suspects = random.random((30, 19, 40)) < 0.4, random.random((30, 2, 40)) < 0.6
        asked = few.stops(suspects, few.thresholds(known, 0.05))
        assert (asked == 0).any()
        for answers, pair, found in zip(known, suspects, asked, strict=True):
            test = PathTest(references=(path_scores(answers),), surrogates=np.zeros(0), fpr=0.05, fnr=0.05)
            for row, place in zip(pair, found, strict=True):
                state, outcomes = test.start(), []
                for match in row.tolist():
                    state = state.updated(match)
                    outcomes.append(state.outcome)
                assert place == (outcomes.index("surrogate") + 1 if "surrogate" in outcomes else 0)

    def test_its_limits_are_the_librarys_at_z_2(self) -> None:
        matches = np.tril(np.arange(41)[np.newaxis] * np.ones((41, 1), np.int64))[1:]
        asked = np.arange(1, 41)[:, np.newaxis]
        assert study("few_queries")._wilson(2.0)(matches, asked) == pytest.approx(
            wilson_limits(matches, asked), abs=1e-15
        )

    @pytest.mark.parametrize(
        ("right", "asked"),
        [([1] * 50, 10), ([0] * 50, 10), ([1] * 8 + [0] * 2 + [1] * 40, 11), ([1, 0] * 25, 50), ([1] * 6, 6)],
    )
    def test_as_many_probes_as_a_verification_asks(self, right: list[int], asked: int) -> None:
        found = study("few_queries").probes_asked(np.array(right, bool), source_accuracy=0.9, classes=10)
        assert found == asked

    def test_it_prints_its_tables(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("sys.argv", ["few_queries", "--draws", "8", "--seed", "1"])
        study("few_queries").main()
        printed = capsys.readouterr().out
        assert printed.count("| Beta(6, 9): mean 0.40 |") == 6
        assert "| Beta(1, 9): mean 0.10 | 0.95 | 100.0 % |" in printed
        assert "| Wilson, z = 2 |" in printed

    def test_it_replays_what_a_calibration_has_recorded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fingerprint = toy_fingerprint(n=40)
        save_calibration(toy_calibration(fingerprint, [4] * 20, [39, 40]), fingerprint, tmp_path / "f.safetensors")
        given = ["--fingerprint", str(tmp_path / "f.safetensors"), "--kind", "kind of surrogate", "--draws", "40"]
        monkeypatch.setattr("sys.argv", ["few_queries", *given])
        study("few_queries").main()
        thieves, innocent = capsys.readouterr().out.splitlines()[2:]
        assert thieves.startswith("| 19 | 5 % | kind of surrogate (2) | 100.0 % |")
        assert innocent.startswith("| 19 | 5 % | references that were not drawn (20) |")
        assert float(thieves.split("|")[6]) < 25 < float(innocent.split("|")[6])
