"""Models whose weights lie in a file beside them: they work everywhere, and nobody exchanges the weights unnoticed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from cae_core.errors import ModelError
from cae_core.opening.model_files import ModelFiles
from cae_core.pool.manifest import read_pool
from cae_core.workflows import verify_suspect
from tests.backends.timestamping import needs_openssl
from tests.cli.conftest import CalibrationPool, Pool, Run
from tests.cli.test_seal_and_judge import Court, run_command
from tests.cli.test_seal_and_judge import court as court  # noqa: PLC0414 - a fixture


def beside(path: Path, folder: Path) -> Path:
    """Write the model at ``path`` again in ``folder``, its weights in a second file."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / path.name
    location = f"{path.stem}.weights"
    onnx.save(onnx.load(path), written, save_as_external_data=True, location=location, size_threshold=0)
    return written


@pytest.fixture(scope="module")
def apart(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """The tests' pool, every model of it in two files."""
    made = Pool(tmp_path_factory.mktemp("apart"))
    for path in (pool.source, pool.copy, pool.other):
        beside(path, made.folder)
    for folder in (pool.surrogates, pool.references):
        for path in folder.iterdir():
            beside(path, made.folder / folder.name)
    return made


@pytest.fixture(scope="module")
def claim(apart: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fingerprint of the pool in two files each, and its seal beside it."""
    path = tmp_path_factory.mktemp("claim") / "claim.safetensors"
    run_command(*apart.generate_arguments(path))
    run_command("seal", path, "--output", path.with_name("seal.json"))
    return path


def test_a_pool_in_two_files_each_gives_the_fingerprint_of_the_same_models_in_one(
    apart: Pool, claim: Path, fingerprint: Path, run_cae: Run
) -> None:
    described = [run_cae("inspect", str(path), "--json").json() for path in (claim, fingerprint)]
    assert described[0]["examples"] == described[1]["examples"]
    for path in (claim, fingerprint):
        found = run_cae("verify", "-s", str(apart.copy), "-f", str(path), "--no-ledger", "--nonce", "00", "--json")
        assert found.json()["verdict"] == "surrogate"


def test_the_verdict_lists_every_file_of_the_suspect(apart: Pool, fingerprint: Path, run_cae: Run) -> None:
    told = run_cae("verify", "-s", str(apart.copy), "-f", str(fingerprint), "--no-ledger", "--json").json()["suspect"]
    files = ModelFiles(str(apart.copy))
    assert (told["sha256"], tuple(told["files"])) == (files.digest, files.lines)
    assert [line.split("  ")[1] for line in told["files"]] == ["copy.onnx", "copy.weights"]


def test_the_opening_of_a_seal_lists_every_file_of_the_source(apart: Pool, claim: Path) -> None:
    opening = json.loads(claim.with_name("seal.opening.json").read_bytes())
    files = ModelFiles(str(apart.source))
    assert (opening["source"], tuple(opening["source_files"])) == (files.digest, files.lines)
    assert opening["source_contract"]


def test_calibration_and_a_manifest_take_them(
    apart: Pool, fingerprint: Path, calibration_pool: CalibrationPool, run_cae: Run, tmp_path: Path
) -> None:
    members = {
        relation: [beside(path, tmp_path / relation) for path in calibration_pool.members("calibrate", relation)]
        for relation in ("surrogate", "reference")
    }
    manifest = tmp_path / "pool.toml"
    for relation, paths in members.items():
        arguments = ["--pool", str(manifest), "--role", "calibrate", "--relation", relation, "--data", "digits"]
        assert run_cae("pool", "add", *map(str, paths), *arguments).code == 0
    row = read_pool(manifest).members[0]
    assert row.sha256 == ModelFiles(str(row.path)).digest
    calibrated = tmp_path / "f.safetensors"
    rates = ("--fpr", "0.2", "--fnr", "0.2")
    done = run_cae("calibrate", "-f", str(fingerprint), "--pool", str(manifest), *rates, "--output", str(calibrated))
    assert done.code == 0, done.err
    weights = members["reference"][0].with_suffix(".weights")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = run_cae("calibrate", "-f", str(fingerprint), "--pool", str(manifest), *rates, "--output", str(calibrated))
    assert done.code == 1
    assert "has changed since the manifest was written" in done.err


@pytest.mark.long
@needs_openssl
def test_a_claimed_source_in_two_files_is_judged_and_exchanged_weights_are_refused(
    court: Court, apart: Pool, claim: Path, run_cae: Run, tmp_path: Path
) -> None:
    manifest = tmp_path / "judge.toml"
    manifest.write_text(court.judge.read_text().replace(str(court.pool.source), str(apart.source)))
    theirs = replace(court, pool=apart, claim=claim)
    arguments = {"seal": claim.with_name("seal.json"), "pool": manifest}
    honest = run_cae(*theirs.arguments(tmp_path / "case", court.pool.copy, **arguments))
    assert honest.code == 4  # the seal is not dated
    assert "not dated" in honest.json()["reason"]
    assert honest.json()["p_adjusted"] <= 0.05
    forged = tmp_path / "forged"
    forged.mkdir()
    shutil.copy(apart.source, forged)
    shutil.copy(beside(court.pool.copy, tmp_path / "copy").with_suffix(".weights"), forged / "source.weights")
    assert (forged / apart.source.name).read_bytes() == apart.source.read_bytes()
    exchanged = run_cae(
        *theirs.arguments(tmp_path / "other", court.pool.copy, source=forged / "source.onnx", **arguments)
    )
    assert (exchanged.code, exchanged.out) == (1, "")
    assert "Give the source that was sealed, unchanged" in exchanged.err
    assert not list((tmp_path / "other").glob(".cae-*"))


def test_a_suspect_that_is_exchanged_while_it_is_asked_gets_no_verdict(
    pool: Pool, fingerprint: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(pool.copy, tmp_path))

    def exchange(*_done: int) -> None:
        path.write_bytes(pool.other.read_bytes())

    assert verify_suspect(str(path), fingerprint).suspect.sha256 == ModelFiles(str(pool.copy)).digest
    with pytest.raises(ModelError, match=r"copy\.onnx: the file was changed while it was in use"):
        verify_suspect(str(path), fingerprint, progress=exchange)
