"""``python -m tests.kills [--kills N] [--command NAME]``: kill commands, run them again, and print what was found."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cae_cli.render import print_rows
from tests.kills.commands import COMMANDS
from tests.kills.site import Site
from tests.kills.trials import Tally, kill_often

_COLUMNS = ["command", "trials#", "kills#", "at a random moment#", "done already#", "asked#", "untraced#", "problems#"]


def main() -> int:
    """Kill each command ``--kills`` times; 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--command", action="append", choices=[*COMMANDS], help="repeatable; all by default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        for name in options.command or COMMANDS:
            start = time.monotonic()
            tallies.append(kill_often(site, name, options.kills, np.random.default_rng(options.seed)))
            sys.stderr.write(f"{name}: {tallies[-1].kills} kills in {time.monotonic() - start:.0f} s\n")
    print_rows(_COLUMNS, [_row(tally) for tally in tallies])
    for tally in tallies:
        for problem in tally.problems:
            sys.stdout.write(f"{problem}\n")
    return int(any(tally.problems or tally.untraced or tally.kills < options.kills for tally in tallies))


def _row(tally: Tally) -> list[str]:
    counts = (tally.trials, tally.kills, tally.moments["time"], tally.done_already, tally.asked, tally.untraced)
    return [tally.command, *map(str, counts), str(len(tally.problems))]


if __name__ == "__main__":
    sys.exit(main())
