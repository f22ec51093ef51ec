"""Writing the pool manifest; `pool` reads it."""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from cae_core.errors import PoolError, quoted
from cae_core.files.storage import write_atomically
from cae_core.pool.manifest import parse_pool, read_pool

__all__ = ["ManifestRow", "append_rows", "foreign_rows", "write_manifest"]

ManifestRow: TypeAlias = Mapping[str, Any]
"""The fields of a ``[[model]]`` table; those that are None or empty are left out."""


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write a manifest of ``rows``.

    Raises:
        PoolError: they make no pool.
        StorageError: the folder cannot be written.
    """
    _write(path, "\n".join(_table(row) for row in rows))


def append_rows(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Add models to the end of a manifest, which is made where there is none; what stands in it stays as it is.

    Several processes that add to one manifest hold `cae_core.files.exclusion.exclusive` while they do.

    Raises:
        PoolError: the file is no manifest, has one of these models already, or would have two sources.
        StorageError: the folder cannot be written.
    """
    before = [path.read_text(encoding="utf-8").rstrip() + "\n"] if path.exists() else []
    _write(path, "\n".join([*before, *(_table(row) for row in rows)]))


def _write(path: Path, text: str) -> None:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:  # a path may hold bytes that are no text
        odd = quoted(error.object[error.start : error.end])
        raise PoolError(
            f"{path}: a manifest must be UTF-8, and a model's path is not ({odd}). Rename the file."
        ) from error
    parse_pool(content, path)  # whoever writes, what stands in the file is a pool
    write_atomically(path, content)


def foreign_rows(path: Path, *, trained: Collection[str], rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Return the models of an existing manifest that were added from elsewhere.

    The contract that stands for all becomes their own. No file, no rows. Left out are what ``rows`` replace, a trained
    model in the folder of its role, and the file that was the source of an earlier plan.

    Args:
        path: of the manifest.
        trained: SHA-256 of every model that was trained for it, those of earlier plans included.
        rows: that will take its place; a file that they name is not foreign.

    Raises:
        PoolError: the file is no manifest.
    """
    if not path.exists():
        return []
    read_pool(path)  # refuses what is no manifest
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    folder, common = path.parent.resolve(), table.get("contract")
    taken = {(folder / row["path"]).resolve() for row in rows}

    def is_foreign(row: ManifestRow) -> bool:
        file = (folder / row["path"]).resolve()
        own = row["role"] == "source" or file.parent == folder / row["role"]
        return file not in taken and not (own and row.get("sha256", "") in trained)

    return [{"contract": common, **row} for row in table["model"] if is_foreign(row)]


def _table(row: ManifestRow) -> str:
    lines = [f"{name} = {_toml(value)}" for name, value in row.items() if value is not None and value != ""]
    return "\n".join(["[[model]]", *lines, ""])


def _toml(value: Any) -> str:  # noqa: ANN401 - what TOML can hold
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in table.items()) + " }"
    if isinstance(value, Path):
        value = value.as_posix()
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and lists of them look the same in TOML
