"""Each model is hashed once by a command, and opened no more often than it is asked; see `tests.counting`.

A session is one loading of the file by ONNX Runtime. A white box has two besides its own import: those of its witness,
with the runtime's changes to the graph and without, which the check at the opening makes.

What is not said to be one's own is read by another process, of which nothing is seen here.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from cae_core.files.digests import sha256_of_file
from tests.cli.conftest import CalibrationPool, Pool
from tests.cli.test_seal_and_judge import Court
from tests.cli.test_seal_and_judge import court as court  # noqa: PLC0414 - a fixture
from tests.counting import Counts, count

WITNESS = 2

SEARCHED = 1
"""For each session, the file is looked through for operators that mix the images of a batch."""


def hashed_once(counts: Counts, paths: Iterable[Path]) -> bool:
    return all(counts.hashed_once(path) for path in paths)


def loaded(counts: Counts, paths: Iterable[Path]) -> set[int]:
    return {counts.of(path).loaded for path in paths}


def opened(counts: Counts, paths: Iterable[Path]) -> set[int]:
    return {counts.of(path).opened for path in paths}


def members(pool: Pool) -> list[Path]:
    return [*pool.surrogates.iterdir(), *pool.references.iterdir()]


def test_a_suspect_and_a_fingerprint_are_hashed_once(pool: Pool, fingerprint: Path, tmp_path: Path) -> None:
    counts = count(tmp_path, ["verify", "--trusted", "-s", pool.copy, "-f", fingerprint])
    assert counts.code == 0, counts.err
    assert hashed_once(counts, [pool.copy])
    assert counts.of(fingerprint).opened == 1  # read as a whole, and hashed from memory
    assert counts.of(pool.copy).opened == 2 + SEARCHED  # to look for files beside it, and to hash it
    assert loaded(counts, [pool.copy]) == {1}


def test_calibrate_hashes_and_loads_each_model_once(
    fingerprint: Path, calibration_pool: CalibrationPool, pool: Pool, tmp_path: Path
) -> None:
    rates = ("--fpr", "0.2", "--fnr", "0.2")
    arguments = ("--pool", calibration_pool.manifest, *rates, "--output", tmp_path / "calibrated")
    counts = count(tmp_path, ["calibrate", "-f", fingerprint, *arguments])
    assert counts.code == 0, counts.err
    own = [
        calibration_pool.members(role, relation)
        for role in ("calibrate", "screen")
        for relation in ("surrogate", "reference")
    ]
    asked = [pool.source, *members(pool), *(path for paths in own for path in paths)]
    assert len(asked) == 33
    assert hashed_once(counts, asked)
    assert opened(counts, [fingerprint]) == {1}
    assert opened(counts, asked) == {2 + SEARCHED}  # searched for files beside it, and hashed
    assert loaded(counts, asked) == {1}


@pytest.mark.long
def test_generate_hashes_and_imports_each_member_once(pool: Pool, tmp_path: Path) -> None:
    """The check of the white box, its memory and the provenance share the digest."""
    counts = count(tmp_path, pool.generate_arguments(tmp_path / "fingerprint", "--akh", "5"))
    assert counts.code == 0, counts.err
    asked = [pool.source, *members(pool)]
    assert hashed_once(counts, asked)
    assert loaded(counts, asked) == {WITNESS}


def test_a_bare_file_that_a_manifest_may_know_is_hashed_once(
    pool: Pool, fingerprint: Path, calibration_pool: CalibrationPool, tmp_path: Path
) -> None:
    """First for its role, because the manifest names a digest, and then for the calibration."""
    manifest = calibration_pool.copied(tmp_path, without=("calibrate", "screen"))
    assert sha256_of_file(pool.source) in manifest.read_text()
    folder = calibration_pool.folder("calibrate", "reference")
    arguments = ("--pool", manifest, "--references", folder, "--trusted", "--output", tmp_path / "calibrated")
    counts = count(tmp_path, ["calibrate", "-f", fingerprint, *arguments])
    assert counts.code == 0, counts.err
    assert hashed_once(counts, [pool.source, *folder.glob("*.onnx")])


@pytest.mark.long
def test_judge_hashes_each_model_once(court: Court, pool: Pool, tmp_path: Path) -> None:
    """Its own models are asked twice, with hours in between: before the search, and to calibrate."""
    words = ("--trusted", "--claimant-pool", court.claimant)
    counts = count(tmp_path, court.arguments(tmp_path / "case", pool.copy, *words))
    assert counts.code == 4, counts.err  # the seal is not dated
    own = sorted((court.folder / "judge").iterdir())
    generating, calibrating = own[:6], own[6:]
    assert hashed_once(counts, [pool.copy, *own, *members(pool)])
    assert (
        counts.of(pool.source).hashings == 2
    )  # of the claimant's file, and of the one that the judge's manifest names
    assert opened(counts, [court.claim, court.seal]) == {1}
    assert opened(counts, [pool.copy]) == {2}  # searched for files beside it, and hashed
    assert opened(counts, calibrating) == {2 + 2 * SEARCHED}
    assert opened(counts, generating) == {3 + (2 + WITNESS) * SEARCHED}  # and imported
    assert opened(counts, members(pool)) == {3}  # and given to another process, as what a claimant names always is
    assert loaded(counts, members(pool)) == {0}
    assert loaded(counts, [pool.copy, pool.source]) == {0}  # but their private copies
    assert loaded(counts, calibrating) == {2}
    assert loaded(counts, generating) == {2 + WITNESS}
    copies = {Path(name).name: times for name, times in counts.found["loaded"].items() if "/.cae-" in name}
    # the suspect is asked; the source is calibrated with, and opened for the replay and for the search
    assert copies == {pool.copy.name: 1, pool.source.name: 1 + 2 * WITNESS}
