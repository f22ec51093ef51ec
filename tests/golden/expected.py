"""The texts in ``expected``: compared, or written anew."""

import os
from difflib import unified_diff
from pathlib import Path

import pytest

__all__ = ["EXPECTED", "RECORD", "check_golden"]

EXPECTED = Path(__file__).parent / "expected"

RECORD = "CAE_RECORD_GOLDENS"
"""The variable of the environment that has the goldens written anew; `python -m tests.golden` sets it."""

_MOST_LINES = 200


def check_golden(name: str, found: str) -> None:
    """Compare ``found`` with the golden ``name``, such as ``verdicts/copy``; or write it where that is asked for."""
    path = EXPECTED / f"{name}.txt"
    if os.environ.get(RECORD):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found, encoding="utf-8", newline="\n")
        return
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if found != expected:
        names = (f"{name}, expected", f"{name}, found")
        lines = list(unified_diff(expected.split("\n"), found.split("\n"), *names, lineterm=""))
        more = [f"... and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
        difference = "\n".join([*lines[:_MOST_LINES], *more])
        pytest.fail(f"{difference}\nIf this is meant to be so: python -m tests.golden", pytrace=False)
