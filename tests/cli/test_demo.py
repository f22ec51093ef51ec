"""The demonstration: a sample of its pool among the long tests, the whole of it among the slow ones."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cae_backends.training.jobs import PoolJob, job_digest
from cae_backends.training.kinds.estimators import SCIKIT_LEARN
from cae_cli import demo
from cae_cli.demo_pages import telling, write_pages
from cae_core.pool.manifest import PoolMember
from cae_core.statistics.ranks import models_needed
from cae_core.verification.verdict import Verdict
from cae_report.dossier import open_dossier
from tests.cli.conftest import Outcome
from tests.report.test_report import make

Run = Callable[..., Outcome]

SAMPLE = (
    "source",
    *("generate-01", "generate-05", "generate-10", "generate-13"),
    *("test-04", "test-16"),
    *("calibrate-02", "calibrate-23"),
)


@pytest.mark.long
def test_a_sample_of_the_demonstration(tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    every = demo.demo_jobs

    def few() -> list[PoolJob]:
        return [job for job in every() if job.name.startswith(SAMPLE)]

    monkeypatch.setattr(demo, "demo_jobs", few)
    monkeypatch.setattr(demo, "DEMO_FPR", 0.5)  # what one calibration reference supports
    outcome = run_cae("demo", "--workdir", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "ROC AUC" in outcome.out
    assert "scikit-learn" in outcome.out
    pages = sorted((tmp_path / "reports").glob("*.html"))
    assert len(pages) == 2, "of two suspects"
    for page in pages:
        assert f"  {page}" in outcome.out.splitlines()
        assert "Is the suspect derived from the source?" in page.read_text()
        assert page.stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "fingerprint.safetensors").read_bytes()
    for step in (" generate ", " calibrate "):
        command = next(line for line in outcome.out.splitlines() if step in line).split()[1:]
        assert run_cae(*command).code == 0, "the printed command repeats the step"
    assert (tmp_path / "fingerprint.safetensors").read_bytes() == first
    verify = next(line for line in outcome.out.splitlines() if "--json" in line).split()[1:]
    # a single reference spans no range of accuracies
    assert run_cae(*verify, "--allow-extrapolation").code == 3, "the soft-label copy answers like its source"


def named(name: str, value: float, threshold: float | None = 0.5) -> tuple[PoolMember, Verdict]:
    decision = SimpleNamespace(value=value, threshold=threshold)
    return cast("tuple[PoolMember, Verdict]", (SimpleNamespace(name=name), SimpleNamespace(decision=decision)))


def test_the_pages_are_of_the_extremes_and_the_nearest() -> None:
    suspects = [named("a", 0.1), named("b", 0.95), named("c", 0.45), named("d", 0.9), named("e", 0.2)]
    assert [member.name for member, _ in telling(suspects)] == ["b", "c", "a"]
    assert [member.name for member, _ in telling(suspects[:2])] == ["b", "a"]
    without = [named(f"{i}", i / 10, None) for i in range(5)]
    assert [member.name for member, _ in telling(without)] == ["4", "2", "0"]


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make(tmp_path, "uncalibrated")
    verdict = open_dossier(files.verdict, files.fingerprint).verdict
    member = PoolMember(path=tmp_path / "theirs.onnx", role="test", relation="surrogate")
    monkeypatch.delitem(sys.modules, "cae_report.page", raising=False)
    monkeypatch.delitem(sys.modules, "cae_report.rendering", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    found = write_pages([(member, verdict)], files.fingerprint, tmp_path / "reports")
    assert found.pages == ()
    assert "pip install 'cae-fingerprint[report]'" in found.missing


@pytest.mark.slow
def test_the_whole_demonstration(tmp_path: Path, run_cae: Run) -> None:
    found = run_cae("demo", "--workdir", tmp_path, "--json").json()
    assert found["auc"] > 0.95
    relations = [suspect["relation"] for suspect in found["suspects"]]
    assert relations.count("surrogate") >= 6
    assert relations.count("reference") >= 6
    references = [suspect for suspect in found["suspects"] if suspect["relation"] == "reference"]
    assert all(suspect["verdict"] != "surrogate" for suspect in references)
    assert all(suspect["threshold"]["provenance"] == "rank" for suspect in found["suspects"])
    assert "scikit-learn" in {suspect["kind"] for suspect in references}


def test_the_pool_is_large_enough_and_its_roles_share_no_seed() -> None:
    jobs = demo.demo_jobs()
    count = {
        (role, independent): sum(
            job.role == role and (job.kind in ("independent", SCIKIT_LEARN.name)) == independent for job in jobs
        )
        for role in ("generate", "test", "calibrate")
        for independent in (False, True)
    }
    assert min(count["generate", False], count["generate", True]) >= 8
    assert min(count["test", False], count["test", True]) >= 6
    assert count["calibrate", True] >= models_needed(demo.DEMO_FPR)
    assert count["calibrate", False] >= models_needed(demo.DEMO_FNR)
    assert len({job.seed for job in jobs}) == len(jobs)
    assert demo.DEMO_TAU > 0.5


def test_the_packaged_plan_means_the_models_whose_results_are_published() -> None:
    digests = [job_digest(job, data="", parent="") for job in demo.demo_jobs()]
    assert len(digests) == 70
    assert hashlib.sha256("".join(digests).encode()).hexdigest() == (
        "a33eb61844dd9f712f21d8b2d7658365b62aa510b5d6761f7a0fcb59366dd8b6"
    )
