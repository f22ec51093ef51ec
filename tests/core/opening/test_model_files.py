"""What a model is read from: its own files, what its backend tells beside them, and each hashed once."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cae_core import loaders
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.files import digests
from cae_core.files.digests import sha256_of_file
from cae_core.models import Model
from cae_core.opening.model_files import ModelFiles


@dataclass(frozen=True)
class Silent:
    """A loader of the first form, which does not tell the files."""

    name: str = "silent"
    suffixes: tuple[str, ...] = (".toy",)
    folders: tuple[str, ...] = ("toy.txt",)
    schemes: tuple[str, ...] = ()
    gradients: bool = False

    def open(self, spec: str, *, contract: Contract | None, device: str) -> Model:
        raise NotImplementedError


@dataclass(frozen=True)
class Telling(Silent):
    """One that tells a file beside the model."""

    beside: list[Path] = field(default_factory=list[Path])
    contract: list[Path] = field(default_factory=list[Path])

    def files(self, spec: str) -> list[Path]:
        return [Path(spec), *self.beside]

    def contract_files(self, spec: str) -> list[Path]:
        return [file for file in self.contract if file != Path(spec)]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Silent]:
    present: list[Silent] = [Silent()]
    monkeypatch.setattr(loaders, "installed_loaders", lambda: iter(present))
    return present


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is read to be hashed, in order."""
    files: list[Path] = []
    blocks = digests._blocks

    def noted(path: Path) -> Iterator[bytes]:
        files.append(path)
        return blocks(path)

    monkeypatch.setattr(digests, "_blocks", noted)
    return files


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_hashed_when_it_is_asked_for_and_once(
    installed: list[Silent], read: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "m.toy"
    path.write_bytes(b"weights")
    files = ModelFiles(str(path))
    assert read == []
    assert files.digest == sha256(b"weights")
    assert files.sha256 == {path: sha256(b"weights")}
    assert files.digest == sha256_of_file(path)
    assert read == [path, path]  # the second by the line above


def test_what_lies_beside_it_is_told_by_its_backend_and_is_in_its_digest(
    installed: list[Silent], read: list[Path], tmp_path: Path
) -> None:
    path, beside, contract = tmp_path / "m.toy", tmp_path / "a.bin", tmp_path / "m.toml"
    path.write_bytes(b"graph")
    beside.write_bytes(b"weights")
    contract.write_bytes(b"[contract]")
    installed.append(Telling(beside=[beside], contract=[contract]))
    files = ModelFiles(str(path))
    lines = [f"{sha256(b'weights')}  a.bin", f"{sha256(b'graph')}  m.toy"]
    assert files.lines == tuple(lines)
    assert files.digest == sha256(b"cae-model-v2\0" + "".join(f"{line}\n" for line in sorted(lines)).encode())
    assert read == [beside, path]
    assert files.sha256 == {
        path: sha256(b"graph"),
        beside: sha256(b"weights"),
        contract: sha256(b"[contract]"),
    }
    assert files.sha256 is files.sha256
    assert read == [beside, path, contract]


def test_a_folders_files_are_read_once_for_its_digest_and_their_own(
    installed: list[Silent], read: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    (folder / "sub").mkdir(parents=True)
    for name in ("toy.txt", "sub/weights", "a"):
        (folder / name).write_bytes(name.encode() * 3)
    files = ModelFiles(str(folder))
    assert files.sha256 == {folder / name: sha256(name.encode() * 3) for name in ("a", "sub/weights", "toy.txt")}
    assert len(read) == 3
    assert files.digest == sha256_of_file(folder)
    lines = sorted(f"{sha256(name.encode() * 3)}  {name}\n" for name in ("a", "sub/weights", "toy.txt"))
    assert files.digest == sha256(b"cae-model-v2\0" + "".join(lines).encode())


def test_the_digest_is_what_two_ordinary_commands_give(installed: list[Silent], tmp_path: Path) -> None:
    (tmp_path / "saved" / "sub").mkdir(parents=True)
    for name in ("toy.txt", "sub/w eights"):
        (tmp_path / "saved" / name).write_bytes(name.encode())
    listed = r"find . -type f -printf '%P\0' | xargs -0 sha256sum | LC_ALL=C sort"
    script = rf"(printf 'cae-model-v2\0'; {listed}) | sha256sum"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path / "saved", check=True, capture_output=True, text=True)
    assert done.stdout.split()[0] == ModelFiles(str(tmp_path / "saved")).digest


def test_a_file_that_holds_a_folders_list_has_another_digest(installed: list[Silent], tmp_path: Path) -> None:
    folder, file = tmp_path / "saved", tmp_path / "m.toy"
    folder.mkdir()
    (folder / "toy.txt").write_bytes(b"x")
    file.write_bytes(f"{sha256(b'x')}  toy.txt\n".encode())
    assert len({ModelFiles(str(path)).digest for path in (folder, file, folder / "toy.txt")}) == 3


def test_what_is_in_a_files_name_cannot_be_moved_into_its_content(installed: list[Silent], tmp_path: Path) -> None:
    digests_found = set[str]()
    for number, files in enumerate(({"a": b"", "bb": b"x"}, {"a": b"bb", "b": b"x"}, {"ab": b"bx"}, {"a": b"bbx"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        digests_found.add(ModelFiles(str(folder)).digest)
    assert len(digests_found) == 4


@pytest.mark.parametrize("kind", ["file", "folder", "to nothing", "inside", "pipe"])
def test_a_link_or_a_pipe_in_a_folder_is_refused(installed: list[Silent], tmp_path: Path, kind: str) -> None:
    folder, elsewhere = tmp_path / "saved", tmp_path / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir()
    (elsewhere / "w").write_bytes(b"w")
    (folder / "toy.txt").write_bytes(b"x")
    if kind == "pipe":
        os.mkfifo(folder / "variables")
    else:
        target = {"file": elsewhere / "w", "folder": elsewhere, "inside": folder / "toy.txt"}.get(kind, Path("gone"))
        (folder / "variables").symlink_to(target)
    with pytest.raises(ModelError, match=r"saved: it holds .*variables"):
        _ = ModelFiles(str(folder)).digest


def test_a_cache_of_links_is_followed_and_hashed(installed: list[Silent], tmp_path: Path) -> None:
    blobs, folder = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "rev"
    for path in (blobs, folder / "variables"):
        path.mkdir(parents=True)
    for number, name in enumerate(("toy.txt", "variables/data")):
        (blobs / str(number)).write_bytes(name.encode())
        (folder / name).symlink_to(blobs / str(number))
    files = ModelFiles(str(folder))
    assert {file.name: file.sha256 for file in files.own} == {
        name: sha256(name.encode()) for name in ("toy.txt", "variables/data")
    }
    (folder / "toy.txt").unlink()
    outside = tmp_path / "secret" / "deep"
    outside.mkdir(parents=True)
    (outside / "s").write_bytes(b"s")
    (folder / "toy.txt").symlink_to(outside / "s")
    with pytest.raises(ModelError, match="it holds a link"):
        _ = ModelFiles(str(folder)).digest


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\\b"])
def test_a_name_that_no_line_holds_is_refused(installed: list[Silent], tmp_path: Path, name: str) -> None:
    (tmp_path / "saved").mkdir()
    for file in ("toy.txt", name):
        (tmp_path / "saved" / file).write_bytes(b"x")
    with pytest.raises(ModelError, match="line's end or a backslash"):
        _ = ModelFiles(str(tmp_path / "saved")).digest


@pytest.mark.parametrize("beside", ["../w.bin", "/nowhere/w.bin"])
def test_a_backend_that_reads_outside_of_the_folder_is_refused(
    installed: list[Silent], tmp_path: Path, beside: str
) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "m.toy"
    for file in (path, tmp_path / "w.bin"):
        file.write_bytes(b"x")
    installed.append(Telling(beside=[path.parent / beside]))
    with pytest.raises(ModelError, match="outside of its folder"):
        _ = ModelFiles(str(path)).digest


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a device"])
def test_what_is_neither_a_file_nor_a_folder_is_not_read(tmp_path: Path, kind: str) -> None:
    path, pipe = tmp_path / "m.onnx", tmp_path / "pipe"
    os.mkfifo(path if kind == "pipe" else pipe)
    if kind != "pipe":
        path.symlink_to(pipe if kind == "link to a pipe" else "/dev/zero")
    with pytest.raises(ModelError, match="this is neither"):
        _ = ModelFiles(str(path)).digest


def test_a_file_that_says_how_the_model_is_asked_and_holds_weights_is_in_the_digest(
    installed: list[Silent], tmp_path: Path
) -> None:
    path, both = tmp_path / "m.toy", tmp_path / "w.npy"
    path.write_bytes(b"graph")
    both.write_bytes(b"an image, and weights behind it")
    installed.append(Telling(beside=[both], contract=[both]))
    before = ModelFiles(str(path)).digest
    both.write_bytes(b"an image, and others behind it.")
    assert ModelFiles(str(path)).digest != before


@pytest.mark.parametrize("kind", ["another model", "a folder that is one"])
def test_weights_in_another_model_are_refused(installed: list[Silent], tmp_path: Path, kind: str) -> None:
    """Two models that name each other would have one list of files, and so one digest and one seal."""
    path, other = tmp_path / "m.toy", tmp_path / ("n.toy" if kind == "another model" else "toy.txt")
    for file in (path, other):
        file.write_bytes(b"graph")
    installed.append(Telling(beside=[other]))
    with pytest.raises(ModelError, match="which is a model by itself"):
        _ = ModelFiles(str(path)).digest


def test_a_model_that_is_written_to_is_noticed(installed: list[Silent], tmp_path: Path) -> None:
    path, beside = tmp_path / "m.toy", tmp_path / "a.bin"
    for file in (path, beside):
        file.write_bytes(b"weights")
    installed.append(Telling(beside=[beside]))
    files = ModelFiles(str(path))
    assert files.digest
    files.check_unchanged()
    os.replace(shutil.copy(beside, tmp_path / "same"), beside)  # noqa: PTH105 - the same bytes in another file
    with pytest.raises(ModelError, match=r"a\.bin: the file was changed while it was in use"):
        files.check_unchanged()
    assert not files.unchanged


def test_a_copy_is_what_was_hashed(installed: list[Silent], read: list[Path], tmp_path: Path) -> None:
    model, own = tmp_path / "model", tmp_path / "own"
    for folder in (model, own):
        folder.mkdir()
    path, beside, contract = model / "m.toy", model / "sub" / "a.bin", model / "m.toml"
    beside.parent.mkdir()
    for file in (path, beside, contract):
        file.write_bytes(file.name.encode())
    installed.append(Telling(beside=[beside], contract=[contract]))
    copy = ModelFiles(str(path)).copied(own)
    assert read == [path, beside, contract]
    assert copy.spec == str(own / "m.toy")
    path.write_bytes(b"another")
    assert copy.digest == digests.digest_of_files({"m.toy": sha256(b"m.toy"), "sub/a.bin": sha256(b"a.bin")})
    assert read == [path, beside, contract]
    for file in (path, beside, contract):
        assert (own / file.relative_to(model)).read_bytes() == file.name.encode()


def test_a_copied_folder_keeps_its_name_and_digest(installed: list[Silent], tmp_path: Path) -> None:
    folder, own = tmp_path / "saved", tmp_path / "own"
    (folder / "sub").mkdir(parents=True)
    own.mkdir()
    for name in ("toy.txt", "sub/w"):
        (folder / name).write_bytes(name.encode())
    files = ModelFiles(str(folder))
    copy = files.copied(own)
    assert (copy.spec, copy.digest) == (str(own / "saved"), files.digest)
    assert sha256_of_file(own / "saved") == files.digest


def test_an_address_is_known_by_itself(installed: list[Silent], read: list[Path], tmp_path: Path) -> None:
    files = ModelFiles("https://example.org/m.toy")
    assert files.digest == sha256(b"https://example.org/m.toy")
    assert (files.sha256, files.lines) == ({}, ())
    assert files.copied(tmp_path) is files
    assert read == []
