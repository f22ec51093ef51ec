"""Who plays which part: from what a user names, or a manifest alone, to the members of each role."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cae_core.errors import PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.roles import (
    CalibrationMembers,
    GenerationMembers,
    calibration_members,
    collect_members,
    generation_members,
    source_member,
)

MANIFEST = """
[[model]]
path = "m.onnx"
role = "generate"
relation = "surrogate"
kind = "distilled"

[[model]]
path = "t.onnx"
role = "test"
relation = "surrogate"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two models, a text file, and a manifest beside them."""
    models = tmp_path / "models"
    models.mkdir()
    for name in ("b.onnx", "a.ONNX", "notes.txt"):
        (models / name).touch()
    (tmp_path / "pool.toml").write_text(MANIFEST)
    return tmp_path


def collect(*paths: Path) -> list[str]:
    return [member.path.name for member in collect_members(paths, relation="surrogate", role="generate")]


def test_a_folder_gives_its_model_files_by_name(folder: Path) -> None:
    assert collect(folder / "models") == ["a.ONNX", "b.onnx"]


def test_a_file_is_a_model(folder: Path) -> None:
    (member,) = collect_members([folder / "models" / "b.onnx"], relation="reference", role="test")
    assert (member.relation, member.role, member.contract) == ("reference", "test", None)


def test_a_manifest_gives_the_members_of_that_role_and_relation(folder: Path) -> None:
    (member,) = collect_members([folder / "pool.toml"], relation="surrogate", role="generate")
    assert (member.name, member.kind) == ("m", "distilled")
    (other,) = collect_members([folder / "pool.toml"], relation="surrogate", role="test")
    assert other.name == "t"


def test_several_paths_are_joined_in_their_order(folder: Path) -> None:
    assert collect(folder / "pool.toml", folder / "models", folder / "models" / "b.onnx") == [
        "m.onnx", "a.ONNX", "b.onnx", "b.onnx",
    ]  # fmt: skip
    assert collect() == []


def test_a_path_that_gives_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(PoolError, match="no such model, folder or manifest"):
        collect(folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(PoolError, match="empty: holds no model file"):
        collect(folder / "empty")
    with pytest.raises(PoolError, match=r"pool\.toml: holds no reference with role 'generate'"):
        collect_members([folder / "pool.toml"], relation="reference", role="generate")


def test_a_file_that_has_another_role_in_a_manifest_is_refused(folder: Path) -> None:
    (folder / "t.onnx").write_bytes(b"test")
    (folder / "m.onnx").write_bytes(b"generate")
    message = r"t\.onnx: the pool has this model as .*t\.onnx with the role test, and here only generate members"
    for path in (folder / "t.onnx", folder / "models" / ".." / "t.onnx"):
        with pytest.raises(PoolError, match=message):
            collect(path, folder / "pool.toml")
        with pytest.raises(PoolError, match=message):
            collect_members([path], relation="reference", role="generate", manifests=[folder / "pool.toml"])
    assert collect(folder / "m.onnx", folder / "pool.toml") == ["m.onnx", "m.onnx"]
    assert collect(folder / "t.onnx") == ["t.onnx"]


def test_a_copy_of_a_file_that_has_another_role_in_a_manifest_is_refused(folder: Path) -> None:
    copy = folder / "models" / "copy.onnx"
    copy.write_bytes(b"test")
    (folder / "pool.toml").write_text(f'{MANIFEST}sha256 = "{sha256_of_file(copy).upper()}"\n')
    for path in (copy, folder / "models"):
        with pytest.raises(PoolError, match=r"copy\.onnx: the pool has this model as .*t\.onnx with the role test"):
            collect(path, folder / "pool.toml")
    assert collect(folder / "models" / "b.onnx", folder / "pool.toml") == ["b.onnx", "m.onnx"]


def test_a_source_that_has_another_role_in_a_manifest_is_refused(folder: Path) -> None:
    manifest, copy = folder / "pool.toml", folder / "models" / "copy.onnx"
    copy.write_bytes(b"test")
    manifest.write_text(
        f'{MANIFEST}sha256 = "{sha256_of_file(copy)}"\n'
        '[[model]]\npath = "s.onnx"\nrole = "source"\nrelation = "source"\n'
    )
    for path, role in ((folder / "m.onnx", "generate"), (folder / "t.onnx", "test"), (copy, "test")):
        path.touch()
        with pytest.raises(PoolError, match=rf"{path.name}: .* the role {role}, and here only source members"):
            source_member(path, manifests=[manifest])
        assert source_member(path).path == path
    for path in (folder / "s.onnx", folder / "models" / "b.onnx"):
        found = source_member(path, manifests=[manifest])
        assert (found.path, found.role, found.relation) == (path, "source", "source")


WHOLE = """
[[model]]
path = "s.onnx"
role = "source"
relation = "source"
"""


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a manifest with a source, and a surrogate and a reference of each role."""
    rows = [
        f'[[model]]\npath = "{role}-{relation}.onnx"\nrole = "{role}"\nrelation = "{relation}"\n'
        for role in ("screen", "calibrate", "generate")
        for relation in ("reference", "surrogate")
    ]
    path = tmp_path / "whole.toml"
    path.write_text("\n".join([*rows, WHOLE]))
    for name in ("bare.onnx", "mine.onnx"):
        (tmp_path / name).touch()
    return path


def names(members: Sequence[PoolMember]) -> list[str]:
    return [member.name for member in members]


def test_the_members_of_a_generation_are_a_manifests_generate_role(whole: Path) -> None:
    named, of_pool = generation_members(pool=whole), GenerationMembers.of_pool(read_pool(whole))
    for found in (named, of_pool):
        assert (found.source.name, names(found.surrogates), names(found.references)) == (
            "s", ["generate-surrogate"], ["generate-reference"],
        )  # fmt: skip


def test_what_is_named_besides_goes_first_and_another_source_before_the_manifests(whole: Path) -> None:
    bare, mine = whole.with_name("bare.onnx"), whole.with_name("mine.onnx")
    found = generation_members(source=mine, surrogates=[bare], pool=whole, trusted=True)
    assert (found.source.path, found.source.trusted) == (mine, True)
    assert names(found.surrogates) == ["bare", "generate-surrogate"]
    assert [m.trusted for m in found.surrogates] == [True, False]
    assert names(found.references) == ["generate-reference"]
    other = PoolMember(path=mine, role="source", relation="source")
    assert GenerationMembers.of_pool(read_pool(whole), source=other).source is other


def test_a_generation_needs_a_source_and_a_manifest_that_is_named_whole_both_relations(
    whole: Path, folder: Path
) -> None:
    with pytest.raises(PoolError, match="Name the source model with --source, or a manifest that has one with --pool"):
        generation_members(surrogates=[whole], references=[whole])
    with pytest.raises(PoolError, match=r"pool\.toml: holds no reference with role 'generate'"):
        generation_members(source=whole.with_name("mine.onnx"), pool=folder / "pool.toml")


def test_the_members_of_a_calibration_are_a_manifests_other_roles(whole: Path) -> None:
    for found in (calibration_members(pool=whole), CalibrationMembers.of_pool(read_pool(whole))):
        assert (names(found.references), names(found.surrogates)) == (["calibrate-reference"], ["calibrate-surrogate"])
        assert names(found.screen) == ["screen-reference", "screen-surrogate"]
        assert names(found.generation) == ["s", "generate-reference", "generate-surrogate"]


def test_a_manifest_that_is_named_for_one_relation_gives_no_other_but_screens_all_the_same(whole: Path) -> None:
    found = calibration_members(references=[whole.with_name("bare.onnx"), whole])
    assert (names(found.references), names(found.surrogates)) == (["bare", "calibrate-reference"], [])
    assert names(found.screen) == ["screen-reference", "screen-surrogate"]
    assert names(found.generation) == ["s", "generate-reference", "generate-surrogate"]


def test_a_whole_manifest_without_the_calibrate_role_adds_nothing(folder: Path) -> None:
    """To a generation it must give both relations, for without them there is none; other models may calibrate."""
    bare = folder / "models" / "b.onnx"
    found = calibration_members(references=[bare], pool=folder / "pool.toml")
    assert (names(found.references), names(found.surrogates), names(found.screen)) == (["b"], [], [])
    assert names(found.generation) == ["m"]
