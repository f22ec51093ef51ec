"""The page of reasons and remedies has every one that the code can give, and none that it cannot."""

import ast
import re
from collections.abc import Iterator

import pytest

from cae_core.verification.decision import ASK_ALL, NEITHER_KIND
from tests.documents.pages import ROOT

PAGE = (ROOT / "docs/how-to/inconclusive.md").read_text(encoding="utf-8")
SOURCES = [
    ROOT / "cae_core" / name
    for name in (
        "verification/circumstances.py",
        "verification/decision.py",
        "verification/evasion.py",
        "verification/exchangeability.py",
        "verification/path_decision.py",
        "verification/sequential.py",
        "fingerprint/benign.py",
    )
]

_QUOTED = re.compile(r"(`+)(?P<words>.+?)\1(?!`)")


def sentences(node: ast.AST) -> Iterator[str]:
    """Yield the texts below a node, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from sentences(child)


def told() -> list[str]:
    return [text for path in SOURCES for text in sentences(ast.parse(path.read_text(encoding="utf-8")))]


def quoted() -> list[str]:
    """Return what the tables and the list quote of reasons and remedies."""
    lines = [line for line in PAGE.splitlines() if line.startswith(("| `", "| …", "- `", "- the same", "| the same"))]
    return [found["words"] for line in lines for found in _QUOTED.finditer(line)]


def parts(words: str) -> list[str]:
    return [part.strip(" ,;:.()") for part in words.split("…") if part.strip(" ,;:.()")]


def remedies() -> set[str]:
    """Return the sentences that say what would help: of doubts, and of the functions that give a remedy."""
    found = {ASK_ALL, NEITHER_KIND}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "remedy":
                found.update(sentences(node.value))
            if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["remedy"]:
                found.update(sentences(node.value))
            if isinstance(node, ast.FunctionDef) and node.name in ("_between", "_remedy"):
                body = ast.Module(body=node.body, type_ignores=[])
                found.update(text for text in sentences(body) if text.endswith(".") and text[0].isupper())
    return found - {""}


def test_there_are_remedies_and_quotations() -> None:
    assert len(remedies()) >= 12
    assert len(quoted()) > 30


@pytest.mark.parametrize("remedy", sorted(remedies()))
def test_every_remedy_of_the_code_stands_on_the_page(remedy: str) -> None:
    assert all(part in PAGE for part in parts(remedy)), remedy


@pytest.mark.parametrize("words", [words for words in quoted() if " " in words and not words.startswith("--")])
def test_what_the_page_quotes_is_said_by_the_code(words: str) -> None:
    everything = "\n".join(told())
    assert [part for part in parts(words) if part not in everything] == []
