r"""Digests: of values by their canonical JSON, of a model's files by their bytes and names.

A model that is one file has the SHA-256 of that file. One of several files, a folder or an ONNX file with its weights
beside it, has the SHA-256 of `MODEL_TAG` and, sorted, the line that ``sha256sum`` prints for each of them::

    (printf 'cae-model-v2\0'; sha256sum FILE ... | LC_ALL=C sort) | sha256sum

with the names as they are seen from the model's folder. The tag keeps a file that holds those lines from having the
folder's digest.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cae_core.errors import ModelError

__all__ = [
    "MODEL_TAG",
    "canonical_json",
    "copied_with_digest",
    "digest_of",
    "digest_of_files",
    "files_in",
    "leads_into_store",
    "sha256_of_file",
    "sha256_of_text",
]

MODEL_TAG = b"cae-model-v2\0"
"""What the digest of a model of several files begins with."""

_BLOCK = 1 << 20
_ESCAPED = frozenset("\n\r\\")
"""What ``sha256sum`` would have to escape in a name."""


def canonical_json(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Return ``value`` with sorted keys, no spaces and no NaN: the same values give the same bytes.

    Example:
        >>> canonical_json({"b": 1, "a": [0.5]})
        '{"a":[0.5],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of the canonical JSON of ``value``; JSON may hold halves of surrogate pairs, and UTF-8 not."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8; names of files may hold what UTF-8 does not."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_of_files(hashed: Mapping[str, str], *, folder: bool = False) -> str:
    """Return the digest of a model.

    Args:
        hashed: the SHA-256 of each of its files, by its name seen from the model's folder.
        folder: whether the model is a folder, and not a file with others beside it.

    Raises:
        ModelError: a name that no line can hold.

    Example:
        >>> one = digest_of_files({"m.onnx": "00" * 32})
        >>> one == "00" * 32, digest_of_files({"m.onnx": "00" * 32}, folder=True) == one
        (True, False)
    """
    if len(hashed) == 1 and not folder:
        return next(iter(hashed.values()))
    for name in hashed:
        if _ESCAPED & set(name):
            raise ModelError(
                f"The model's file {name!r} has a line's end or a backslash in its name, which no digest can cover. "
                "Rename it."
            )
    lines = sorted(os.fsencode(f"{sha256}  {name}\n") for name, sha256 in hashed.items())
    return hashlib.sha256(MODEL_TAG + b"".join(lines)).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, or the digest of a folder.

    Raises:
        ModelError: see `files_in` and `digest_of_files`.
    """
    named = {file.relative_to(path).as_posix(): _sha256(file) for file in files_in(path)}
    return digest_of_files(named, folder=path.is_dir())


def files_in(path: Path) -> list[Path]:
    """Return the file ``path`` alone, or the files of the folder in the order of their names.

    Raises:
        ModelError: the folder holds a link, or something that is neither a file nor a folder.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*"))
    links = [file for file in found if file.is_symlink()]
    files = [file for file in found if file.is_symlink() or not file.is_dir()]
    if links and not (links == files and _in_one_store(links, path)):
        raise ModelError(
            f"{path}: it holds a link, {links[0].relative_to(path)}, and a model's folder holds its files themselves. "
            "Copy the model with what its links lead to (cp -rL)."
        )
    for file in files:
        if not file.is_file():
            raise ModelError(f"{path}: it holds {file.relative_to(path)}, which is neither a file nor a folder.")
    return files


def _in_one_store(links: list[Path], folder: Path) -> bool:
    """Return whether these links are those of a cache of downloads; see `leads_into_store`."""
    targets = {Path(os.path.realpath(link)).parent for link in links}
    return len(targets) == 1 and leads_into_store(links[0], folder)


def leads_into_store(link: Path, folder: Path) -> bool:
    """Return whether a link in ``folder`` leads into the cache of downloads that holds the folder itself.

    Such a cache keeps contents under their hashes in one folder, and names, which are links, in another one beside it.
    """
    store = Path(os.path.realpath(link)).parent
    return Path(os.path.realpath(folder)).is_relative_to(store.parent) and store.parent != Path(store.anchor)


def copied_with_digest(source: Path, target: Path) -> str:
    """Copy a file, and return the SHA-256 of exactly the bytes that were copied."""
    try:
        with target.open("wb") as copy:
            return _sha256(source, also=copy.write)
    except OSError as error:
        if error.filename is None:  # of the copy: whatever cannot be read has a sentence of its own
            error.filename = str(target)
        raise


def _sha256(path: Path, also: Callable[[bytes], object] = len) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        also(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for, and a device has no end
        raise ModelError(f"{path}: expected a file or a folder of files; this is neither.")
    with path.open("rb") as file:
        while block := _read(file, path):
            yield block


def _read(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(_BLOCK)
    except OSError as error:  # such as of a disk that fails; it does not say of which file
        raise ModelError(f"{path}: the file cannot be read ({error.strerror or error}).") from error
