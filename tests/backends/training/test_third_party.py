"""A third party's trainer and exporter, found by their entry points: they train a pool as ours do."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from cae_backends.execution.executor import this_process
from cae_backends.training.plans import parse_plan
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.trainers import EXPORTER_GROUP, TRAINER_GROUP, find_exporter
from cae_core.errors import BackendMissing
from cae_core.models import Model
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import PoolMember, read_pool
from tests.backends.blobs import blobs
from tests.backends.installing import install

DATA = PoolData(blobs(), blobs(20, seed=1))
PLAN = {
    "trainer": "linear",
    "source": {"architecture": "linear", "recipe": "quick"},
    "recipe": {"quick": {"epochs": 6, "batch_size": 16, "learning_rate": 0.5}},
    "members": [
        {"kind": "hard labels", "architectures": ["linear"], "recipes": ["quick"], "count": {"generate": 1}},
        {"kind": "8-bit weights", "count": {"test": 1}},
        {"kind": "independent", "architectures": ["linear"], "recipes": ["quick"], "count": {"test": 1}},
    ],
}
TRAINERS = {"linear": "tests.backends.third_party:TRAINER"}
EXPORTERS = {"linear": "tests.backends.third_party:export"}


def opened(member: PoolMember) -> Model:
    return open_model(str(member.path), contract=member.contract, device="cpu")


def test_its_models_are_exported_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {TRAINER_GROUP: TRAINERS, EXPORTER_GROUP: EXPORTERS})
    jobs = parse_plan(PLAN, origin="plan").jobs
    pool = read_pool(train_pool(jobs, DATA, tmp_path / "pool.toml", crew=this_process()))
    assert len(pool.members) == 4
    for member in pool.members:
        labels = opened(member).predict(DATA.test.images).labels
        assert np.mean(labels == DATA.test.labels) == pytest.approx(member.accuracy)
        assert member.accuracy is not None
        assert member.accuracy > 0.9


def test_without_an_exporter_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {TRAINER_GROUP: TRAINERS})
    jobs = parse_plan(PLAN, origin="plan").jobs
    with pytest.raises(BackendMissing, match=r"No exporter to ONNX for 'linear' is installed; there are: "):
        train_pool(jobs, DATA, tmp_path / "pool.toml", crew=this_process())
    assert not list(tmp_path.iterdir())


def test_ours_are_registered_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(declared[TRAINER_GROUP]) | {"sklearn"} == set(declared[EXPORTER_GROUP])
    install(monkeypatch, declared)
    for name, value in declared[EXPORTER_GROUP].items():
        exporter = find_exporter(name)
        assert f"{exporter.__module__}:{exporter.__name__}" == value  # type: ignore[attr-defined]
