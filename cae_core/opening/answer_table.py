"""A file of recorded answers, as a child process reads it: somebody else's table, so that nothing of it is believed.

CSV with a header line, or JSON Lines. Each row names the export, a file of it, and the label: the number of a class or
its name; nothing, or -1, for no answer. Further columns are passed over.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from cae_core.arrays import Labels
from cae_core.errors import DataError, quoted
from cae_core.models import NO_ANSWER
from cae_core.reading import check_depth, read_limited, reading

__all__ = ["COLUMNS", "SUFFIXES", "AnswerTable", "read_answers"]

SUFFIXES = (".csv", ".jsonl")
"""Of a file of recorded answers."""

COLUMNS = ("export", "file", "label")

_LARGEST = 1 << 26
"""Bytes at most; a row of an export has a hundred."""

_MOST_ROWS = 1 << 20

_WHOLE = re.compile(r"\s*([+-]?\d{1,9})(?:\.0*)?\s*", re.ASCII)
"""A number as people and spreadsheets write one."""


@dataclass(frozen=True, kw_only=True)
class AnswerTable:
    """What came back.

    Attributes:
        origin: the file, for messages.
        export: the id that every row names.
        given: the label of each file, as it was written, by the file's name without its folder.
    """

    origin: str
    export: str
    given: Mapping[str, object]

    def labels(self, names: Sequence[str], classes: Sequence[str]) -> Labels:
        """Return the label of each of ``names``, int64 (n,); `NO_ANSWER` where there is none.

        Args:
            names: of the files of the export.
            classes: names of the classes in their order.

        Raises:
            DataError: a row names another file, or a class that there is not.
        """
        if unknown := sorted(set(self.given) - set(names)):
            raise DataError(
                f"{self.origin}: it answers for {quoted(unknown[0])}, which is no file of this export. Give back the "
                "rows of its index.csv, and no others."
            )
        return np.array([self._label(name, classes) for name in names], np.int64)

    def _label(self, name: str, classes: Sequence[str]) -> int:
        told = self.given.get(name)
        found = _number(told, classes)
        if found is None or not NO_ANSWER <= found < len(classes):
            raise DataError(
                f"{self.origin}: the label of {name} must be a number from 0 to {len(classes) - 1} or the name of a "
                f"class, as classes.csv of the export lists them; found {quoted(told)}."
            )
        return found


def _number(told: object, classes: Sequence[str]) -> int | None:
    """Return the label that is meant; None where none is. A number wins over a class that is called like one."""
    if told is None or (isinstance(told, str) and not told.strip()):
        return NO_ANSWER
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    if isinstance(told, float):
        return int(told) if told.is_integer() else None
    if not isinstance(told, str):
        return None
    if whole := _WHOLE.fullmatch(told):
        return int(whole[1])
    name = told.strip()
    return classes.index(name) if name in classes else None


def read_answers(path: Path) -> AnswerTable:
    """Read a file of recorded answers.

    Raises:
        DataError: it is none, of several exports, or answers twice for a file.
    """
    with reading(
        path,
        DataError,
        fault="these are no recorded answers",
        remedy="Give the index.csv of the export with its column label filled in, as CSV in UTF-8 or as JSON Lines.",
    ):
        text = read_limited(path, _LARGEST).decode("utf-8-sig")
        rows = _rows_of_json(text) if path.suffix.lower() == ".jsonl" else _rows_of_csv(text)
        return _table(str(path), rows)


def _table(origin: str, rows: Iterator[Mapping[str, object]]) -> AnswerTable:
    given: dict[str, object] = {}
    exports: set[str] = set()
    for number, row in enumerate(rows, start=1):
        if number > _MOST_ROWS:
            raise ValueError(f"more than {_MOST_ROWS} rows")
        if lacking := [name for name in COLUMNS if name not in row]:
            raise ValueError(f"row {number} has no {lacking[0]}; a row has {', '.join(COLUMNS)}")
        name = str(row["file"]).strip().replace("\\", "/").rpartition("/")[2]
        if name in given:
            raise ValueError(f"it answers twice for {quoted(name)}")
        given[name] = row["label"]
        exports.add(str(row["export"]).strip())
    if len(exports) != 1:
        raise ValueError(f"its rows name {len(exports)} exports, and one is answered at a time")
    return AnswerTable(origin=origin, export=exports.pop(), given=given)


def _rows_of_csv(text: str) -> Iterator[Mapping[str, object]]:
    import csv

    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets write what their language uses
    for row in csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True):
        if None in row:
            raise ValueError("a row has more cells than the header line")
        yield {str(name).strip().lower(): value for name, value in cast("dict[str, object]", row).items()}


def _rows_of_json(text: str) -> Iterator[Mapping[str, object]]:
    for line in text.split("\n"):
        if not line.strip():
            continue
        row: Any = json.loads(line)
        check_depth(row)
        if not isinstance(row, dict):
            raise TypeError("a line is no JSON object")
        yield cast("dict[str, object]", row)
