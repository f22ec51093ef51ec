"""Which suspects a folder, a list and a manifest name; and what a list may not name."""

from pathlib import Path

import pytest

from cae_core.errors import CaeError, OptionError, PoolError
from cae_core.scan import listing
from cae_core.scan.listing import Listed, list_suspects


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(target: Path, folder: Path) -> list[str]:
    return [Path(found.name).relative_to(folder).as_posix() for found in list_suspects(target)]


def test_a_folder_names_every_model_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "b.onnx", "a/deep/c.onnx", "a/d.keras", "notes.txt", "b.toml", ".hidden.onnx", ".git/e.onnx")
    touch(tmp_path, "saved/saved_model.pb", "saved/variables/f.onnx")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "b.onnx")
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    assert names(tmp_path, tmp_path) == ["a/d.keras", "a/deep/c.onnx", "b.onnx", "saved"]
    assert names(tmp_path / "b.onnx", tmp_path) == ["b.onnx"]
    assert names(tmp_path / "saved", tmp_path) == ["saved"]


def test_a_list_names_paths_seen_from_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "l/a.onnx")
    given = '# ours\n\na.onnx\n{"path": "sub/b.onnx", "contract": "b.toml"}\n  a.onnx \n'
    given += '{"path": "/abs/c.onnx", "contract": "layout=\\"NHWC\\""}\n'
    (tmp_path / "l" / "list.txt").write_text(given)
    assert list_suspects(tmp_path / "l" / "list.txt") == (
        Listed(name=str(tmp_path / "l" / "a.onnx")),
        Listed(name=str(tmp_path / "l" / "sub" / "b.onnx"), contract=str(tmp_path / "l" / "b.toml")),
        Listed(name="/abs/c.onnx", contract='layout="NHWC"'),
    )


@pytest.mark.parametrize("name", ["py:os:system", "cmd:rm", "torch:a:B()=w.pth", "https://a.example/m", "http:x"])
@pytest.mark.parametrize("form", ["{0}", '{{"path": "{0}"}}'])
def test_a_list_names_neither_code_nor_addresses(tmp_path: Path, name: str, form: str) -> None:
    (tmp_path / "list.txt").write_text("a.onnx\n" + form.format(name) + "\n")
    with pytest.raises(PoolError, match=r"list\.txt, line 2: .*is no file; code and services are named on the command"):
        list_suspects(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "this is no list of models"),
        (b"{]\n", "line 1: this is no JSON object"),
        (b'{"path": 3}\n', "path must be a text"),
        (b'{"path": "a.onnx", "role": "x"}\n', "unknown field 'role'"),
        (b'{"contract": "x"}\n', "path must be a text"),
        (b"a\0b\n", "no path of a file"),
        (b"a" * 5000, "no path of a file"),
        (b"# nothing\n", "no model found that"),
    ],
)
def test_a_wrong_list_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(PoolError, match=words):
        list_suspects(tmp_path / "list.txt")


def test_a_pool_keeps_roles_and_relations(tmp_path: Path) -> None:
    rows = [("test", "surrogate", "a"), ("calibrate", "reference", "b")]
    tables = [f'[[model]]\npath = "{n}.onnx"\nrole = "{r}"\nrelation = "{s}"\n' for r, s, n in rows]
    (tmp_path / "pool.toml").write_text("\n".join(tables))
    found = list_suspects(tmp_path / "pool.toml")
    assert [(one.role, one.relation, Path(one.name).name) for one in found] == [(r, s, f"{n}.onnx") for r, s, n in rows]
    (only,) = list_suspects(tmp_path / "pool.toml", roles=["test"])
    assert only == found[0]
    with pytest.raises(PoolError, match="no model in it has the role 'screen'"):
        list_suspects(tmp_path / "pool.toml", roles=["screen"])


def test_what_names_nothing_or_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PoolError, match="no model found that"):
        list_suspects(tmp_path)
    with pytest.raises(OptionError, match="no such folder, list, manifest or model"):
        list_suspects(tmp_path / "missing")
    with pytest.raises(CaeError, match="have roles"):
        list_suspects(tmp_path, roles=["test"])
    monkeypatch.setattr(listing, "MOST", 2)
    touch(tmp_path, "a.onnx", "b.onnx")
    assert len(list_suspects(tmp_path)) == 2
    touch(tmp_path, "c.onnx")
    with pytest.raises(PoolError, match="more than 2 suspects"):
        list_suspects(tmp_path)
