"""The texts in ``expected``: compared, or written anew."""

import os
import re
from difflib import unified_diff
from pathlib import Path

import pytest

__all__ = ["EXPECTED", "RECORD", "check_golden", "golden_of"]

EXPECTED = Path(__file__).parent / "expected"

RECORD = "CAE_RECORD_GOLDENS"
"""The variable of the environment that has the goldens written anew; `python -m tests.golden` sets it."""

_MOST_LINES = 200


def golden_of(concept: str, case: str) -> Path:
    """Return where a case's text is kept, such as ``verdicts/akh-stranger.txt``."""
    return EXPECTED / concept / (re.sub(r"[^a-z0-9]+", "-", case.lower()) + ".txt")


def check_golden(concept: str, case: str, found: str) -> None:
    """Compare ``found`` with the case's golden; or write it where that is asked for."""
    path = golden_of(concept, case)
    if os.environ.get(RECORD):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found, encoding="utf-8", newline="\n")
        return
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    if found != expected:
        names = (f"{concept}, {case}: expected", f"{concept}, {case}: found")
        lines = list(unified_diff(expected.split("\n"), found.split("\n"), *names, lineterm=""))
        more = [f"... and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
        difference = "\n".join([*lines[:_MOST_LINES], *more])
        pytest.fail(f"{difference}\nIf this is meant to be so: python -m tests.golden", pytrace=False)
