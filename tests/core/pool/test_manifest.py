"""The pool manifest: what it says, and every way in which it can be wrong."""

import hashlib
from pathlib import Path

import pytest

from cae_core.errors import ContractError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.manifest_writing import append_rows, write_manifest

GOOD = """
[contract]
layout = "NHWC"
range = [0, 1]
output = "logits"

[[model]]
path = "source.onnx"
role = "source"
relation = "source"
accuracy = 0.9
seed = 3

[[model]]
path = "sub/a.onnx"
role = "generate"
relation = "surrogate"
kind = "distilled"
parent = "source"
contract = { layout = "NCHW", range = [0, 255], output = "probabilities" }

[[model]]
path = "b.onnx"
role = "calibrate"
relation = "reference"
ancestor = "imagenet"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "pool.toml"
    path.write_text(text, encoding="utf-8")
    return path


def model(path: str = "m.onnx", role: str = "generate", relation: str = "surrogate", more: str = "") -> str:
    return f'[[model]]\npath = "{path}"\nrole = "{role}"\nrelation = "{relation}"\n{more}\n'


def test_a_manifest_is_read(tmp_path: Path) -> None:
    pool = read_pool(write(tmp_path, GOOD))
    assert len(pool) == 3
    assert pool.source.path == tmp_path / "source.onnx"
    assert (pool.source.accuracy, pool.source.seed, pool.source.name) == (0.9, 3, "source")
    surrogate, reference = pool.members[1:]
    assert (surrogate.kind, surrogate.parent, reference.ancestor) == ("distilled", "source", "imagenet")
    assert pool.source.contract is not None
    assert pool.source.contract.layout == "NHWC"
    assert surrogate.contract is not None
    assert (surrogate.contract.layout, surrogate.contract.range) == ("NCHW", (0.0, 255.0))


def test_members_are_selected_by_role_and_relation(tmp_path: Path) -> None:
    pool = read_pool(write(tmp_path, GOOD))
    assert [m.name for m in pool.select(role="generate")] == ["a"]
    assert [m.name for m in pool.select(relation="reference")] == ["b"]
    assert pool.select(role="generate", relation="reference") == ()
    assert len(pool.select()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[model]\n", "the pool manifest is not TOML"),
        ("", r"has no \[\[model\]\] table"),
        ('model = "x"', r"has no \[\[model\]\] table"),
        ("[model]\n", r"has no \[\[model\]\] table"),
        ('model = ["x"]', r"has no \[\[model\]\] table"),
        ("[[model]]\nrole = 'generate'", "every .* needs a path"),
        ("[[model]]\npath = 3", "every .* needs a path"),
        (model(role="train"), "role must be one of source, generate, screen, calibrate, test; found 'train'"),
        ('[[model]]\npath = "m"\nrelation = "surrogate"', "role must be one of .*; found None"),
        (model(relation="copy"), "relation must be one of source, surrogate, reference; found 'copy'"),
        (model(role="source"), 'role and relation are both "source", or neither is'),
        (model(relation="source"), 'role and relation are both "source", or neither is'),
        (model(relation="reference", more='twin = "a"'), "twin is said of a surrogate, .* this is a reference"),
        (model(more="twin = 3"), "twin cannot be 3"),
        (model(more='colour = "red"'), "unknown field 'colour'; known are accuracy, ancestor"),
        (model(more="seed = true"), "seed cannot be True"),
        (model(more="accuracy = false"), "accuracy cannot be False"),
        (model(more="accuracy = 1.5"), r"accuracy must lie in \[0, 1\]; found 1.5"),
        (model(more="accuracy = -0.1"), "accuracy must lie in"),
        (model(more="accuracy = nan"), "accuracy must lie in"),
        (model() + model(), "stands in the pool twice .same path"),
        (model() + model(role="calibrate"), "stands in the pool twice"),
        (model() + model("sub/../m.onnx", role="test"), "stands in the pool twice"),
        (model("a", more='sha256 = "ab"') + model("b", "test", more='sha256 = "ab"'), "twice .same sha256 ab"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(PoolError, match=message) as error:
        read_pool(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("contract", ["[contract]\nlayout = 'NHWC'\n", "contract = 5\n"])
def test_a_wrong_contract_is_refused(tmp_path: Path, contract: str) -> None:
    with pytest.raises((ContractError, PoolError), match="contract"):
        read_pool(write(tmp_path, contract + model()))


def test_a_missing_and_a_binary_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"cannot be read \(No such file or directory\)"):
        read_pool(tmp_path / "pool.toml")
    (tmp_path / "pool.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PoolError, match="not TOML"):
        read_pool(tmp_path / "pool.toml")


def test_there_is_one_source(tmp_path: Path) -> None:
    pool = read_pool(write(tmp_path, model()))
    with pytest.raises(PoolError, match='expected one model with relation = "source"; found 0'):
        _ = pool.source
    two = model("a", "source", "source") + model("b", "source", "source")
    with pytest.raises(PoolError, match=r"a pool has one source; found .*a and .*b\. Remove one"):
        read_pool(write(tmp_path, two))


def test_no_manifest_with_two_sources_is_written(tmp_path: Path) -> None:
    row = {"role": "source", "relation": "source"}
    path = tmp_path / "pool.toml"
    append_rows(path, [{"path": "a.onnx", **row}])
    before = path.read_text()
    with pytest.raises(PoolError, match="has one source"):
        append_rows(path, [{"path": "b.onnx", **row}])
    with pytest.raises(PoolError, match="has one source"):
        write_manifest(path, [{"path": "a.onnx", **row}, {"path": "b.onnx", **row}])
    assert path.read_text() == before


def test_the_digest_is_checked_against_the_manifests(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    member = PoolMember(path=file, role="generate", relation="surrogate")
    with pytest.raises(PoolError, match="there is no such file"):
        member.digest()
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert member.digest() == digest
    known = PoolMember(path=file, role="generate", relation="surrogate", sha256=digest)
    assert known.digest() == digest
    file.write_bytes(b"other weights")
    with pytest.raises(PoolError, match=r"the file has changed since the manifest was written \(expected SHA-256"):
        known.digest()


def test_a_folders_digest_covers_names_and_contents(tmp_path: Path) -> None:
    digests = set[str]()
    for name, content in (("a", b"1"), ("b", b"1"), ("a", b"2"), ("sub/a", b"1")):
        folder = tmp_path / str(len(digests))
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
        digests.add(sha256_of_file(folder))
        assert sha256_of_file(folder) in digests
    assert len(digests) == 4


def test_a_large_file_is_read_in_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(content)
    assert sha256_of_file(tmp_path / "large") == hashlib.sha256(content).hexdigest()
