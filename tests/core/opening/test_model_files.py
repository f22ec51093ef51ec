"""What a model is read from: its own files, what its backend tells beside them, and each hashed once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cae_core import loaders
from cae_core.contract import Contract
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

    def files(self, spec: str) -> list[Path]:
        return [Path(spec), *self.beside]


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


def test_what_lies_beside_it_is_told_by_its_backend_and_is_not_in_its_digest(
    installed: list[Silent], read: list[Path], tmp_path: Path
) -> None:
    path, beside = tmp_path / "m.toy", tmp_path / "a.bin"
    path.write_bytes(b"graph")
    beside.write_bytes(b"weights")
    installed.append(Telling(beside=[beside]))
    files = ModelFiles(str(path))
    assert files.digest == sha256(b"graph")
    assert read == [path]
    assert files.sha256 == {path: sha256(b"graph"), beside: sha256(b"weights")}
    assert files.sha256 is files.sha256
    assert read == [path, beside]


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
    assert files.digest == sha256(b"".join(name.encode() * 4 for name in ("a", "sub/weights", "toy.txt")))


def test_an_address_is_known_by_itself(installed: list[Silent], read: list[Path]) -> None:
    files = ModelFiles("https://example.org/m.toy")
    assert files.digest == sha256(b"https://example.org/m.toy")
    assert files.sha256 == {}
    assert read == []
