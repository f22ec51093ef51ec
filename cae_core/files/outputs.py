"""Where something may be written: never over what it is made from, nor over anything but an earlier one of its kind.

Every command that writes asks here before its work begins. A link is refused whatever it leads to: the new file would
stand in the link's place, and what it led to, perhaps a secret, would stay as it was.
"""

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cae_core.errors import OptionError, StorageError
from cae_core.foreign_text import visible

__all__ = [
    "FINGERPRINT",
    "LEDGER",
    "MANIFEST",
    "ONNX_MODEL",
    "RECORD",
    "REPORT",
    "REQUEST",
    "RUN_STATE",
    "SCAN",
    "TORCH_PROGRAM",
    "OutputKind",
    "check_folder",
    "check_output",
    "refuse_irregular",
]

_HEAD = 1 << 16
"""Bytes at the beginning of a file by which its kind is known."""


@dataclass(frozen=True, kw_only=True)
class OutputKind:
    """Something that is written.

    Attributes:
        words: what it is, with its article.
        recognised: whether a file, given with the bytes at its beginning, is one.
    """

    words: str
    recognised: Callable[[Path, bytes], bool]


def check_output(path: Path, kind: OutputKind, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place where writing would destroy something else.

    An earlier file of the same kind may be replaced, and so may an empty one.

    Args:
        path: where a file is to be written.
        kind: what it will be.
        inputs: files and folders of models that it is made from; of a folder every file is one.

    Raises:
        OptionError: it is one of the inputs, or holds something else.
        StorageError: it is a folder, a device, a link, or cannot be read.
    """
    for given in inputs:
        if _is_in(path, given):
            raise OptionError(
                f"{_named(path)}: this is one of the inputs, and {kind.words} would take its place. Name another file."
            )
    refuse_irregular(path)
    head = _beginning(path)
    if head and not kind.recognised(path, head):
        raise OptionError(
            f"{_named(path)}: there is a file of another kind, and {kind.words} would replace it. Name another file, "
            "or move that one away."
        )


def check_folder(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place that cannot be a folder to work in, or that belongs to one of the inputs.

    Raises:
        OptionError: it is an input, or lies in one that is a folder.
        StorageError: it is there, and is no folder.
    """
    if path.exists() and not path.is_dir():
        raise StorageError(f"{_named(path)}: expected a folder, and this is a file. Name another one.")
    for given in inputs:
        if _is_in(path, given):
            raise OptionError(f"{_named(path)}: this folder belongs to the inputs. Name another folder.")


def refuse_irregular(path: Path) -> None:
    """Refuse a place where something stands that is no regular file.

    Raises:
        StorageError: it is a link, a folder, a device, a pipe or a socket; or nobody may see what it is.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # who writes there says what is wrong with the folder
        return
    except OSError as error:
        raise StorageError(f"{_named(path)}: cannot be written ({error.strerror}). Name another file.") from error
    except ValueError as error:  # a zero byte
        raise StorageError(f"{_named(path)}: this cannot be a file's path ({error}). Name another one.") from error
    if stat.S_ISLNK(mode):
        raise StorageError(
            f"{_named(path)}: cannot be written (a link is there; a file would take its place, and what it leads to "
            f"would stay as it is). Name the file itself: {visible(os.path.realpath(path))}."
        )
    if not stat.S_ISREG(mode):
        raise StorageError(
            f"{_named(path)}: cannot be written ({_irregular(mode)} is there, and a file would take its place). "
            "Name a file."
        )


def _irregular(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "a pipe or a socket"


def _is_in(path: Path, given: Path) -> bool:
    """Return whether ``path`` is ``given``, under any name, or lies in it."""
    try:
        if path.exists() and given.exists() and path.samefile(given):
            return True
        return given.is_dir() and path.resolve().is_relative_to(given.resolve())
    except (OSError, ValueError, RuntimeError):  # links in a circle: what opens the input says so
        return False


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise StorageError(
            f"{_named(path)}: a file is there that cannot be read ({error.strerror}), and might be another one's. "
            "Name another file."
        ) from error


def _named(path: Path) -> str:
    return visible(str(path))


_SCAN = b'{"scan": 1, "family": '


def _matching(pattern: bytes) -> Callable[[Path, bytes], bool]:
    found = re.compile(pattern, re.DOTALL)
    return lambda _path, head: found.match(head) is not None


def _is_object(_path: Path, head: bytes) -> bool:
    return head.lstrip()[:1] == b"{"


def _is_program(path: Path, _head: bytes) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return any(name.endswith(("/archive_format", "serialized_exported_program.json")) for name in names)


def _tensors(key: bytes) -> Callable[[Path, bytes], bool]:
    """Recognise tensors whose first key of metadata is this."""
    return _matching(rb'.{8}\s*\{\s*"__metadata__"\s*:\s*\{\s*"' + key + rb'"\s*:')


FINGERPRINT = OutputKind(words="a fingerprint", recognised=_tensors(b"cae"))
RUN_STATE = OutputKind(words="the state of a generation", recognised=_tensors(b"run_id"))
MANIFEST = OutputKind(words="a pool's manifest", recognised=_matching(rb"(?:.*\n)?\s*\[\[\s*model\s*\]\]"))
REPORT = OutputKind(words="a report", recognised=_matching(rb"\s*<!DOCTYPE html>.*default-src 'none'"))
LEDGER = OutputKind(words="a ledger", recognised=_is_object)
RECORD = OutputKind(words="a record", recognised=_is_object)
SCAN = OutputKind(words="a scan's output", recognised=lambda _path, head: _SCAN.startswith(head[: len(_SCAN)]))
"""Also one whose first line a crash has cut short."""
REQUEST = OutputKind(words="a timestamp request", recognised=_matching(rb"\x30"))
ONNX_MODEL = OutputKind(
    words="an ONNX model", recognised=_matching(rb"\x08[\x01-\x7f][\x12\x1a\x22\x28\x32\x3a\x42\x72]")
)
"""ONNX writes the version of its format first, and then one of the other fields of a model."""
TORCH_PROGRAM = OutputKind(words="a torch program", recognised=_is_program)
