"""What stands beside the code and would need syncing by hand: the citation's version, the targets that are named."""

import re
from pathlib import Path
from typing import Any

import pytest

from cae_core import version

ROOT = Path(__file__).parents[2]


def test_the_citation_is_of_this_release() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.+)$", text, re.MULTILINE) == [version.__version__]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", ".ci/run", ".github/workflows/ci.yml"])
def test_a_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named: list[Any] = re.findall(
        r"(?:`|run: |^)make ([a-z][a-z -]*?)(?:`| {2,}|$)", (ROOT / name).read_text(), re.MULTILINE
    )
    found = {target for words in named for target in words.split()}
    assert found
    assert found <= targets


def test_no_line_of_a_page_on_the_project_is_broken_within_a_sentence() -> None:
    """One sentence a line, so that diffs can be read."""
    for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines():
        if line and not line.startswith(("#", "```", "make ")):
            assert line.rstrip()[-1] in ".:)", line
