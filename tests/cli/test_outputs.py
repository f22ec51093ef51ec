"""No command writes over what it reads, over a link or a device, or over somebody's file of another kind."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import CalibrationPool, Outcome, Pool, Run

Case = tuple[list[str | Path], Path]


@pytest.fixture
def verdict(pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run) -> Path:
    printed = run_cae("verify", "-s", pool.copy, "-f", fingerprint, "--no-ledger", "--json").out
    (tmp_path / "verdict.json").write_text(printed)
    return tmp_path / "verdict.json"


@pytest.fixture
def own(pool: Pool, fingerprint: Path, tmp_path: Path) -> dict[str, Path]:
    """Files of the tests' own, so that losing one harms nobody."""
    made = {"source": tmp_path / "source.onnx", "fingerprint": tmp_path / "f.safetensors"}
    shutil.copy(pool.source, made["source"])
    shutil.copy(fingerprint, made["fingerprint"])
    for relation in ("surrogates", "references"):
        made[relation] = tmp_path / relation
        shutil.copytree(pool.folder / relation, made[relation])
    made["letter"] = tmp_path / "letter.txt"
    made["letter"].write_text("the only copy")
    return made


def generate(own: dict[str, Path], output: Path) -> list[str | Path]:
    return [
        *("generate", "--source", own["source"], "--surrogates", own["surrogates"]),
        *("--references", own["references"], "--data", "digits", "--eps", "48/255", "--count", "3"),
        *("--iterations", "5", "--tau", "0.3", "--output", output),
    ]


def assert_refused(outcome: Outcome, path: Path, before: bytes) -> None:
    assert outcome.code in (1, 2), (outcome.out, outcome.err)
    assert outcome.err.startswith("cae: ")
    assert len(outcome.err.splitlines()) == 1
    assert path.name in outcome.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("target", ["source", "letter"])
@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_generate(own: dict[str, Path], run_cae: Run, target: str, suffix: str) -> None:
    path = own[target]
    if suffix:  # the state of a run is kept beside the output
        path = path.with_name("new.safetensors.partial")
        shutil.copy(own[target], path)
    before = path.read_bytes()
    assert_refused(run_cae(*generate(own, path.with_name(path.name.removesuffix(suffix)))), path, before)


def test_generate_over_its_manifest(own: dict[str, Path], calibration_pool: CalibrationPool, run_cae: Run) -> None:
    manifest = calibration_pool.copied(own["source"].parent)
    before = manifest.read_bytes()
    outcome = run_cae("generate", "--pool", manifest, "--data", "digits", "--eps", "48/255", "-o", manifest)
    assert_refused(outcome, manifest, before)


def test_calibrate(own: dict[str, Path], calibration_pool: CalibrationPool, run_cae: Run) -> None:
    manifest = calibration_pool.copied(own["source"].parent)
    for target in (manifest, own["source"], own["letter"]):
        before = target.read_bytes()
        outcome = run_cae("calibrate", "--pool", manifest, "-f", own["fingerprint"], "--output", target)
        assert_refused(outcome, target, before)
    link = own["source"].with_name("link.safetensors")
    link.symlink_to(own["fingerprint"])
    before = own["fingerprint"].read_bytes()
    outcome = run_cae("calibrate", "--pool", manifest, "-f", link, "--fpr", "0.2", "--fnr", "0.2")
    assert_refused(outcome, link, before)
    assert link.is_symlink()


def test_convert(own: dict[str, Path], run_cae: Run) -> None:
    hard = own["source"].with_name("hard.onnx")
    hard.hardlink_to(own["source"])
    letter = own["letter"].rename(own["letter"].with_suffix(".onnx"))
    for target in (own["source"], hard, letter):
        before = target.read_bytes()
        assert_refused(run_cae("convert", own["source"], target, "--data", "digits"), target, before)


def test_report(own: dict[str, Path], verdict: Path, run_cae: Run) -> None:
    for target in (verdict, own["fingerprint"], own["letter"], own["source"]):
        before = target.read_bytes()
        outcome = run_cae("report", "--verdict", verdict, "-f", own["fingerprint"], "-o", target)
        assert_refused(outcome, target, before)
    for device in (Path("/dev/null"), Path("/dev/stdout")):
        mode = os.lstat(device).st_mode
        outcome = run_cae("report", "--verdict", verdict, "-f", own["fingerprint"], "-o", device)
        assert outcome.code == 1
        assert os.lstat(device).st_mode == mode
    page = own["letter"].with_name("r.html")
    for _ in range(2):  # an earlier report is replaced
        assert run_cae("report", "--verdict", verdict, "-f", own["fingerprint"], "-o", page).code == 0


def test_seal(own: dict[str, Path], run_cae: Run) -> None:
    seal = own["letter"].with_name("seal.json")
    for beside in (".opening.json", ".tsq", ".sig.json"):
        path = seal.with_suffix(beside)
        shutil.copy(own["letter"], path)
        before = path.read_bytes()
        assert_refused(run_cae("seal", own["fingerprint"], "-o", seal), path, before)
        path.unlink()
        assert not seal.exists()
    for target in (own["fingerprint"], own["letter"]):
        before = target.read_bytes()
        assert_refused(run_cae("seal", own["fingerprint"], "-o", target), target, before)
    assert run_cae("seal", own["fingerprint"], "-o", seal.with_suffix(".tsq")).code == 2
    assert not seal.with_suffix(".tsq").exists()


def test_ledger(own: dict[str, Path], pool: Pool, run_cae: Run) -> None:
    for target in (own["source"], own["fingerprint"], own["letter"]):
        before = target.read_bytes()
        outcome = run_cae("verify", "-s", own["source"], "-f", own["fingerprint"], "--ledger", target)
        assert_refused(outcome, target, before)


def test_manifests(own: dict[str, Path], run_cae: Run, tmp_path: Path) -> None:
    for target in (own["source"], own["letter"], own["fingerprint"]):
        before = target.read_bytes()
        model, rest = own["references"] / "other-1.onnx", ("--role", "test", "--relation", "reference")
        assert_refused(run_cae("pool", "add", model, "--data", "digits", *rest, "--pool", target), target, before)
        assert_refused(
            run_cae("pool", "train", "--source", own["source"], "--data", "digits", "--pool", target), target, before
        )


def test_a_pool_is_not_trained_over_other_files(own: dict[str, Path], run_cae: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "trained" / "pool.toml"
    letter = manifest.parent / "generate" / "generate-independent-001.onnx"
    letter.parent.mkdir(parents=True)
    shutil.copy(own["letter"], letter)
    outcome = run_cae(
        "pool", "train", "--source", own["source"], "--data", "digits", "--pool", manifest, "--epochs", "1"
    )
    assert_refused(outcome, letter, b"the only copy")


def test_the_demonstration_keeps_out_of_other_peoples_folders(
    own: dict[str, Path], calibration_pool: CalibrationPool, run_cae: Run, tmp_path: Path
) -> None:
    for name, source in {"pool.toml": calibration_pool.manifest, "fingerprint.safetensors": own["fingerprint"]}.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        shutil.copy(source, folder / name)
        assert_refused(run_cae("demo", "--workdir", folder), folder / name, source.read_bytes())
    assert_refused(run_cae("demo", "--workdir", own["letter"]), own["letter"], b"the only copy")


@pytest.mark.parametrize(
    "place",
    [lambda own: own["fingerprint"].parent, lambda own: own["letter"]],
    ids=["the claim's own folder", "a file"],
)
def test_a_case_is_not_kept_over_the_claim(
    own: dict[str, Path], place: Callable[[dict[str, Path]], Path], calibration_pool: CalibrationPool, run_cae: Run
) -> None:
    claim = own["fingerprint"].rename(own["fingerprint"].with_name("fingerprint.safetensors"))
    before = claim.read_bytes()
    seal = claim.with_name("seal.json")
    assert run_cae("seal", claim, "-o", seal).code == 0
    outcome = run_cae(
        *("judge", "--claim", claim, "--seal", seal, "--source", own["source"], "--pool", calibration_pool.manifest),
        *("--data", "digits", "--seals", "1", "--suspect", own["references"] / "other-1.onnx"),
        *("--workdir", place({**own, "fingerprint": claim})),
    )
    assert outcome.code in (1, 2), outcome.err
    assert claim.read_bytes() == before
    assert not (claim.parent / "case.json").exists()
