"""Files of a data set out of their folder or out of the tar archive that they were published in."""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from cae_core.errors import DataError

__all__ = ["is_archive", "read_archive", "read_folder"]

_LARGEST = 1 << 28
"""Bytes of an unpacked archive, and of one file, that are read at most: published ones have 190 million.

The largest file, CIFAR-100's ``train``, has 155 million.
"""


def is_archive(path: Path) -> bool:
    """Whether ``path`` is called like a tar archive: ``.tar``, ``.tar.gz``, ``.tgz`` or ``.tar.xz``."""
    return path.is_file() and path.name.lower().endswith((".tar", ".tgz", ".tar.gz", ".tar.xz"))


def read_folder(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read those of the files that are there.

    Raises:
        DataError: a file is there and cannot be read, or is larger than any of a published set.
    """
    try:
        found = [folder / name for name in names if (folder / name).is_file()]
        large = [path for path in found if path.stat().st_size > _LARGEST]
        if large:
            raise DataError(f"{large[0]}: the file is larger than any of its data set. Download it again.")
        return {path.name: path.read_bytes() for path in found}
    except OSError as exc:
        raise DataError(f"{folder}: the files cannot be read ({exc.strerror}).") from exc


def read_archive(path: Path, sets: Iterable[Collection[str]]) -> dict[str, bytes]:
    """Read files by their last name in one pass, until one of the sets is complete; nothing is unpacked to the disk.

    Raises:
        DataError: the archive is truncated, or no archive.
    """
    left = [set(names) for names in sets]
    contents: dict[str, bytes] = {}
    try:
        with _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if any(name in names for names in left) and member.isfile() and member.size <= _LARGEST:
                    file = archive.extractfile(member)
                    contents[name] = b"" if file is None else file.read()
                    if any(names <= contents.keys() for names in left):
                        break
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as exc:
        raise DataError(f"{path}: the archive cannot be read ({exc}). Download it again.") from exc
    return contents


class _Limited(io.RawIOBase):
    """A stream that is refused once it has given more bytes than any published archive holds."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        super().__init__()
        self._stream, self._path, self._left = stream, path, _LARGEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer
        block = self._stream.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise DataError(f"{self._path}: the archive unpacks to more than any of its data set. Download it again.")
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """Give what an archive unpacks to, whatever it is called."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        start = file.read(6)
        file.seek(0)
        if start.startswith(b"\x1f\x8b"):
            file = cast("IO[bytes]", stack.enter_context(gzip.open(file)))
        elif start == b"\xfd7zXZ\0":
            file = cast("IO[bytes]", stack.enter_context(lzma.open(file)))
        yield cast("IO[bytes]", _Limited(file, path))
