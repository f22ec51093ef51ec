"""``python -m tests.mutants [MODULE ...]``: put faults into modules, and print what no test finds."""

import argparse
import sys
import time
from pathlib import Path

from cae_cli.render import print_rows
from tests.mutants.mutating import mutants_of
from tests.mutants.running import Outcome, outcomes
from tests.mutants.table import MODULES, explained

__all__ = ["main", "run"]

_ROOT = Path(__file__).parents[2]
_COLUMNS = ["module", "mutants#", "killed#", "by time#", "survived#", "explained#"]


def main() -> int:
    """Print what survives although nothing says why, and a table; 1 where anything does."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"all where none is named: {', '.join(MODULES)}")
    parser.add_argument("--only", metavar="ID", help="this one alone")
    given = parser.parse_args()
    rows: list[list[str]] = []
    failed = False
    for module in given.modules or MODULES:
        found = run(module, given.only)
        why = explained().get(module, {})
        problems = [
            *(f"survived: {one.mutant}" for one in found if not one.killed and one.mutant.id not in why),
            *(
                f"killed by {one.by}, though explained: {one.mutant}"
                for one in found
                if one.killed and one.mutant.id in why
            ),
        ]
        if not given.only:
            problems += [
                f"explained, and not there: {identity}" for identity in why.keys() - {one.mutant.id for one in found}
            ]
        for problem in problems:
            sys.stdout.write(f"{module}: {problem}\n")
        sys.stdout.flush()
        failed = failed or bool(problems)
        rows.append(_row(module, found, why))
    print_rows(_COLUMNS, rows)
    return int(failed)


def run(module: str, only: str | None = None) -> list[Outcome]:
    """Return what the tests say of each fault in a module, or of one.

    Args:
        module: see `MODULES`.
        only: id of the one; None: all.
    """
    tested, start = MODULES[module], time.monotonic()
    mutants = list(mutants_of((_ROOT / module).read_text(encoding="utf-8"), within=tested.within))
    chosen = [mutant for mutant in mutants if only in (None, mutant.id)]
    found = list(outcomes(module, [module, *(f"tests/{name}" for name in tested.tests)], chosen))
    sys.stderr.write(f"{module}: {len(found)} mutants in {time.monotonic() - start:.0f} s\n")
    return found


def _row(module: str, found: list[Outcome], why: dict[str, str]) -> list[str]:
    survived = [one for one in found if not one.killed]
    counts = (
        len(found),
        len(found) - len(survived),
        sum(one.by == "time" for one in found),
        len(survived),
        sum(one.mutant.id in why for one in survived),
    )
    return [module, *map(str, counts)]


if __name__ == "__main__":
    sys.exit(main())
