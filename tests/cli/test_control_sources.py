"""From control sources' manifests to a verdict by rank among sources, by the command line alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_backends.datasets import open_data
from cae_core.fingerprint.file import load_fingerprint
from cae_core.generation import white_boxes
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.opening.opened import open_model
from cae_core.pool.roles import GenerationMembers
from cae_core.workflows import controls_of
from tests.cli.conftest import CalibrationPool, Pool, Run, fit_quickly, member_table, run_quietly, write_onnx
from tests.cli.test_bad_input import assert_one_sentence

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def controls(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three control sources with as many surrogates as the claimed one; their manifests name no references."""
    folder, data = tmp_path_factory.mktemp("controls"), open_data("digits", split="train")
    owner = data.subset(np.random.default_rng(7).permutation(len(data))[:300])
    noise = np.random.default_rng(3).normal(0, 60, owner.images.shape)
    queries = np.concatenate([owner.images, np.clip(owner.images + noise, 0, 255).astype(np.uint8)])
    for number in range(1, 4):
        own = folder / f"control-{number:02}"
        write_onnx(own / "source.onnx", fit_quickly(700 + number, owner.images, owner.labels))
        answers = open_model(str(own / "source.onnx")).predict(queries).labels
        tables = [member_table(own / "source.onnx", "source", "source")]
        for copy in range(len(list(pool.surrogates.iterdir()))):
            path = own / f"copy-{copy}.onnx"
            write_onnx(path, fit_quickly(800 + 10 * number + copy, queries, answers))
            tables.append(member_table(path, "generate", "surrogate"))
        (own / "pool.toml").write_text("\n\n".join(tables))
    return folder


@pytest.fixture(scope="module")
def ranked(pool: Pool, controls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fingerprint with control sources, calibrated by them alone: three support a rate of 25 %."""
    path = tmp_path_factory.mktemp("ranked") / "fingerprint.safetensors"
    run_quietly([*pool.generate_arguments(path, "--count", "8"), "--control", str(controls)])
    run_quietly(["calibrate", "-f", str(path), "--null", "sources", "--fpr", "0.25"])
    return path


def test_one_file_holds_every_source(ranked: Path, run_cae: Run) -> None:
    fingerprint = load_fingerprint(ranked)
    assert (fingerprint.controls, len(fingerprint.further["control"])) == (3, 3 * len(fingerprint))
    assert [control["name"] for control in fingerprint.generation["controls"]] == ["source"] * 3
    assert len({control["sha256"] for control in fingerprint.generation["controls"]}) == 3
    assert sorted(path.name for path in ranked.parent.iterdir()) == [ranked.name]
    assert "3: source, source, source" in run_cae("inspect", ranked).out


def test_a_copy_is_accused_and_another_model_is_not(ranked: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    for suspect, accused in ((pool.copy, True), (pool.other, False)):
        arguments = ("-s", suspect, "-f", ranked, "--trusted", "--nonce", "00" * 16)
        told = run_cae("verify", *arguments, "--ledger", tmp_path / "ledger", "--json")
        verdict = told.json()
        assert (verdict["verdict"] == "surrogate") == accused, verdict["reason"]
        assert verdict["queries"]["control"] >= 3 * verdict["asked"]
        assert verdict["findings"]["controls"]["null"] == "sources"
        (tmp_path / "verdict.json").write_text(told.out)
        page = run_cae(
            "report", "--verdict", tmp_path / "verdict.json", "-f", ranked, "-o", tmp_path / f"{accused}.html"
        )
        assert page.code == 0, page.err
        text = (tmp_path / f"{accused}.html").read_text()
        assert "trained 3 control sources by the claimed" in text
        assert "Anything about a source unlike its control sources" in text
        assert "Anything about models unlike the references" not in text
        assert ("with 0 of 3 other sources" in text) == accused
        again = run_cae("verify", "--replay", tmp_path / "verdict.json", "-f", ranked)
        assert again.code == 0, again.err


def test_the_larger_of_both_ranks_is_declared_and_told(
    ranked: Path, pool: Pool, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
) -> None:
    path = tmp_path / "both.safetensors"
    references = ("--references", calibration_pool.folder("calibrate", "reference"))
    told = run_cae("calibrate", "-f", ranked, *references, "--null", "both", "--fpr", "0.3", "-o", path)
    assert told.code == 0, told.err
    assert "by rank among 3 control sources; the larger p counts" in " ".join(told.out.split())
    arguments = ("-s", pool.copy, "-f", path, "--trusted", "--nonce", "00" * 16, "--ledger", tmp_path / "ledger")
    verdict = run_cae("verify", *arguments, "--allow-extrapolation", "--json")
    found = verdict.json()
    ranks = found["findings"]["controls"]
    assert found["p_value"] == max(ranks["p_sources"], ranks["p_references"])
    assert (found["verdict"], ranks["null"]) == ("surrogate", "both"), found["reason"]
    (tmp_path / "verdict.json").write_text(verdict.out)
    page = run_cae("report", "--verdict", tmp_path / "verdict.json", "-f", path, "-o", tmp_path / "page.html")
    assert page.code == 0, page.err
    text = " ".join((tmp_path / "page.html").read_text().split())
    assert "Anything about a suspect unlike the references and a source unlike its control sources" in text
    assert "independent models, like these or not, are wrongly accused" in text
    assert "whichever p is larger" in text
    assert "Anything about models unlike the references" not in text
    assert run_cae("verify", "--replay", tmp_path / "verdict.json", "-f", path).code == 0


def test_an_interrupted_run_keeps_the_controls_that_are_done(
    pool: Pool, controls: Path, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, started = tmp_path / "f.safetensors", list[str]()
    arguments = [*pool.generate_arguments(path, "--count", "4", "--max-seeds", "60"), "--control", controls]
    opened = white_boxes.open_white_boxes

    def stopping(members: GenerationMembers, **options: Any) -> WhiteBoxes:  # noqa: ANN401
        started.append(members.source.path.parent.name)
        if len(started) == 2:
            raise KeyboardInterrupt
        return opened(members, **options)

    monkeypatch.setattr(white_boxes, "open_white_boxes", stopping)
    assert run_cae(*arguments).code != 0
    folder = controls_of(path)
    assert [file.name for file in folder.iterdir()] == ["control-01.safetensors"]
    (folder / "mine.txt").write_text("another's")
    assert run_cae(*arguments).code == 0
    assert started == ["control-01", "control-02", "control-02", "control-03", pool.source.parent.name]
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]
    assert load_fingerprint(path).controls == 3


def test_a_dry_run_counts_every_sources_questions(ranked: Path, pool: Pool, run_cae: Run) -> None:
    told = run_cae("verify", "-s", pool.copy, "-f", ranked, "--dry-run")
    assert "for control sources" in told.out + told.err
    few = run_cae("verify", "-s", pool.copy, "-f", ranked, "--dry-run", "--max-queries", "60")
    assert_one_sentence(few, code=2)
    assert "takes at least" in few.err


def test_a_thief_of_a_query_log_is_accused(pool: Pool, controls: Path, tmp_path: Path, run_cae: Run) -> None:
    random = np.random.default_rng(4)
    data = open_data("digits", split="train")
    log = np.clip(data.images + random.normal(0, 70, data.images.shape), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "log.npz", images=log, labels=data.labels)
    path = tmp_path / "log.safetensors"
    arguments = ("--source", pool.source, "--control", controls, "--trusted", "--data", "digits", "-o", path)
    made = run_cae(
        "generate", *arguments, "--queries", tmp_path / "log.npz", "--log-date", "2026-01-31", "--count", "40", "--json"
    )
    assert made.code == 0, made.err
    assert (made.json()["controls"], made.json()["queries"]["count"]) == (3, len(log))
    assert run_cae("calibrate", "-f", path, "--null", "sources", "--fpr", "0.25").code == 0
    assert "of 2026-01-31; 1 tried" in run_cae("inspect", path).out
    answers = open_model(str(pool.source)).predict(log).labels
    write_onnx(tmp_path / "thief.onnx", fit_quickly(900, log, answers))
    write_onnx(tmp_path / "honest.onnx", fit_quickly(901, log, data.labels))
    found = {}
    for name in ("thief", "honest"):
        verdict = run_cae("verify", "-s", tmp_path / f"{name}.onnx", "-f", path, "--trusted", "--json").json()
        found[name] = verdict["findings"]["controls"]["rates"]
        assert any("query log" in warning for warning in verdict["warnings"])
        if name == "thief":
            assert verdict["verdict"] == "surrogate", verdict["reason"]
    assert found["thief"][0] > max(found["thief"][1:]) + 0.2
    assert abs(found["honest"][0] - np.mean(found["honest"][1:])) < 0.2
    refused = run_cae("generate", *arguments, "--queries", tmp_path / "log.npz")
    assert_one_sentence(refused, code=2)
    assert "2026-05-31" in refused.err


def test_a_control_with_fewer_surrogates_is_refused(pool: Pool, controls: Path, tmp_path: Path, run_cae: Run) -> None:
    tables = (controls / "control-01" / "pool.toml").read_text().split("\n\n")
    (tmp_path / "pool.toml").write_text("\n\n".join(tables[:-1]))
    told = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors"), "--control", tmp_path / "pool.toml")
    assert_one_sentence(told)
    assert "equal numbers" in told.err


def test_sources_are_not_ranked_without_any(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    told = run_cae("calibrate", "-f", fingerprint, "--null", "sources", "-o", tmp_path / "f.safetensors")
    assert_one_sentence(told, code=2)
    assert "--control" in told.err
