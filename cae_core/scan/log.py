"""The output of a scan: JSON Lines, the first of which says what is fixed, each other one how a suspect was judged.

A line is on the disk before the next suspect is waited for. A run that was killed at any moment goes on: a last line
that was cut short is dropped, and the suspects whose lines are there are not asked again.
"""

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from cae_core.errors import StorageError, VerdictError
from cae_core.files.exclusion import lock_descriptor
from cae_core.files.outputs import SCAN, check_output
from cae_core.files.records import as_json, ascii_json
from cae_core.foreign_text import visible
from cae_core.reading import check_depth

__all__ = ["VERSION", "ScanLog", "read_lines"]

VERSION = 1

_LONGEST = 1 << 25
"""Bytes of a line at most, as of a verdict's record."""

_FIXED = ("family", "fingerprint", "options", "asked_by", "full", "data")
"""Fields of the first line that have to agree where a run goes on."""


class ScanLog:
    """The open output of one scan.

    Args:
        path: the file.
        head: what is fixed, of which `_FIXED` has to agree with what stands there.

    Attributes:
        head: the first line.
        finished: the suspects whose lines are there, by name.
        models: where the first line of a model stands, by its SHA-256.
        went_on: whether it was there already.

    Raises:
        VerdictError: the file is the output of another scan.
        StorageError: it cannot be written, or another process writes it.
        OptionError: it is a file of another kind.
    """

    def __init__(self, path: Path, head: Mapping[str, object]) -> None:
        check_output(path, SCAN)
        self._path = path
        self.finished: set[str] = set()
        self.models: dict[str, int] = {}
        try:
            self._file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)  # noqa: PTH123, SIM115
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            self.went_on = self._begin(as_json(head))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def nonce(self) -> bytes:
        """Of the whole scan, drawn once its family was fixed."""
        return bytes.fromhex(self.head["nonce"])

    def add(self, *lines: Mapping[str, object]) -> None:
        """Write a line for each of some suspects, on the disk before this returns.

        Raises:
            StorageError: they cannot be written.
        """
        place = self._file.seek(0, os.SEEK_END)
        told = [{"scan": VERSION, "family": self.head["family"], "format": VERSION, **line} for line in lines]
        for line, length in zip(lines, self._write(*told), strict=True):
            self._note(as_json(line), place)
            place += length

    def line_of(self, sha256: str) -> dict[str, Any]:
        """Return the first line of a model."""
        with self._path.open("rb") as file:
            file.seek(self.models[sha256])
            return cast("dict[str, Any]", json.loads(file.readline()))

    def _begin(self, head: Mapping[str, Any]) -> bool:
        if not lock_descriptor(self._file.fileno()):
            raise StorageError(f"{self._named}: another scan writes this file. Wait for it, or name another --output.")
        place, found = 0, dict[str, Any]()
        for line, length in read_lines(self._path):
            if not place:
                found = line
                self._check(head, line)
            else:
                self._note(line, place)
            place += length
        self._file.truncate(place)
        self.head = found or {"scan": VERSION, **head, "format": VERSION, "nonce": secrets.token_hex(16)}
        if not found:
            self._write(self.head)
        return bool(found)

    def _check(self, head: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        differing = next((name for name in _FIXED if found.get(name) != head.get(name)), None)
        if differing is None and _is_nonce(found.get("nonce")):
            return
        what = {
            "family": "other models",
            "fingerprint": "another fingerprint or calibration",
            "asked_by": "other contracts",
            "data": "other labelled images",
        }
        raise VerdictError(
            f"{self._named}: this is the output of a scan of {what.get(differing or '', 'other options')}, so its "
            "finished lines do not hold for this one. Name another file with --output."
        )

    def _note(self, line: Mapping[str, Any], place: int) -> None:
        suspect = line["suspect"]
        self.finished.add(suspect["name"])
        if suspect["sha256"]:
            self.models.setdefault(suspect["sha256"], place)

    def _write(self, *lines: Mapping[str, object]) -> list[int]:
        """Write lines and return the length of each in bytes."""
        each = [(ascii_json(as_json(line), allow_nan=False) + "\n").encode("ascii") for line in lines]
        content = b"".join(each)
        try:
            self._file.seek(0, os.SEEK_END)
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - one sentence for both
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error
        return [len(line) for line in each]

    def _unwritten(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self._named}: cannot be written ({error.strerror}). Free some space and run the same command again: it "
            "goes on; or name another --output."
        )

    @property
    def _named(self) -> str:
        return visible(str(self._path))


def read_lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each line of a scan's output with its length in bytes, up to one that was cut short.

    Raises:
        VerdictError: a line is none of a scan.
    """
    with path.open("rb") as file:
        number = 0
        while (content := file.readline(_LONGEST)).endswith(b"\n"):
            number += 1
            yield _read(content, f"{visible(str(path))}, line {number}", first=number == 1), len(content)
        if len(content) >= _LONGEST:
            raise VerdictError(
                f"{visible(str(path))}, line {number + 1}: the line is longer than any line that `cae scan` writes."
            )


def _read(content: bytes, where: str, *, first: bool) -> dict[str, Any]:
    try:
        line: object = json.loads(content)
        check_depth(line)
    except (ValueError, RecursionError) as error:
        raise _none(where) from error
    if not isinstance(line, dict):
        raise _none(where)
    found = cast("dict[str, Any]", line)
    if found.get("scan") != VERSION or not isinstance(found.get("family"), str):
        raise _none(where)
    if not first and not _is_suspect(found.get("suspect")):
        raise _none(where)
    return found


def _is_suspect(value: object) -> bool:
    told = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    return isinstance(told.get("name"), str) and isinstance(told.get("sha256"), str)


def _is_nonce(value: object) -> bool:
    try:
        return isinstance(value, str) and len(bytes.fromhex(value)) == 16
    except ValueError:
        return False


def _none(where: str) -> VerdictError:
    return VerdictError(f"{where}: this is no line that `cae scan` writes. Name another file with --output.")
