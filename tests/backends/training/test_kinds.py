"""Kinds of members: their record is all that there is to know, for plans, for training and for the documentation."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from cae_backends.execution.executor import this_process
from cae_backends.training.job_runner import Task, run_task
from cae_backends.training.jobs import PoolJob
from cae_backends.training.kinds.answers import retrained_on_labels
from cae_backends.training.kinds.record import Kind, Teacher, Theft
from cae_backends.training.kinds.scratch import SOURCE
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.kinds.table import KINDS
from cae_backends.training.plans import parse_plan, read_plan
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import EXPORTER_GROUP, TRAINER_GROUP
from cae_core.arrays import Floats32
from cae_core.errors import PoolError
from cae_core.pool.manifest import read_pool
from tests.backends.blobs import blobs
from tests.backends.installing import install

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "pool.md").read_text(encoding="utf-8")
MADE_OF = {"nothing": "data alone", "answers": "the source's answers", "weights": "the source's weights"}
DATA = PoolData(blobs(), blobs(20, seed=1))


def row(kind: Kind) -> str:
    return f"| `{kind.name}` | {kind.relation} | {MADE_OF[kind.starts_from]} | {kind.how} |"


def test_the_page_lists_every_kind_as_its_record_has_it() -> None:
    table = PAGE[PAGE.index("| kind | relation |") :].partition("\n\n")[0].splitlines()
    assert table[2:] == [row(kind) for kind in KINDS.values() if kind is not SOURCE]


def test_the_page_counts_the_members_of_the_digits_plan() -> None:
    jobs = read_plan(ROOT / "examples" / "pools" / "digits.toml").jobs
    references, surrogates = (sum(job.relation == relation for job in jobs) for relation in ("reference", "surrogate"))
    assert f"| `digits.toml` | {references} references, {surrogates} surrogates, tiny networks |" in PAGE
    cifar10 = read_plan(ROOT / "examples" / "pools" / "cifar10.toml").jobs
    assert f"| `cifar10.toml` | {len(cifar10)} small models |" in PAGE


def test_reading_the_table_loads_no_framework() -> None:
    script = (
        "import sys; from cae_backends.training.kinds.table import KINDS; import cae_backends.training.plans; "
        "assert KINDS; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "cae_backends" in loaded
    assert not {"torch", "tensorflow", "keras", "sklearn", "onnx", "onnxruntime"} & set(loaded)


def test_what_a_kind_needs_is_a_field_of_the_recipe() -> None:
    fields = {field.name for field in dataclasses.fields(Recipe)}
    derived = {"partial"}
    assert set.union(*(set(kind.needs) for kind in KINDS.values())) <= fields | derived
    assert all(hasattr(Recipe(), name) for name in derived)
    assert all(kind.name == name for name, kind in KINDS.items())


def test_a_theft_is_added_by_its_record_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in plans, trained, checked and in the manifest, and no other place knows it."""

    def contrary(teacher: Teacher, setup: Setup) -> Made:
        def turned(images: Floats32) -> Floats32:
            return -teacher(images)

        return retrained_on_labels(turned, setup)

    needs = {"noise": "the recipe of a contrary model gives some noise"}
    monkeypatch.setitem(KINDS, "contrary", Theft(name="contrary", make=contrary, needs=needs, how="against the source"))
    third_party = "tests.backends.third_party"
    install(
        monkeypatch,
        {
            TRAINER_GROUP: {"linear": f"{third_party}:TRAINER"},
            EXPORTER_GROUP: {"linear": f"{third_party}:export"},
        },
    )
    quick = {"epochs": 8, "batch_size": 16, "learning_rate": 0.5, "noise": 0.01}
    group = {"kind": "contrary", "architectures": ["linear"], "recipes": ["quick"], "count": {"test": 1}}
    plan = {
        "trainer": "linear",
        "source": {"architecture": "linear", "recipe": "quick"},
        "recipe": {"quick": quick},
        "members": [group],
    }
    jobs = parse_plan(plan, origin="plan").jobs
    source, thief = read_pool(train_pool(jobs, DATA, tmp_path / "pool.toml", crew=this_process())).members
    assert (thief.kind, thief.relation, thief.parent) == ("contrary", "surrogate", "source")
    assert source.accuracy is not None
    assert source.accuracy > 0.9
    assert thief.accuracy is not None
    assert thief.accuracy < 0.5
    with pytest.raises(PoolError, match="the recipe of a contrary model gives some noise"):
        parse_plan(plan | {"recipe": {"quick": quick | {"noise": 0}}}, origin="plan")


def test_a_surrogate_without_its_parent_is_refused() -> None:
    job = PoolJob(name="a", role="test", kind="pruned", architecture="mlp", seed=0, parent="source")
    with pytest.raises(PoolError, match="Job a: a pruned model is made of its parent, and none was given"):
        run_task(Task(job=job, parent=None, device="cpu", keep_weights=False), DATA)
