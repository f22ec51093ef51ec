"""What a Keras file holds, looked at before Keras reads it: its configuration, its version, its weights' layout.

Keras chooses its reader by the suffix, and so does this: a ``.keras`` file is a zip archive, others are HDF5.
"""

import json
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cae_backends.tensorflow.hdf5_walk import UnsafeFile, check_hdf5

__all__ = ["ARCHIVE", "WEIGHTS", "KerasFile", "look_at", "regular_size", "unpacked"]

ARCHIVE = ".keras"
WEIGHTS = "model.weights.h5"
"""The member of an archive with the weights."""

_CONFIG, _METADATA = "config.json", "metadata.json"
_LARGEST_TEXT = 32 << 20  # bytes; the configuration of Keras' largest application has about 1 MB
_MEMBERS = 10_000
_SPARE, _RATIO = 64 << 20, 16  # what an archive may unpack to; Keras stores weights without compression


@dataclass(frozen=True)
class KerasFile:
    """What a Keras file says of itself.

    Attributes:
        config: of the model, as JSON.
        version: of the Keras that wrote it; empty where it does not say.
        backslashes: whether the weights have names with backslashes, as Keras 2.15 wrote them on Windows.
    """

    config: Any
    version: str
    backslashes: bool = False


def look_at(path: Path) -> KerasFile:
    """Return what a file says, after looking through it; nothing in it is followed, built or run.

    Raises:
        UnsafeFile: parts of it lie elsewhere, or unpack to far more than they are, or it is no regular file.
        OSError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile and what else its libraries raise:
            it is no Keras file, or it is damaged.
    """
    size = regular_size(path)
    if path.suffix == ARCHIVE:
        with zipfile.ZipFile(path) as archive:
            return _look_at_archive(archive, size)
    import h5py

    with h5py.File(path, "r") as file:
        check_hdf5(file, size=size)
        text, version = file.attrs["model_config"], file.attrs.get("keras_version", "")
    return KerasFile(_json(text), _text(version))


def regular_size(path: Path) -> int:
    """Return the size of a file.

    Raises:
        UnsafeFile: it is no regular file, but a device or a pipe, say, on which a reader would wait for ever.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFile("it is no regular file")
    return found.st_size


@contextmanager
def unpacked(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """Give a member of an archive as a file in which one can go back and forth."""
    with tempfile.TemporaryFile() as file, archive.open(name) as member:
        while part := member.read(1 << 20):
            file.write(part)
        file.seek(0)
        yield file


def _look_at_archive(archive: zipfile.ZipFile, size: int) -> KerasFile:
    _check_members(archive, size)
    import h5py

    backslashes = False
    for member in archive.infolist():
        if member.filename.endswith((".h5", ".hdf5")):
            with unpacked(archive, member.filename) as content, h5py.File(content, "r") as file:
                check_hdf5(file, size=member.file_size)
                backslashes |= member.filename == WEIGHTS and _has_backslashes(file)
    metadata = _json(_member_text(archive, _METADATA)) if _METADATA in archive.namelist() else {}
    version = metadata.get("keras_version", "") if isinstance(metadata, dict) else ""
    return KerasFile(_json(_member_text(archive, _CONFIG)), _text(version), backslashes)


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    names = [member.filename.casefold() for member in members]
    if len(members) > _MEMBERS:
        raise UnsafeFile(f"it holds {len(members)} files")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UnsafeFile(f"it holds {twice!r} twice")
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or not member.filename.isprintable() or "\\" in member.filename:
            raise UnsafeFile(f"it holds a file called {member.filename!r}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeFile(f"its {member.filename!r} is no regular file")
    declared = sum(member.file_size for member in members)
    if declared > _SPARE + _RATIO * size:
        raise UnsafeFile(f"it unpacks to {declared} bytes, and the file has {size}")


def _member_text(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _LARGEST_TEXT:
        raise UnsafeFile(f"its {name} unpacks to {archive.getinfo(name).file_size} bytes")
    with archive.open(name) as member:
        text = member.read(_LARGEST_TEXT + 1)  # what it declares may not be what it holds
    if len(text) > _LARGEST_TEXT:
        raise UnsafeFile(f"its {name} unpacks to more than {_LARGEST_TEXT} bytes")
    return text


def _has_backslashes(file: Any) -> bool:  # noqa: ANN401 - an h5py.File
    return file.visit(lambda name: True if "\\" in name else None) is not None


def _json(text: Any) -> Any:  # noqa: ANN401 - an attribute of HDF5, JSON
    if not isinstance(text, str | bytes):
        raise TypeError("its configuration is no text")
    if len(text) > _LARGEST_TEXT:
        raise UnsafeFile(f"its configuration has {len(text)} characters")
    return json.loads(text)


def _text(version: Any) -> str:  # noqa: ANN401 - an attribute of HDF5, JSON
    text = version.decode(errors="replace") if isinstance(version, bytes) else version
    return text if isinstance(text, str) and len(text) < 40 and text.isprintable() else ""
