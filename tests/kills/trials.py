"""Killing one command again and again, running it to the end, and looking at what is there then."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.verification.ledger import ledger_of
from cae_core.verification.ledger_lines import read_entries
from tests.kills.commands import COMMANDS, Command
from tests.kills.site import Run, Site

__all__ = ["Tally", "kill_often"]

_MOST_IN_A_ROW = 3
_OUTCOMES = (3, 4)
"""Exit codes of a judgement that finds nothing for the claimant, or cannot judge."""


@dataclass
class Tally:
    """What was counted of one command.

    Attributes:
        command: its name.
        trials: how often it was run to the end after some kills.
        kills: how often it, or a worker, was killed.
        moments: of these, at which points.
        done_already: trials in which the killed run had done all.
        asked: kills after the suspect had been asked.
        untraced: of these, of which the ledger does not say that something was asked.
        problems: everything that was not as it should be.
    """

    command: str
    trials: int = 0
    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter[str])
    done_already: int = 0
    asked: int = 0
    untraced: int = 0
    problems: list[str] = field(default_factory=list[str])


def kill_often(site: Site, name: str, kills: int, rng: np.random.Generator, *, at: tuple[str, ...] = ()) -> Tally:
    """Kill the command ``name`` until there are ``kills``; every second time at random, else at a chosen point.

    Args:
        site: where.
        name: of `COMMANDS`.
        kills: how many there are to be.
        rng: chooses the moments.
        at: the points to choose from; none: all that the command reaches.
    """
    return _Killing(site, name, rng).until(kills, at)


class _Killing:
    def __init__(self, site: Site, name: str, rng: np.random.Generator) -> None:
        self.site, self.rng, self.tally = site, rng, Tally(name)
        self.command: Command = COMMANDS[name]
        folder = site.trial(f"{_plain(name)}-undisturbed")
        whole = site.run(folder, self.command.arguments, at="count")
        assert whole.code in (0, *_OUTCOMES), whole.errors
        self.code = whole.code
        self.points = [(point, n) for point, often in sorted(whole.counts.items()) for n in range(1, often + 1)]
        self.expected: Any = self.command.result(folder, whole.out)
        self.files = _files(folder)
        self.seconds = 1.0

    def until(self, kills: int, at: tuple[str, ...]) -> Tally:
        self.points = [chosen for chosen in self.points if not at or chosen[0] in at]
        while self.tally.kills < kills and self.tally.trials < 4 * kills + 10:
            self._trial(int(self.rng.integers(1, _MOST_IN_A_ROW + 1)), chosen=bool(at))
        return self.tally

    def _trial(self, kills: int, *, chosen: bool) -> None:
        folder = self.site.trial(_plain(self.tally.command))
        self.tally.trials += 1
        told: list[str] = []
        asked = 0
        for number in range(kills):
            run, moment = self._killed(folder, chosen=chosen or (self.tally.trials + number) % 2 == 0)
            if not run.killed:
                break
            told.append(moment)
            self.tally.kills += 1
            self.tally.moments[moment.partition(":")[0]] += 1
            if self.command.asks and run.asked:
                asked += 1
                self.tally.untraced += asked > _traces(folder)
        self.tally.asked += asked
        last = self.site.run(folder, self.command.arguments)
        for problem in self._problems_of(folder, last):
            self.tally.problems.append(f"{folder.name}, killed at {', '.join(told) or 'nothing'}: {problem}")

    def _killed(self, folder: Path, *, chosen: bool) -> tuple[Run, str]:
        """Run the command and kill it; return what became of it, and when it was to be killed."""
        if not chosen:
            after = float(self.rng.uniform(0.05, self.seconds))
            run = self.site.run(folder, self.command.arguments, after=after)
            # so that nearly all moments are within a run, whatever else the machine does
            self.seconds = min(20.0, self.seconds * (1.05 if run.killed else 0.8))
            return run, "time"
        point, number = self.points[int(self.rng.integers(len(self.points)))]
        at = f"{point}:{number}:{self.rng.choice(['before', 'after'])}"
        return self.site.run(folder, self.command.arguments, at=at), at

    def _problems_of(self, folder: Path, last: Run) -> list[str]:
        done_already = bool(self.command.done_already) and self.command.done_already in last.errors
        self.tally.done_already += done_already
        if last.code != self.code and not done_already:
            return [f"run again, it ends with {last.code}: {last.errors.strip()[-300:]}"]
        found: list[str] = []
        try:
            result = self.command.result(folder, last.out)
        except (OSError, ValueError, AssertionError) as error:
            return [f"no result: {error!r}"]
        if result != self.expected:
            found.append(f"another result: {result}")
        if left := sorted(_files(folder) - self.files):
            found.append(f"left behind: {left}")
        if lost := sorted(self.files - _files(folder)):
            found.append(f"missing: {lost}")
        if temporary := sorted(path.name for path in self.site.scratch(folder).iterdir()):
            found.append(f"temporary folders left: {temporary}")
        return found


def _traces(folder: Path) -> int:
    """Return of how many verifications the ledger says that something was asked, whether or not they were finished."""
    ledger = ledger_of(folder / "fixed.safetensors")
    return sum(bool(entry.examples) for entry in read_entries(ledger.read_bytes())) if ledger.exists() else 0


def _plain(name: str) -> str:
    return name.replace(" ", "-")


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
