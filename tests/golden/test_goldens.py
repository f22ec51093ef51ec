"""Every golden has a case, and every case has one."""

import importlib
import os
from pathlib import Path

from tests.golden.expected import EXPECTED, RECORD, golden_of


def cases() -> set[Path]:
    """Return where all goldens are, by the cases of the modules beside this one."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))
    return {
        golden_of(module.removeprefix("test_"), name)
        for module in modules
        for name in importlib.import_module(f"tests.golden.{module}").CASES
    }


def test_each_golden_belongs_to_a_case() -> None:
    found = set(EXPECTED.rglob("*.txt"))
    if RECORD not in os.environ:
        assert found == cases()
    for path in found - cases():  # where the goldens are written anew, what no case gives any more goes
        path.unlink()
