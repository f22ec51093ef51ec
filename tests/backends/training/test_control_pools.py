"""Pools of control sources: trained beside the plan's pool, and never twice."""

from pathlib import Path

import pytest

from cae_backends.execution.executor import this_process
from cae_backends.training.control_jobs import control_jobs
from cae_backends.training.control_pools import control_manifest, train_controls
from cae_backends.training.trainers import EXPORTER_GROUP
from cae_core.pool.manifest import read_pool
from cae_core.pool.roles import control_members
from tests.backends.installing import install
from tests.backends.training import test_pool_jobs
from tests.backends.training.test_pool_jobs import DATA, job

JOBS = [job("source", "source"), job("stolen", "soft labels", role="generate"), job("other", role="generate")]
CONTROLS = [control_jobs(JOBS, number, seed_of=len) for number in (1, 2)]


def test_each_is_a_pool_without_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {EXPORTER_GROUP: {"torch": f"{test_pool_jobs.__name__}:export_module"}})
    manifest, told = tmp_path / "pool.toml", list[tuple[int, int, int]]()

    def train() -> list[Path]:
        return train_controls(
            CONTROLS,
            DATA,
            manifest,
            crew=this_process,
            progress=lambda number: lambda done, total, _name: told.append((number, done, total)),
        )

    paths = train()
    assert paths == [control_manifest(manifest, number) for number in (1, 2)]
    for number, path in enumerate(paths, start=1):
        pool = read_pool(path)
        assert [member.name for member in pool.members] == [f"control-0{number}-source", f"control-0{number}-stolen"]
        assert pool.members[1].parent == f"control-0{number}-source"
    assert [members.source.name for members in control_members([tmp_path / "controls"], references=[])] == [
        "control-01-source",
        "control-02-source",
    ]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.onnx")}
    assert len(made) == 4
    told.clear()
    train()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert told[-1] == (2, 2, 2)
