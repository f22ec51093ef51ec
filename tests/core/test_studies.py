"""The study of simulated rates: its exact walk against simulated orders, its bets against the library's, its tables."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cae_core.statistics.e_process import SequentialTest, trace


@lru_cache
def study() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "studies" / "simulated_rates.py"
    spec = importlib.util.spec_from_file_location("simulated_rates", path)
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
