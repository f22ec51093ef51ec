"""Nothing is written over an input, a link, a device, or a file of another kind."""

import os
import socket
from pathlib import Path

import pytest

from cae_core.errors import OptionError, StorageError
from cae_core.files import outputs
from cae_core.files.outputs import FINGERPRINT, OutputKind, check_folder, check_output
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import pack_tensors

CONTENTS = {
    "FINGERPRINT": pack_tensors({}, {"cae": "{}"}),
    "RUN_STATE": pack_tensors({}, {"run_id": "0"}),
    "MANIFEST": b'# a pool\n\n[[model]]\npath = "a.onnx"\n',
    "REPORT": b"<!DOCTYPE html>\n<meta content=\"default-src 'none'; img-src data:\">",
    "RECORD": b'{\n  "format": 1\n}\n',
    "REQUEST": b"\x30\x82\x01",
    "ONNX_MODEL": b"\x08\x08\x12\x05skl2o",
}
OTHERS = (b"MZ\x90\x00", b"the only copy of a letter", b"\x89PNG\r\n", b"PK\x03\x04", b"\x00" * 100)
KINDS: dict[str, OutputKind] = {name: getattr(outputs, name) for name in CONTENTS}


@pytest.mark.parametrize("name", KINDS)
def test_only_an_earlier_one_of_its_kind_is_replaced(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    check_output(path, KINDS[name])
    path.touch()
    check_output(path, KINDS[name])
    path.write_bytes(CONTENTS[name])
    check_output(path, KINDS[name])
    for content in (*OTHERS, *(other for key, other in CONTENTS.items() if key != name)):
        path.write_bytes(content)
        with pytest.raises(OptionError, match="a file of another kind"):
            check_output(path, KINDS[name])
        assert path.read_bytes() == content


def irregular(folder: Path) -> dict[str, Path]:
    target = folder / "target"
    target.write_bytes(CONTENTS["FINGERPRINT"])
    made = {name: folder / name for name in ("link", "dangling", "circle", "folder", "pipe", "socket")}
    made["link"].symlink_to(target)
    made["dangling"].symlink_to(folder / "nowhere")
    made["circle"].symlink_to(made["circle"])
    made["folder"].mkdir()
    os.mkfifo(made["pipe"])
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)  # such a name may have a hundred characters
        listening.bind("socket")
    return {**made, "null": Path("/dev/null"), "stdout": Path("/dev/stdout"), "descriptor": Path("/proc/self/fd/1")}


def test_what_is_no_regular_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, path in irregular(tmp_path).items():
        before = os.lstat(path)
        with pytest.raises(StorageError, match="cannot be written"):
            check_output(path, FINGERPRINT)
        with pytest.raises(StorageError, match="cannot be written"):
            write_atomically(path, b"new")
        assert os.path.samestat(before, os.lstat(path)), name
    assert (tmp_path / "target").read_bytes() == CONTENTS["FINGERPRINT"]


def test_an_input_is_known_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, model = tmp_path / "given.safetensors", tmp_path / "saved_model"
    given.write_bytes(CONTENTS["FINGERPRINT"])
    (model / "variables").mkdir(parents=True)
    (tmp_path / "hard.safetensors").hardlink_to(given)
    (tmp_path / "way").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    for path in (
        given,
        Path("given.safetensors"),
        Path("saved_model/../given.safetensors"),
        tmp_path / "hard.safetensors",
        tmp_path / "way" / "given.safetensors",
        model / "new.safetensors",
        model / "variables" / "new.safetensors",
        tmp_path / "way" / "saved_model" / "new",
    ):
        with pytest.raises(OptionError, match="this is one of the inputs"):
            check_output(path, FINGERPRINT, inputs=[given, model])
    check_output(tmp_path / "saved_model_2", FINGERPRINT, inputs=[given, model])
    with pytest.raises(OptionError, match="belongs to the inputs"):
        check_folder(model / "case", inputs=[model])
    with pytest.raises(StorageError, match="expected a folder"):
        check_folder(given)
    check_folder(tmp_path / "new", inputs=[given])


def test_names_in_refusals_do_nothing_to_a_screen(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[2J\nb"
    path.write_bytes(b"something else")
    with pytest.raises(OptionError) as refused:
        check_output(path, FINGERPRINT)
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(StorageError, match="cannot be a file's path"):
        check_output(Path("a\0b"), FINGERPRINT)
