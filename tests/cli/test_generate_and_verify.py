"""The main job through the command line, and what scripts may rely on."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import cae_core
from cae_cli import checkup
from cae_core.fingerprint.file import load_fingerprint
from cae_core.opening.opened import open_model
from tests.cli.conftest import CONTRACT, Outcome, Pool

Run = Callable[..., Outcome]

NONCE = "00" * 16


def test_a_copy_scores_higher_than_an_independent_model(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    scores = {
        path.stem: run_cae("verify", "--suspect", path, "--fingerprint", fingerprint, "--json").json()["caeacc"]
        for path in (pool.source, pool.copy, pool.other)
    }
    assert scores["source"] == 1.0
    assert scores["copy"] > scores["other"]


def test_the_json_holds_what_scripts_rely_on(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    verdict = run_cae("verify", "-s", pool.source, "-f", fingerprint, "--json", "--nonce", NONCE).json()
    assert verdict["verdict"] == "surrogate"
    assert verdict["matches"] == 20
    assert verdict["threshold"] == {"value": 0.75, "provenance": "literature"}
    assert verdict["p_value"] is None
    assert verdict["interval"][1] == 1.0
    assert verdict["queries"]["fingerprint"] >= 20
    assert verdict["queries"]["benign"] >= 50
    assert verdict["nonce"] == NONCE
    assert set(verdict["suspect"]) == {"name", "sha256", "files"}
    assert verdict["suspect"]["files"] == [f"{verdict['suspect']['sha256']}  {pool.source.name}"]
    assert set(verdict["fingerprint"]) == {"id", "sha256"}
    assert len(verdict["answers"]) == sum(verdict["queries"].values())
    assert set(verdict["answers"][0]) == {"kind", "index", "repeat", "label"}
    assert {"caeacc", "benign_accuracy", "reason"} <= set(verdict)


def test_exit_codes_tell_the_verdict_only_when_asked(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    assert run_cae("verify", "-s", pool.source, "-f", fingerprint).code == 0
    assert run_cae("verify", "-s", pool.source, "-f", fingerprint, "--exit-code").code == 3
    expected = {"independent": 0, "surrogate": 3}
    outcome = run_cae("verify", "-s", pool.other, "-f", fingerprint, "--exit-code", "--json")
    assert outcome.code == expected[outcome.json()["verdict"]]


def test_the_wrong_input_range_is_inconclusive(pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    model = onnx.load(pool.copy)
    helper.set_model_props(model, {**CONTRACT, "cae.range": "-255..0"})
    suspect = tmp_path / "wrong.onnx"
    onnx.save(model, suspect)
    outcome = run_cae("verify", "-s", suspect, "-f", fingerprint, "--exit-code", "--json")
    assert outcome.code == 4
    assert outcome.json()["verdict"] == "inconclusive"
    assert "range" in outcome.json()["reason"]


def test_the_fingerprint_file_may_come_from_the_environment(
    pool: Pool, fingerprint: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAE_FINGERPRINT", str(fingerprint))
    assert run_cae("verify", "-s", pool.source, "--exit-code").code == 3


def test_a_dry_run_counts_the_queries_and_asks_nothing(fingerprint: Path, run_cae: Run) -> None:
    plan = run_cae("verify", "-s", "http://not.asked.example", "-f", fingerprint, "--dry-run", "--json").json()
    assert plan["total"] == plan["queries"]["fingerprint"] + plan["queries"]["benign"] == 231


def test_a_budget_is_kept(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    verdict = run_cae("verify", "-s", pool.source, "-f", fingerprint, "--max-queries", "65", "--json").json()
    assert sum(verdict["queries"].values()) <= 65
    assert verdict["asked"] < 20
    refused = run_cae("verify", "-s", pool.source, "-f", fingerprint, "--max-queries", "5")
    assert refused.code == 2
    assert "at least" in refused.err


def test_every_image_survives_png_and_onnx_runtime(pool: Pool, fingerprint: Path) -> None:
    loaded = load_fingerprint(fingerprint)
    again: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    for image in loaded.images:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0]).save(buffer, format="PNG")
        again.append(np.asarray(Image.open(buffer))[..., np.newaxis])
    answers = open_model(str(pool.source)).predict(np.stack(again)).labels
    np.testing.assert_array_equal(answers, loaded.labels)


def test_the_same_seed_gives_the_same_file_byte_for_byte(
    pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run
) -> None:
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    assert run_cae(*pool.generate_arguments(same)).code == 0
    assert same.read_bytes() == fingerprint.read_bytes()
    assert run_cae(*pool.generate_arguments(other, "--seed", "1")).code == 0
    assert load_fingerprint(other).id != load_fingerprint(fingerprint).id


def test_generate_tells_what_it_did(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--json"))
    summary = outcome.json()
    assert summary["examples"] == summary["requested"] == 20
    assert summary["complete"]
    assert summary["seeds_tried"] >= 20
    assert not (tmp_path / "f.safetensors.partial").exists()


@pytest.mark.parametrize("preset", ["report", "report-code"])
def test_the_reports_presets_run(pool: Pool, tmp_path: Path, run_cae: Run, preset: str) -> None:
    options = ("--preset", preset, "--count", "2", "--max-seeds", "60", "--iterations", "60", "--learning-rate", "0.01")
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", *options))
    assert outcome.code == 0, outcome.err
    settings = load_fingerprint(tmp_path / "f.safetensors").generation["settings"]
    assert settings["objective"] == "composite-keras"
    assert settings["target"] == {"report": "max", "report-code": "source"}[preset]


def test_examples_of_several_kinds(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    """Seeds of both splits; the kinds are told, inspected, asked and judged as one."""
    path = tmp_path / "f.safetensors"
    options = ("--preset", "default", "--natural", "0.4", "--errors", "0.3", "--count", "10")
    outcome = run_cae(*pool.generate_arguments(path, *options))
    assert outcome.code == 0, outcome.err
    assert "natural error: an unchanged image that the source gets wrong" in outcome.out
    kinds = run_cae("inspect", path, "--json").json()["example_kinds"]
    assert sum(kinds.values()) == 10
    assert kinds["natural error"] >= 1
    assert [part["split"] for part in load_fingerprint(path).generation["data"]["parts"]] == ["train", "test"]
    verdict = run_cae("verify", "-s", pool.source, "-f", path, "--json").json()
    assert (verdict["asked"], verdict["matches"]) == (10, 10)


HEAVY = ("torch", "tensorflow", "keras", "onnx", "scipy", "sklearn", "rich", "numpy.ma", "numpy.random")
NOT_OF_A_VERIFICATION = (
    *("akh", "search", "generation", "settings", "calibrating", "screening"),
    *("parametric", "pool", "replay"),
)


@pytest.mark.parametrize("file", ["fingerprint", "calibrated"])
@pytest.mark.parametrize("mode", [(), ("--sequential",)])
def test_verify_imports_nothing_that_it_does_not_use(
    file: str, mode: tuple[str, ...], pool: Pool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert all(find_spec(name) for name in ("torch", "tensorflow", "keras"))  # else their absence shows nothing
    path = shutil.copy(request.getfixturevalue(file), tmp_path / "f.safetensors")
    banned = {*HEAVY, *(f"cae_core.{name}" for name in NOT_OF_A_VERIFICATION)}
    banned |= set() if mode else {"cae_core.statistics.e_process", "cae_core.verification.sequential"}
    program = (
        "import sys, atexit\n"
        f"banned = {sorted(banned)}\n"
        "atexit.register(lambda: print('LOADED', [name for name in banned if name in sys.modules]))\n"
        f"sys.argv = ['cae', 'verify', '-s', {str(pool.source)!r}, '-f', {str(path)!r}, '--json', *{mode}]\n"
        "from cae_cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("LOADED []")
    assert result.stderr == ""


def test_inspect_tells_people_and_scripts(fingerprint: Path, run_cae: Run) -> None:
    facts = run_cae("inspect", fingerprint, "--json").json()
    assert facts["examples"] == 20
    assert facts["largest_change"] <= 48
    assert "margins" in run_cae("inspect", fingerprint).out


@pytest.mark.long
def test_the_doctor_imports_every_part(run_cae: Run) -> None:
    findings = {finding["part"]: finding for finding in run_cae("doctor", "--json").json()["findings"]}
    assert {findings[part]["state"] for part in ("suspects (ONNX)", "gradients (torch)")} == {"ok"}


def test_the_doctor_names_the_extra_to_install(run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = checkup._version
    monkeypatch.setattr(checkup, "_version", lambda package: None if package == "onnx2torch" else installed(package))
    declared = ["torch>=2; extra == 'torch'", "onnx2torch>=1; extra == 'torch'", "pillow>=11; extra == 'images'"]
    monkeypatch.setattr(checkup, "requires", lambda _: declared)
    monkeypatch.setenv("COLUMNS", "200")
    outcome = run_cae("doctor")
    assert outcome.code == 0
    (row,) = (line for line in outcome.out.splitlines() if "gradients (torch)" in line)
    assert "missing" in row
    assert "pip install 'cae-fingerprint[torch]'" in outcome.out
    findings = {finding["part"]: finding["state"] for finding in run_cae("doctor", "--json").json()["findings"]}
    assert (findings["suspects (ONNX)"], findings["gradients (torch)"]) == ("ok", "missing")


def test_the_version_needs_no_command(run_cae: Run) -> None:
    outcome = run_cae("--version")
    assert (outcome.code, outcome.out) == (0, f"cae {cae_core.__version__}\n")


def test_the_human_verdict_names_its_evidence(pool: Pool, fingerprint: Path, run_cae: Run) -> None:
    text = run_cae("verify", "-s", pool.source, "-f", fingerprint, "--nonce", NONCE).out
    for words in ("SURROGATE", "20 of 20 examples", "95 % interval", "literature", "uncalibrated", NONCE):
        assert words in text


def test_the_file_is_a_secret(fingerprint: Path) -> None:
    assert fingerprint.stat().st_mode & 0o777 == 0o600
