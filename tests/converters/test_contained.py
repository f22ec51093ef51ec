"""A conversion in a process of its own gives what the same conversion here gives, and its refusals."""

import os
from pathlib import Path

import pytest

from cae_backends.datasets import open_data
from cae_converters.contained import convert_foreign
from cae_converters.conversion import convert
from cae_core.contract import Contract
from cae_core.errors import ModelError
from tests.cli.conftest import CONTRACT, fit_quickly, write_onnx

LOGITS = Contract(layout="NHWC", range=(0, 1), output="logits")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = open_data("digits", split="train").subset(range(200))
    path = tmp_path_factory.mktemp("source") / "m.onnx"
    write_onnx(path, fit_quickly(0, data.images, data.labels), metadata=CONTRACT)
    return path


@pytest.mark.long
def test_it_gives_the_same_file(source: Path, tmp_path: Path) -> None:
    data = open_data("digits", split="test")
    here, told = tmp_path / "here.onnx", list[tuple[str, int, int]]()
    there = tmp_path / "folder" / "there.onnx"
    expected = convert(source, here, contract=LOGITS, data=data)
    found = convert_foreign(source, there, contract=LOGITS, data=data, progress=lambda *step: told.append(step))
    assert there.read_bytes() == here.read_bytes()
    assert (found.path, found.contract, found.unchecked) == (there, expected.contract, expected.unchecked)
    assert [parity.images for parity in found.parities] == [parity.images for parity in expected.parities]
    assert all(parity.holds for parity in found.parities)
    assert told == [("converting", 0, 3), ("converting", 3, 3)]


def test_what_is_wrong_is_said_of_the_users_own_paths(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match=f"^{target}: ONNX Runtime cannot open this file"):  # what was made of it
        convert_foreign(source, target, contract=LOGITS.replace(size=(9, 9)))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=f"{tmp_path / 'broken.onnx'}: "):
        convert_foreign(tmp_path / "broken.onnx", target)
    with pytest.raises(ModelError, match="no such model file"):
        convert_foreign(tmp_path / "none.onnx", target)
    assert not target.exists()


def test_what_is_no_file_is_not_taken(tmp_path: Path) -> None:
    from cae_converters.contained import _take

    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for name in ("link", "folder", "pipe", "large", "none"):
        with pytest.raises(ModelError, match=r"m\.onnx: the conversion made (no file|a file that is no model)"):
            _take(tmp_path / name, tmp_path / "draft", Path("m.onnx"), 4)
    _take(tmp_path / "large", tmp_path / "draft", Path("m.onnx"), 5)
    assert (tmp_path / "draft").read_bytes() == b"12345"
