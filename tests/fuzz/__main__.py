"""``python -m tests.fuzz [READER ...] [--cases N] [--seed N] [--case K] [--direct]``."""

import argparse
import sys
import time

from tests.fuzz.readers.models import can_contain
from tests.fuzz.readers.table import READERS, find_reader
from tests.fuzz.table import Tally, rendered
from tests.fuzz.watching import PARENT, Result, watch

__all__ = ["main"]

_SHOWN = 5


def main() -> None:
    """Run cases, print what fails as it fails, and a table at the end; 1 where anything did."""
    given = _arguments()
    tallies = dict[str, Tally]()
    for name in given.readers or READERS:
        began = time.monotonic()
        tallies[name] = _tally(name, given)
        passed = time.monotonic() - began
        sys.stderr.write(f"{name}: {tallies[name].kinds.total()} cases in {passed:.0f} s\n")
    if given.case is None:
        sys.stdout.write("\n".join(("", *rendered(tallies), "")))
    sys.exit(any(tally.faults for tally in tallies.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Give broken files to every reader.")
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"all where none is named: {', '.join(READERS)}")
    parser.add_argument("--cases", type=int, default=300, help="of each reader; a tenth of them of a heavy one")
    parser.add_argument("--seed", type=int, default=1, help="decides every case")
    parser.add_argument("--case", help="run this one alone: a number, or the name of a failure of the past")
    parser.add_argument("--past", action="store_true", help="run the failures of the past and the valid files instead")
    parser.add_argument("--direct", action="store_true", help="open models in the reading process itself: faster")
    return parser.parse_args()


def _tally(name: str, given: argparse.Namespace) -> Tally:
    reader, tally = find_reader(name), Tally()
    cases: list[int | str] = list(range(given.cases // 10 if reader.heavy else given.cases))
    if given.past:
        cases = [*reader.failures, *reader.valid]
    if given.case is not None:
        cases = [int(given.case) if given.case.isdecimal() else given.case]
    contained = reader.containable and can_contain() and not given.direct
    for result in watch(
        name, cases, seed=given.seed, memory=PARENT if contained else reader.memory, contained=contained
    ):
        tally.add(result)
        if given.case is not None or (result in tally.faults and len(tally.faults) <= _SHOWN):
            _show(name, result)
    return tally


def _show(name: str, result: Result) -> None:
    found = result.outcome
    sys.stdout.write(f"{name} {result.case}: {found.kind}: {found.detail!a}\n    {result.what!a}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
