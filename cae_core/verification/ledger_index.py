"""What a long ledger tells of one suspect, found without reading all of it again for each suspect.

It keeps in memory where the lines of an entry stand, whose they are, and a few of the scores that were told; and reads
from the file what may be of the suspect. Each line is read once, when the ledger has grown.
"""

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cae_core.arrays import Floats64
from cae_core.fingerprint.scores import SAME_MODEL
from cae_core.verification.ledger_lines import Begun, Entry, entry_with, of_suspect, read_line
from cae_core.verification.recorder import Scores

__all__ = ["LedgerIndex"]

_GLANCE = 8
"""Scores that are kept of an entry: those of which its suspect was least certain, which tell models apart."""

_BLOCK = 1 << 22

_MOST_ROWS = 1 << 20
"""A row beyond is no image of a fingerprint, but a damaged line; it is not kept."""

_EARLIER = Entry(begun=Begun(fingerprint="", suspect=""))
"""In the place of an entry that is known, while another line of it is read."""


@dataclass(slots=True)
class _Known:
    """What is kept of an entry.

    Attributes:
        number: of the entry, in the ledger's order.
        fingerprint: id of the fingerprint.
        places: offset and length of each of its lines, one after the other.
    """

    number: int
    fingerprint: str
    places: "array[int]" = field(default_factory=lambda: array("q"))


class LedgerIndex:
    """An index of one ledger, for one process that verifies many suspects.

    Args:
        path: the ledger; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read, self._lines = 0, 0
        self._entries: dict[str, _Known] = {}
        self._order: list[str] = []
        self._of_suspect: dict[str, list[int]] = {}
        self._rows = np.full((64, _GLANCE), -1, np.int32)
        self._scores = np.full((64, _GLANCE), np.nan)

    def update(self) -> None:
        """Read what was added to the ledger; a line that is not ended yet is left for the next time.

        Raises:
            OSError: it cannot be read.
        """
        with self._path.open("rb") as file:
            self.update_from(file)

    def update_from(self, file: BinaryIO) -> None:
        """Do the same with the open ledger."""
        file.seek(self._read)
        rest = b""
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._take(line)

    def before(self, identity: str, begun: Begun, scores: Scores) -> tuple[Entry, ...]:
        """Return those entries before one that `of_suspect` finds, in their order.

        Args:
            identity: of the entry before which they stand.
            begun: what it says.
            scores: that its suspect has told so far.
        """
        until = self._entries[identity].number if identity in self._entries else len(self._order)
        with self._path.open("rb") as file:
            read: dict[int, Entry] = {}

            def entry(number: int) -> Entry | None:
                if number not in read and (found := self._entry(file, number)) is not None:
                    read[number] = found
                return read.get(number)

            files, told = {begun.suspect}, [(begun.fingerprint, scores)] if scores else []
            seen: set[int] = set()
            while more := self._candidates(files, told, until) - seen:
                seen |= more
                found = [one for number in more if (one := entry(number)) is not None]
                files |= {one.begun.suspect for one in found}
                told += [(one.begun.fingerprint, one.scores) for one in found if one.scores]
        return of_suspect((read[number] for number in sorted(read)), begun, scores)

    def _candidates(self, files: set[str], told: list[tuple[str, Scores]], until: int) -> set[int]:
        """Return the numbers of entries that may be of a suspect with one of these files or scores."""
        by_file = {number for suspect in files for number in self._of_suspect.get(suspect, ()) if number < until}
        return by_file.union(*(self._alike(fingerprint, scores, until) for fingerprint, scores in told))

    def _alike(self, fingerprint: str, scores: Scores, until: int) -> set[int]:
        """Return the entries whose kept scores do not differ from these, as far as both were told."""
        own = _dense(scores, int(self._rows[:until].max(initial=0)))
        found = np.flatnonzero(self._rows[:until, 0] >= 0)
        for column in range(_GLANCE):  # after the first hardly any are left
            rows = self._rows[found, column]
            told = np.where(rows >= 0, own[rows], np.nan)
            found = found[~(np.abs(told - self._scores[found, column]) > 2 * SAME_MODEL)]
        return {n for n in map(int, found) if self._entries[self._order[n]].fingerprint == fingerprint}

    def _entry(self, file: BinaryIO, number: int) -> Entry | None:
        entry: Entry | None = None
        places = self._entries[self._order[number]].places
        for place, length in zip(places[::2], places[1::2], strict=True):
            file.seek(place)
            entry = entry_with(entry, read_line(file.read(length), number)[1])
        return entry

    def _take(self, line: bytes) -> None:
        """Take a line that is ended."""
        place, number = self._read, self._lines
        self._read, self._lines = place + len(line) + 1, number + 1
        identity, told = read_line(line, number)
        known = self._entries.get(identity)
        before = None if known is None else _EARLIER
        entry = entry_with(before, told)
        if entry is None or entry is before:
            return
        known = known or self._new(identity, entry.begun)
        known.places.extend((place, len(line)))
        if entry.scores:
            own = (row for row in entry.scores if 0 <= row < _MOST_ROWS)
            rows = sorted(own, key=lambda row: entry.scores[row])[:_GLANCE]
            self._rows[known.number, : len(rows)] = rows
            self._scores[known.number, : len(rows)] = [entry.scores[row][1] for row in rows]

    def _new(self, identity: str, begun: Begun) -> _Known:
        number = len(self._order)
        known = self._entries[identity] = _Known(number=number, fingerprint=begun.fingerprint)
        self._order.append(identity)
        self._of_suspect.setdefault(begun.suspect, []).append(number)
        if number == len(self._rows):
            self._rows = np.concatenate([self._rows, np.full_like(self._rows, -1)])
            self._scores = np.concatenate([self._scores, np.full_like(self._scores, np.nan)])
        return known


def _dense(scores: Scores, largest: int) -> Floats64:
    """Return the second score of each row up to the ``largest``, float64 (largest + 1,); NaN where none was told."""
    own = np.full(largest + 1, np.nan)
    for row, (_, second) in scores.items():
        if 0 <= row <= largest:
            own[row] = second
    return own
