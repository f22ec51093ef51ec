"""A sample of the study of false claims: two attacks' worth of claims on a small pool, judged by the real judge."""

import importlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cae_backends.datasets import open_data
from cae_backends.execution.executor import this_process
from cae_backends.training.jobs import PoolJob
from cae_backends.training.pool_jobs import PoolData, train_pool
from cae_backends.training.recipe import Recipe
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.intervals import clopper_pearson

pytestmark = pytest.mark.long

QUICK = Recipe(epochs=8, learning_rate=3e-3)
ASK = Recipe(epochs=10, learning_rate=3e-3, mix=0.8)


def job(name: str, role: Any, kind: str = "independent", recipe: Recipe = QUICK, parent: str = "") -> PoolJob:  # noqa: ANN401 - a literal
    seed = zlib.crc32(name.encode())
    return PoolJob(name=name, role=role, kind=kind, architecture="mlp", seed=seed, recipe=recipe, parent=parent)


JOBS = [
    job("source", "source", "source"),
    *(job(f"copy-{i}", "test", "hard labels", ASK, "source") for i in range(2)),
    *(job(f"generate-{i}", "generate") for i in range(3)),
    *(job(f"calibrate-{i:02}", "calibrate") for i in range(19)),
    *(job(f"party-{i}", "test") for i in range(4)),
]


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "experiments"))
        module = importlib.import_module("false_claims")
        for name, value in (("FPR", 0.05), ("EXAMPLES", 20), ("REFERENCES", 3), ("CALIBRATION", 19)):
            patch.setattr(module, name, value)
        patch.setattr(module, "JUDGE_LINES", (("hard labels", "mlp", ASK), ("soft labels", "mlp", ASK)))
        yield module


@pytest.fixture(scope="module")
def setting(study: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - the study's own
    folder = tmp_path_factory.mktemp("false-claims")
    data = PoolData(open_data("digits", split="train"), open_data("digits", split="test"))
    pool = train_pool(JOBS, data, folder / "pool" / "pool.toml", crew=this_process())
    setting = study.Setting(pool, folder / "study", 1)
    for claim in study.all_claims(setting):
        study.judge_one(setting, claim)
    return setting


def record(setting: Any, name: str) -> dict[str, Any]:  # noqa: ANN401
    found: dict[str, Any] = json.loads((setting.output / "claims" / f"{name}.json").read_text())
    return found


def test_what_an_accuser_presents_is_wrong_on_his_own_model_and_within_eps(study: ModuleType, setting: Any) -> None:  # noqa: ANN401
    accuser = setting.accusers()[0]
    for attack in study.ATTACKS:
        presented: Fingerprint = study.present_as_fingerprint(
            attack,
            study._white(accuser.path),
            [study._white(m.path) for m in setting.victims()[:2]],
            open_data("digits", split="test"),
            eps=study.EPS,
            count=20,
            seed=1,
            source={"name": accuser.name, "sha256": accuser.digest()},
        )
        assert len(presented) == 20
        assert (presented.labels != presented.ground_truth).all()
        change = abs(presented.images.astype(int) - presented.seeds.astype(int))
        assert 0 < change.max() <= round(255 * study.EPS)
        assert study._agreement(presented, accuser) == 1.0


def test_claims_of_an_unrelated_source_pass_no_more_often_than_the_rate(study: ModuleType, setting: Any) -> None:  # noqa: ANN401
    judged = list(record(setting, "own-000")["judged"].values())
    assert len(judged) == 3
    upheld = sum(x["outcome"] == "upheld" for x in judged)
    assert clopper_pearson(upheld, len(judged), 0.998)[0] <= study.FPR
    assert all((x["p"] <= study.FPR) == (x["outcome"] == "upheld") for x in judged if x["outcome"] != "cannot judge")


def test_a_copy_of_the_victim_is_never_upheld_against_it(setting: Any) -> None:  # noqa: ANN401
    (judged,) = record(setting, "copy-000")["judged"].values()
    assert judged["outcome"] != "upheld"


def test_an_honest_claim_passes(setting: Any) -> None:  # noqa: ANN401
    judged = record(setting, "honest")["judged"].values()
    assert [x["outcome"] for x in judged].count("upheld") >= 1
    assert all(x["outcome"] != "rejected" for x in judged)


def test_the_tables_name_every_claim(study: ModuleType, setting: Any) -> None:  # noqa: ANN401
    text = study.tables(setting)
    assert all(f"| {attack} | 1 |" in text for attack in study.ATTACKS)
    assert "| 1000 seals, the winner opened | 1 |" in text
    assert "Every accuser against every victim: " in text
    sealed = next(line for line in text.splitlines() if "1000 seals" in line).split(" | ")
    assert (sealed[3], sealed[-1].rstrip(" |")) == ("0", "1"), "nothing is upheld that was picked out of a thousand"
