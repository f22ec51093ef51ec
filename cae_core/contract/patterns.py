"""Contracts of several models in one TOML file: tables ``[[contract]]``, each with the names of its files.

    [[contract]]
    files = "*.onnx"
    layout = "NCHW"
    range = [0, 1]
    output = "logits"

    [[contract]]
    files = ["mobilenet*.onnx", "old/*.onnx"]
    ...

A model has the contract of the last table that names it, as in a ``.gitignore``: so the general ones come first. A
pattern without ``/`` is of the file's name, one with ``/`` of its path from the TOML file's folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from cae_core.contract.fields import Contract
from cae_core.contract.texts import parse_contract, read_table
from cae_core.errors import ContractError, quoted

__all__ = ["FOLDER_CONTRACTS", "Contracts", "read_contracts"]

FOLDER_CONTRACTS = "contracts.toml"
"""The file beside models that is looked into where a model has none of its own."""

_TABLES, _PATTERNS, _LONGEST = 1000, 100, 1000
"""How many tables there may be, patterns in one, and letters in one of these: each is held against each file."""


@dataclass(frozen=True)
class Contracts:
    """The contracts of a file.

    Attributes:
        rules: patterns and the contract of the files that they name, the last one first in rank.
        folder: from which patterns with ``/`` are seen.
    """

    rules: tuple[tuple[tuple[str, ...], Contract], ...]
    folder: Path = Path()

    def of(self, spec: str | os.PathLike[str]) -> Contract | None:
        """Return the contract of a model; None where no pattern names it.

        Example:
            >>> plain = Contract(layout="NHWC", range=(0, 1), output="logits")
            >>> rules = ((("*.onnx",), plain), (("big*", "x/*"), plain.replace(size=(64, 64))))
            >>> [c and c.size for c in map(Contracts(rules).of, ("a/big.onnx", "a/small.onnx", "a.keras"))]
            [(64, 64), None, None]
        """
        path = Path(spec)
        below = Path(os.path.relpath(path, self.folder)).as_posix()
        fitting = [contract for patterns, contract in self.rules if any(_names(p, path.name, below) for p in patterns)]
        return fitting[-1] if fitting else None


def _names(pattern: str, name: str, below: str) -> bool:
    return fnmatchcase(below if "/" in pattern else name, pattern)


def read_contracts(text_or_path: str) -> Contracts:
    """Read the contracts of a TOML file, or of inline TOML: one for all models, or tables with ``files``.

    Raises:
        ContractError: neither a file nor TOML, or a field is wrong.
    """
    where, table, folder = read_table(text_or_path)
    found: Any = table.get("contract", table)
    if not isinstance(found, list):
        if not isinstance(found, dict):
            raise ContractError(f"{where}: contract must be a table, [contract]; found {quoted(found)}.")
        contract = parse_contract(cast("dict[str, Any]", found), origin=where, folder=folder)
        return Contracts(((("*",), contract),))
    tables = cast("list[object]", found)
    if len(tables) > _TABLES:
        raise ContractError(f"{where}: a file has at most {_TABLES} contracts; found {len(tables)}.")
    return Contracts(tuple(_rule(row, where, folder) for row in tables), folder or Path())


def _rule(row: object, where: str, folder: Path | None) -> tuple[tuple[str, ...], Contract]:
    table: Mapping[str, Any] = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    given: Any = table.get("files")
    several = cast("list[object]", given if isinstance(given, list) else [given])
    patterns = [pattern for pattern in several if isinstance(pattern, str) and 0 < len(pattern) <= _LONGEST]
    if not 0 < len(patterns) == len(several) <= _PATTERNS:
        raise ContractError(
            f'{where}: each table [[contract]] says which models it is for, such as files = "resnet*.onnx"; found '
            f"{quoted(several)}."
        )
    fields = {name: value for name, value in table.items() if name != "files"}
    return tuple(patterns), parse_contract(fields, origin=f"{where} ({patterns[0]})", folder=folder)
