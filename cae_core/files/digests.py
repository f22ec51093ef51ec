"""Digests: of values by their canonical JSON, of files and folders by their bytes."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["canonical_json", "digest_of", "files_in", "sha256_of_file", "sha256_of_files", "suspect_digest"]


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


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files in the order of their names."""
    return sha256_of_files(path)[0]


def sha256_of_files(path: Path) -> tuple[str, dict[Path, str]]:
    """Return the digest of a file or folder, as `sha256_of_file`, and that of every file in it; each is read once."""
    whole = hashlib.sha256()
    parts: dict[Path, str] = {}
    for file in files_in(path):
        own = whole if file == path else hashlib.sha256()
        if file != path:
            whole.update(file.relative_to(path).as_posix().encode())
        for block in _blocks(file):
            whole.update(block)
            if own is not whole:
                own.update(block)
        parts[file] = own.hexdigest()
    return whole.hexdigest(), parts


def files_in(path: Path) -> list[Path]:
    """Return the file ``path`` alone, or the files of the folder in the order of their names."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block


def suspect_digest(spec: str) -> str:
    """Return the SHA-256 of the suspect's file or folder, else of the string that names it."""
    path = Path(spec)
    return sha256_of_file(path) if path.exists() else hashlib.sha256(spec.encode()).hexdigest()
