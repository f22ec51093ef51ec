"""A family's digest: what two ordinary commands give, and what it covers."""

import subprocess
from pathlib import Path

from cae_core.contract import read_contracts
from cae_core.scan.family import Family, Hashed, hash_suspects
from cae_core.scan.listing import Listed


def made(folder: Path, **contents: str) -> list[Listed]:
    for name, content in contents.items():
        (folder / f"{name}.onnx").write_text(content)
    return [Listed(name=str(folder / f"{name}.onnx")) for name in contents]


def test_it_is_what_ordinary_commands_give(tmp_path: Path) -> None:
    family = hash_suspects(made(tmp_path, b="1", a="2", c="1"))
    command = r"(printf 'cae-family-v1\0'; sha256sum *.onnx | cut -c 1-64 | LC_ALL=C sort -u) | sha256sum"
    told = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert family.sha256 == told.split()[0]
    assert (len(family.suspects), family.distinct) == (3, 2)


def test_order_and_copies_do_not_count_and_models_do(tmp_path: Path) -> None:
    listed = made(tmp_path, a="1", b="2", c="1")
    family = hash_suspects(listed)
    assert hash_suspects(listed[::-1]).sha256 == family.sha256 == hash_suspects(listed[:2]).sha256
    assert hash_suspects(listed[:1]).sha256 != family.sha256


def test_what_cannot_be_read_has_its_sentence_and_is_a_hypothesis(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    listed = [*made(tmp_path, a="1"), Listed(name=str(tmp_path / "no.onnx")), Listed(name="b" * 300)]
    family = hash_suspects(listed, progress=lambda *done: told.append(done))
    assert [bool(one.sha256) for one in family.suspects] == [True, False, False]
    assert "no such model file" in family.suspects[1].error
    assert family.suspects[2].error.startswith("b" * 100)
    assert family.distinct == 3
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_how_a_model_is_asked_is_no_part_of_the_family_and_is_told(tmp_path: Path) -> None:
    (bare,) = hash_suspects(made(tmp_path, a="1")).suspects
    (tmp_path / "a.toml").write_text('layout = "NHWC"\nrange = [0, 255]\noutput = "labels"\n')
    (beside,) = hash_suspects([bare.listed]).suspects
    assert bare.sha256 == beside.sha256
    assert bare.asked_by != beside.asked_by
    assert Family((bare, beside)).distinct == 1
    assert Hashed(listed=bare.listed).asked_by == ()


def test_contracts_are_those_of_the_list_or_by_pattern(tmp_path: Path) -> None:
    plain = 'range = [0, 255]\noutput = "labels"\n'
    (tmp_path / "all.toml").write_text(f'[[contract]]\nfiles = "b*.onnx"\nlayout = "NCHW"\n{plain}')
    listed = made(tmp_path, a="1", b="2")
    own = Listed(name=listed[1].name, contract='layout="NHWC", range=[0,1], output="logits"')
    wrong = Listed(name=listed[0].name, contract="layout = 3, range = 4")
    family = hash_suspects([*listed, own, wrong], contracts=read_contracts(str(tmp_path / "all.toml")))
    found = [one.contract and one.contract.layout for one in family.suspects]
    assert found == [None, "NCHW", "NHWC", None]
    assert "layout" in family.suspects[3].error
    assert family.asked_by != hash_suspects(listed).asked_by
    assert hash_suspects(listed).asked_by == hash_suspects(listed[::-1]).asked_by
