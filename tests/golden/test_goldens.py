"""Every golden has a case, and every case has one."""

import importlib
import os
from pathlib import Path

import pytest

from tests.golden.expected import EXPECTED, RECORD


@pytest.mark.skipif(RECORD in os.environ, reason="the goldens are being written")
def test_each_golden_belongs_to_a_case() -> None:
    found = {str(path.relative_to(EXPECTED)) for path in EXPECTED.rglob("*.txt")}
    cases: set[str] = set()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem != Path(__file__).stem:
            module = importlib.import_module(f"tests.golden.{path.stem}")
            cases |= {f"{path.stem.removeprefix('test_')}/{name}.txt" for name in module.CASES}
    assert found == cases
