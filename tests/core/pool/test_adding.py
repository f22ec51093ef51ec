"""Taking models from elsewhere into a pool, without a command line: linear models in files."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError, OptionError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.files.records import as_json
from cae_core.pool import check
from cae_core.pool.adding import add_models, describe_models
from cae_core.pool.check import MemberReport, check_members, refuse_problems
from cae_core.pool.manifest import read_pool
from cae_core.pool.manifest_writing import ManifestRow
from cae_core.pool.members import OpenPool
from tests.core.judge_toys import opened
from tests.core.toys import SHAPE

CLASSES = 4
Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def _toys_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "OpenPool", lambda **_: OpenPool(opener=opened))


@pytest.fixture
def data() -> ImageSet:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, *SHAPE)).astype(np.uint8)
    return ImageSet(images, random.integers(0, CLASSES, 60), tuple("abcd"), "toy")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return what writes a model; equal seeds give equal models."""

    def write(name: str, seed: int, classes: int = CLASSES) -> Path:
        path = tmp_path / "models" / f"{name}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.random.default_rng(seed).standard_normal((int(np.prod(SHAPE)), classes)))
        return path

    return write


def rows_of(manifest: Path, *models: Path, role: str = "test", kind: str = "", parent: str = "") -> list[ManifestRow]:
    return describe_models(models, manifest, role=role, relation="reference", kind=kind, parent=parent)


def test_a_script_adds_models_and_gets_what_was_measured(tmp_path: Path, save: Save, data: ImageSet) -> None:
    manifest, told = tmp_path / "pool.toml", list[tuple[int, int]]()
    first, second = save("first", 1), save("second", 2)
    add_models(rows_of(manifest, first, kind="bought"), manifest, data)
    (report,) = add_models(
        rows_of(manifest, second), manifest, data, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 2), (2, 2)]
    members = read_pool(manifest).members
    assert [(m.path, m.kind, m.sha256) for m in members] == [
        (first, "bought", sha256_of_file(first)),
        (second, "", sha256_of_file(second)),
    ]
    assert 'path = "models/first.npy"' in manifest.read_text()
    assert report.accuracy == pytest.approx(members[1].accuracy, abs=1e-6)
    assert as_json(report)["sha256"] == members[1].sha256
    refuse_problems(check_members(members, data), "the pool that was written")


def test_all_are_added_or_none(tmp_path: Path, save: Save, data: ImageSet) -> None:
    manifest = tmp_path / "pool.toml"
    add_models(rows_of(manifest, save("first", 1)), manifest, data)
    before = manifest.read_text()
    good, copy, odd = save("good", 2), save("copy", 1), save("odd", 3, classes=7)
    copy.write_bytes(copy.read_bytes() + b"\n")  # another file, the same model
    with pytest.raises(PoolError, match=r"(?s)Nothing was added: 2 problems.*the same model.*answers 7 classes"):
        add_models(rows_of(manifest, good, copy, odd), manifest, data)
    assert manifest.read_text() == before


def test_what_is_added_at_once_stands_there_and_is_checked_beside_each_other(
    tmp_path: Path, save: Save, data: ImageSet
) -> None:
    manifest, together = tmp_path / "pool.toml", Barrier(3)
    asked: list[int] = []

    def add(seed: int) -> bool:
        def wait(done: int, total: int) -> None:
            asked.append(total)
            if total == 1:  # all three have read the manifest that is not there
                together.wait()

        try:
            add_models(rows[seed], manifest, data, progress=wait)
        except PoolError as error:
            return "the same model" not in str(error)
        return True

    rows = {seed: rows_of(manifest, save(f"model-{seed}", seed)) for seed in (1, 2)}
    twin = save("twin", 2)
    twin.write_bytes(twin.read_bytes() + b"\n")
    rows[3] = rows_of(manifest, twin)
    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(add, rows)) == [False, True, True]
    names = {member.name for member in read_pool(manifest).members}
    assert "model-1" in names
    assert len(names & {"model-2", "twin"}) == 1
    assert max(asked) > 1  # who came later has checked again
    assert {path.name for path in tmp_path.iterdir()} == {"models", "pool.toml"}


def test_what_the_manifest_refuses_is_refused_before_a_model_is_asked(tmp_path: Path, save: Save) -> None:
    manifest, model = tmp_path / "pool.toml", save("first", 1)
    with pytest.raises(PoolError, match="role must be one of"):
        rows_of(manifest, model, role="tset")
    with pytest.raises(PoolError, match="stands in the pool twice"):
        rows_of(manifest, model, model)
    with pytest.raises(OptionError, match="no model with the file stem 'sorce'"):
        rows_of(manifest, model, parent="sorce")
    assert not manifest.exists()


def test_a_contract_stands_in_the_row_unless_it_holds_a_mean_image(tmp_path: Path, save: Save) -> None:
    manifest, model = tmp_path / "pool.toml", save("first", 1)
    contract = Contract(layout="NHWC", range=(0, 255), output="logits")
    (row,) = describe_models([model], manifest, role="test", relation="reference", contract=contract)
    assert row["contract"]["range"] == (0, 255)
    assert None not in row["contract"].values()
    mean = contract.replace(mean_image=np.zeros(SHAPE, np.float32))
    with pytest.raises(ContractError, match="mean image"):
        describe_models([model], manifest, role="test", relation="reference", contract=mean)


def test_consent_is_written_and_says_which_file_it_means(tmp_path: Path, save: Save) -> None:
    manifest, plain = tmp_path / "pool.toml", save("plain", 1)
    program = tmp_path / "models" / "program.pt2"
    program.write_bytes(b"a program")
    rows = describe_models([plain, program], manifest, role="test", relation="reference", trusted=True)
    for row, model in zip(rows, (plain, program), strict=True):
        assert (row["trusted"], row["sha256"]) == (True, sha256_of_file(model))
    (untrusted,) = rows_of(manifest, program)
    assert "trusted" not in untrusted


def test_a_listed_member_is_reported_as_the_manifest_has_it(tmp_path: Path, save: Save, data: ImageSet) -> None:
    manifest = tmp_path / "pool.toml"
    add_models(rows_of(manifest, save("first", 1)), manifest, data)
    (member,) = read_pool(manifest).members
    member.path.unlink()
    listed = MemberReport.as_listed(member)
    assert (listed.sha256, listed.accuracy, listed.agreement, listed.problems) == (
        member.sha256,
        member.accuracy,
        None,
        [],
    )
