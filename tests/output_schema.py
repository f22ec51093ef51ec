"""Outputs held against their definitions: what any test has `cae` print with ``--json``, and what it writes of a scan.

The first output of each definition is also changed in every way that its definition must notice, see `check_changes`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

__all__ = ["SCHEMA", "check_changes", "check_output", "check_value", "definition_of", "validator_of"]

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "cli/cae_cli/schema.json").read_text())

OPEN = frozenset({"configurations", "contract", "data", "generation", "images", "options", "table"})
"""Names of objects that may hold what no definition lists; of the options it is a scan's first line."""

_OTHER: list[list[str]] = [["of another type"]]
"""Of a type that no field has."""


def check_output(arguments: Sequence[str], out: str) -> None:
    """Hold what `cae` printed against its definition; a scan's file likewise.

    Args:
        arguments: of the command line.
        out: what stood on stdout; empty where the command failed.
    """
    if "--json" in arguments and out:
        check_value(definition_of(arguments), json.loads(out))
    if arguments[:1] == ["scan"] and "--output" in arguments:
        file = Path(arguments[arguments.index("--output") + 1])
        if file.is_file() and file.read_bytes().startswith(b'{"scan": 1, '):
            check_scan(file)


def check_scan(file: Path) -> None:
    """Hold the lines of a scan's file against their definitions; a last line may be cut short."""
    lines = file.read_text().split("\n")[:-1]
    for name, line in zip(["scan-head", *["scan-line"] * len(lines)], lines, strict=False):
        check_value(name, json.loads(line))


def check_value(name: str, value: Mapping[str, Any]) -> None:
    """Hold one output against the definition of this name."""
    found = [f"{error.json_path}: {error.message[-400:]}" for error in validator_of(name).iter_errors(value)]
    assert not found, (name, found[:5])
    if name not in _CHANGED:
        _CHANGED.add(name)
        check_changes(name, value)


_CHANGED: set[str] = set()


def definition_of(arguments: Sequence[str]) -> str:
    """Return the name of what a command line prints."""
    command, second = arguments[0], (*arguments, "")[1]
    special = {
        ("verify", "--dry-run"): "verify-plan",
        ("calibrate", "--plan"): "calibrate-plan",
        ("generate", "--queries"): "generate-from-log",
        ("compare", "--list"): "compare-methods",
        ("study", "--dry-run"): "study-plan",
    }
    for (name, option), definition in special.items():
        if name == command and option in arguments:
            return definition
    return {("pool", "train"): "pool-train", ("study", "list"): "study-list"}.get((command, second), command)


@cache
def validator_of(name: str) -> Draft202012Validator:
    """Return the validator of one definition."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def check_changes(name: str, value: Mapping[str, Any]) -> None:
    """Assert that the definition refuses ``value`` without a field, with one of another type, and with one more.

    Any object may be given another field wherever it stands, but those of `OPEN`; the first item of a list stands for
    all.
    """
    validator = validator_of(name)
    for field in value:
        assert not validator.is_valid({**value, field: _OTHER}), (name, field, "of another type")
        smaller = {key: item for key, item in value.items() if key != field}
        assert field in _optional(name) or not validator.is_valid(smaller), (name, field, "left out")
    for place, larger in _enlarged(value):
        assert not validator.is_valid(larger), (name, place, "one more field")


def _optional(name: str) -> set[str]:
    definition, required = SCHEMA["$defs"][name], set[str]()
    fields = set(definition.get("properties", ()))
    for part in (definition, *definition.get("oneOf", ()), SCHEMA["$defs"]["verdict-fields"]):
        if part is definition or "$ref" in definition or "oneOf" in definition:
            required |= set(part.get("required", ()))
            fields |= set(part.get("properties", ()))
    return fields - required


def _enlarged(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - whatever JSON holds
    """Yield ``value`` with another field in one of the objects in it, for each of them."""
    if isinstance(value, Mapping):
        yield place, {**value, "surprise": _OTHER}
        for key, item in value.items():
            if key not in OPEN:
                yield from ((where, {**value, key: larger}) for where, larger in _enlarged(item, f"{place}/{key}"))
    elif isinstance(value, list) and value:
        yield from ((where, [larger, *value[1:]]) for where, larger in _enlarged(value[0], f"{place}/0"))
