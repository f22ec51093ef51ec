"""What an installation consists of, and under which licences: from the declaration, and from what is installed."""

import tomllib
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cae_cli.checkup import words_of_extras
from cae_site.tables import code, table

__all__ = ["PROJECT", "declared", "extras", "licence", "versions"]

PROJECT = Path(__file__).parents[3] / "pyproject.toml"

_LONGEST = 60
"""Some packages give the whole text of their licence where its name belongs."""


def declared() -> dict[str, list[Requirement]]:
    """Return what the project requires: under "" always, else with that extra; not what its own work takes."""
    project: dict[str, Any] = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [Requirement(line) for line in lines] for name, lines in groups.items() if name not in ("dev", "all")}


def extras() -> str:
    """Return the table of all packages by extra, with the licence that each declares."""
    words = {"": "every installation", **words_of_extras()}
    rows = [
        (code(extra) or "always", words.get(extra, ""), code(each.name), licence(each.name))
        for extra, group in declared().items()
        for each in group
    ]
    return table(["extra", "for", "package", "licence"], rows)


def versions() -> str:
    """Return the table of versions that are allowed."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    rows = [("always", "Python", code(project["requires-python"]), "")]
    for extra, group in declared().items():
        rows += [
            (code(extra) or "always", code(each.name), code(str(each.specifier)), code(str(each.marker or "")))
            for each in group
        ]
    return table(["extra", "package", "versions", "where"], rows)


def licence(package: str) -> str:
    """Return what the installed package says of its licence; "not installed here" where it is not."""
    try:
        found = metadata(package)
    except PackageNotFoundError:
        return "not installed here"
    return _expression(found) or "not declared"


def _expression(found: PackageMetadata) -> str:
    expressions = found.get_all("License-Expression") or []
    if expressions:  # the newest field, made for this, and as long as it has to be
        return str(expressions[0])
    stated = [text.strip() for text in found.get_all("License") or []]
    short = [text for text in stated if text and "\n" not in text and len(text) <= _LONGEST]
    classified = [
        line.rsplit(" :: ", 1)[-1] for line in found.get_all("Classifier") or [] if line.startswith("License :: ")
    ]
    return short[0] if short else ", ".join(classified)
