"""A test that a page names, `pytest tests/... -k ...`, is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.pages import ROOT, pages

_COMMAND = re.compile(r"`pytest ((?:tests/[\w/.]+ ?)+)(?:-m long)?(?:-k (\"[^\"]*\"|\w+))?`")


def named() -> list[tuple[str, str, str]]:
    """Return page, paths and words of each command that stands in a line of text."""
    return [
        (page, found[1].strip(), found[2] or "")
        for page in pages()
        for found in _COMMAND.finditer((ROOT / page).read_text(encoding="utf-8"))
    ]


def names_in(path: Path) -> Iterator[str]:
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


def test_pages_name_tests() -> None:
    assert len(named()) > 20


@pytest.mark.parametrize(("page", "paths", "words"), named())
def test_each_of_them_is_there(page: str, paths: str, words: str) -> None:
    names = [name for path in paths.split() for name in names_in(ROOT / path)]
    assert names, page
    for word in words.strip('"').split(" or "):  # each of them finds something
        assert any(word in name for name in names), word
