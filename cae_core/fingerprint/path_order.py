"""The one order in which a suspect is asked when its verdict goes by path ranks; a smaller budget takes a part from it.

The best examples come first: of mixed kinds as the file has them, else those of highest conferrability. Examples and
benign probes come in pairs, each pair in an order of its own, as long as probes are wanted; then examples alone.
Between equals, and among probes, the draws of `cae_core.fingerprint.questions` decide. In the end a part is repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN
from cae_core.fingerprint.questions import (
    MIN_BENIGN,
    MIN_EXAMPLES,
    Question,
    best_places,
    draws,
    queries_for_examples,
    repeats_of,
)

__all__ = ["LEAST_BENIGN", "PathOrder", "path_order"]

LEAST_BENIGN = 10
"""Benign probes that are asked at least, fewer only where the fingerprint carries fewer; at most `MIN_BENIGN` are."""


@dataclass(frozen=True, kw_only=True)
class PathOrder:
    """What may be asked, in its order.

    Attributes:
        first: every image once, benign probes as many as may be wanted.
        again: all of them in the order in which they are chosen to be asked again.
        room: how many of ``first`` the budget allows, their repeats included.
    """

    first: tuple[Question, ...]
    again: tuple[Question, ...]
    room: int

    @property
    def questions(self) -> tuple[Question, ...]:
        """The most that there can be: where a budget ends it, with the fewest probes and so the most examples."""
        later = [question for question in self.first if question.kind == BENIGN][LEAST_BENIGN:]
        spared = set(later[::-1][: len(self.first) - self.room])
        asked = tuple(question for question in self.first if question not in spared)[: self.room]
        return asked + self.repeats(asked)

    def repeats(self, asked: Sequence[Question]) -> tuple[Question, ...]:
        """Return what of the questions ``asked`` is asked again, 5 %."""
        among = set(asked)
        left = [question for question in self.again if replace(question, repeat=False) in among]
        return tuple(left[: repeats_of(len(asked))])


def path_order(
    fingerprint: Fingerprint,
    *,
    suspect_sha256: str,
    nonce: bytes,
    max_queries: int | None = None,
    chosen: NDArray[np.bool_] | None = None,
) -> PathOrder:
    """Return the order; the same arguments give the same one, whatever the budget.

    Args:
        fingerprint: whose examples and probes are asked.
        suspect_sha256: SHA-256 of the suspect's files.
        nonce: decides the order, between examples that are equally good.
        max_queries: budget, repeats included.
        chosen: bool (n,), the examples that may be asked, at least one; None: all.

    Raises:
        OptionError: the budget leaves fewer than 10 examples (or all, where there are fewer) beside the least probes.
    """
    key, places = draws(fingerprint, suspect_sha256=suspect_sha256, nonce=nonce), fingerprint.places
    examples = np.arange(len(fingerprint)) if chosen is None else np.flatnonzero(chosen)
    rows = fingerprint.rows(BENIGN)
    benign = sorted(range(rows.start, rows.stop), key=key)[:MIN_BENIGN]
    swapped = [key(place, "|pair")[0] % 2 == 1 for place in range(len(benign))]
    late = best_places(fingerprint) or (-fingerprint.conferrability).tolist()
    best = sorted(examples.tolist(), key=lambda row: (late[row], key(row)))
    order = _in_pairs(best, benign, swapped)
    again = sorted(order, key=lambda row: key(row, "|again"))
    return PathOrder(
        first=tuple(Question(*places[row], repeat=False) for row in order),
        again=tuple(Question(*places[row], repeat=True) for row in again),
        room=_room(len(order), len(examples), len(benign), max_queries),
    )


def _room(images: int, examples: int, probes: int, max_queries: int | None) -> int:
    if max_queries is None:
        return images
    least = queries_for_examples(min(MIN_EXAMPLES, examples), min(LEAST_BENIGN, probes))
    if max_queries < least:
        raise OptionError(f"--max-queries {max_queries} is too few: a verification takes at least {least} queries.")
    return max(m for m in range(images + 1) if queries_for_examples(m, 0) <= max_queries)


def _in_pairs(examples: list[int], probes: list[int], swapped: list[bool]) -> list[int]:
    """Return both lists in pairs; the one that is longer goes on alone."""
    order: list[int] = []
    for place in range(max(len(examples), len(probes))):
        pair = examples[place : place + 1] + probes[place : place + 1]
        order += pair[::-1] if place < len(swapped) and swapped[place] else pair
    return order
