"""The faults that are put in, and that the tests are run against each; ``make mutants`` does it for whole modules."""

import pytest

from tests.mutants.__main__ import run
from tests.mutants.mutating import mutants_of

SOURCE = '''"""A module."""

import math
from typing import cast

__all__ = ["half"]

LIMIT = 3


class Half:
    """Of a number."""

    @property
    def of(self) -> float:
        """Half of it, at most."""
        if self.number > LIMIT:
            raise ValueError(f"too large: {self.number + 1}")
        return cast("float", self.number / 2)


def said(x: "int | None" = None) -> str:
    return f"half {x}"
'''


def changes(source: str, **options: tuple[str, ...]) -> set[tuple[str, str, str]]:
    return {(mutant.scope, mutant.before, mutant.after) for mutant in mutants_of(source, **options)}


def test_whatever_runs_is_changed_and_nothing_else() -> None:
    assert changes(SOURCE) == {
        ("", "LIMIT = 3", "LIMIT = None"),
        ("", "3", "4"),
        ("Half.of", "self.number > LIMIT", "not (self.number > LIMIT)"),
        ("Half.of", "> LIMIT", ">= LIMIT"),
        ("Half.of", 'raise ValueError(f"too large: {self.number + 1}")', "pass"),
        ("Half.of", "self.number / 2", "self.number * 2"),
        ("Half.of", "2", "3"),
        ("said", "half", "XXhalf"),
    }


def test_some_functions_alone() -> None:
    assert {scope for scope, *_ in changes(SOURCE, within=("Half",))} == {"Half.of"}
    assert changes(SOURCE, within=("Hal",)) == set()


def test_a_fault_stands_in_the_module_that_is_run() -> None:
    mutants = {mutant.after: mutant.source for mutant in mutants_of(SOURCE)}
    assert mutants[">= LIMIT"] == SOURCE.replace("> LIMIT", ">= LIMIT")
    assert mutants["pass"] == SOURCE.replace('raise ValueError(f"too large: {self.number + 1}")', "pass")


def test_its_id_stays_where_other_lines_change() -> None:
    before = {mutant.id for mutant in mutants_of(SOURCE)}
    assert len(before) == len(list(mutants_of(SOURCE)))
    assert before < {mutant.id for mutant in mutants_of(SOURCE.replace("LIMIT = 3", "LIMIT = 3\nOTHER = 4"))}


@pytest.mark.slow
def test_the_tests_are_run_against_each() -> None:
    found = run("cae_core/verification/deciding_score.py")
    assert len(found) > 9
    assert [str(one.mutant) for one in found if not one.killed] == []
    assert {one.by.partition("::")[0] for one in found} == {"tests/core/verification/test_options.py"}
