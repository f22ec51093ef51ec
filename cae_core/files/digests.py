"""Digests: of values by their canonical JSON, of files and folders by their bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

__all__ = ["canonical_json", "digest_of", "sha256_of_file", "suspect_digest"]


def canonical_json(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Return ``value`` with sorted keys, no spaces and no NaN: the same values give the same bytes.

    Example:
        >>> canonical_json({"b": 1, "a": [0.5]})
        '{"a":[0.5],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:  # noqa: ANN401
    """Return the SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for part in files:
        if part != path:
            digest.update(part.relative_to(path).as_posix().encode())
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def suspect_digest(spec: str) -> str:
    """Return the SHA-256 of the suspect's file or folder, else of the string that names it."""
    path = Path(spec)
    return sha256_of_file(path) if path.exists() else hashlib.sha256(spec.encode()).hexdigest()
