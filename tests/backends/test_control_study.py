"""The study of control sources: networks that are trained together, and its ranks by cell."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from cae_backends.datasets import open_data
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.source_ranks import source_rank_p_value, two_way_p_value

STUDIES = Path(__file__).parents[2] / "examples" / "experiments"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(STUDIES))
    return importlib.import_module("control_sources")


def test_networks_that_are_trained_together_learn_their_own_images(study: ModuleType) -> None:
    """One of the two is shown wrong labels: it learns these, and the other is none the worse."""
    data = open_data("digits", split="train")
    images = torch.tensor(data.images[:400].transpose(0, 3, 1, 2)).float() / 255
    told = [data.labels[:400], (data.labels[:400] + 1) % 10]
    for architecture in study.ARCHITECTURES:
        trainings = [
            study.Training(
                architecture=architecture,
                seed=seed,
                images=images,
                targets=torch.nn.functional.one_hot(torch.tensor(labels), 10).float(),
                epochs=8,
            )
            for seed, labels in enumerate(told)
        ]
        for network, labels in zip(study.train(trainings), told, strict=True):
            assert (network(images).argmax(1).numpy() == labels).mean() > 0.7


def test_the_rank_by_cell_counts_each_cell_once(study: ModuleType) -> None:
    random = np.random.default_rng(0)
    rates, of = random.integers(0, 5, (60, 2)) / 4, np.arange(60) % study.CELLS
    references = study.Answers(rates, np.ones(60), of)
    claimed = np.array([0.0, 0.5, 1.0])
    found = study._by_cell(claimed, references, 1)
    for value, p in zip(claimed, found, strict=True):
        shares = [np.mean([rates[i, 1] >= value for i in range(60) if of[i] == cell]) for cell in range(study.CELLS)]
        assert p == pytest.approx((1 + sum(shares)) / (study.CELLS + 1))


def test_its_ranks_are_the_librarys(study: ModuleType) -> None:
    random = np.random.default_rng(1)
    asked, references = (np.round(random.uniform(0, 1, (n, 5)) * 8) / 8 for n in (40, 19))
    two_way = [two_way_p_value(np.vstack([row, references])) for row in asked]
    np.testing.assert_allclose(study._two_way_ranks(asked, references), two_way, rtol=1e-12)
    sources = [source_rank_p_value(row) for row in asked]
    np.testing.assert_allclose(study._ranks(asked[:, 0], asked[:, 1:]), sources, rtol=1e-12)
    plain = [rank_p_value(references[:, 0], value) for value in asked[:, 0]]
    np.testing.assert_allclose(study._ranks(asked[:, 0], references[:, 0]), plain, rtol=1e-12)


def test_a_rate_is_the_mean_over_models_of_the_claims_that_concern_them(study: ModuleType) -> None:
    draws = [study.Draw(claimed, np.zeros(0), np.zeros(0)) for claimed in (0, 1, 0)]
    accused = np.array([[True, False], [True, True], [True, False]])
    assert study._cell(accused, draws, np.array([-1, -1])).startswith("66.7 ± 33.3 / 25.0 (to 100)")
    assert study._cell(accused, draws, np.array([0, 1])).startswith("100.0 ± 0.0 / 0.0 (to 100)")


@pytest.mark.parametrize(
    ("name", "least"),
    [("plain, 19 references", 1 / 20), ("two-way, 19 + 4", 1 / 100), ("source rank, 99 controls", 1 / 100)],
)
def test_a_rank_is_shown_at_the_rates_that_it_supports(study: ModuleType, name: str, least: float) -> None:
    assert study._least(name) == pytest.approx(least)
