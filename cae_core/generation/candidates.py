"""Images that may become examples as they are: in which order they are preferred, and which of them everybody confirms.

They are ranked by what they are worth by their worst group of references (`cae_core.generation.groups`), and the best
are asked again of every member as the search's results are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.fingerprint.example_kinds import ExampleKind
from cae_core.generation.acceptance import accept
from cae_core.generation.search import Search
from cae_core.generation.selection import pick
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.unperturbed import Unperturbed

__all__ = ["Candidates", "Confirmed", "confirm", "preferred"]


@dataclass(frozen=True)
class Candidates:
    """Images that may become examples as they are, the better ones first.

    Attributes:
        kind: of example.
        index: int64 (u,), the places of their seeds in the data set.
        images: uint8 (u, h, w, k).
        original: int64 (u,), a label of each image that is not the source's.
        truth: int64 (u,), the true label of each image.
    """

    kind: ExampleKind
    index: Labels
    images: NDArray[np.uint8]
    original: Labels
    truth: Labels

    def rows(self, rows: Labels) -> "Candidates":
        """Return those at ``rows``, in that order."""
        return Candidates(self.kind, self.index[rows], self.images[rows], self.original[rows], self.truth[rows])


@dataclass(frozen=True)
class Confirmed:
    """What is left of candidates once every member was asked about them again.

    Attributes:
        examples: the accepted ones.
        unconfirmed: how many more there would be, had another implementation of a member's file answered the same.
    """

    examples: Unperturbed
    unconfirmed: int


def preferred(labels: Labels, worth: Floats64, settings: GenerationSettings, kind: ExampleKind) -> Labels:
    """Return the rows of candidates of one kind, int64, in the order of preference.

    First come as many as are wanted, with no label above its quota while others are available, then the rest; those
    that are worth nothing, because references answer them like the source as often as surrogates do, are left out.

    Args:
        labels: int64 (n,), the source's.
        worth: float64 (n,), see `MemberGroups.worth`.
        settings: of the generation.
        kind: of example.
    """
    order = np.argsort(-worth, kind="stable")
    order = order[worth[order] > 0]
    wanted = settings.wanted()[kind]
    first = pick(labels[order], wanted, settings.label_cap(wanted))
    rest = np.setdiff1d(np.arange(len(order)), first)
    return np.asarray(order[np.concatenate([first, rest])], np.int64)


def confirm(search: Search, candidates: Candidates, most: int) -> Confirmed:
    """Return the first ``most`` of ``candidates`` that every member answers as an example is answered.

    The pools' least conferrability is not asked for: the candidates are ranked by what they are worth.
    """
    found, unconfirmed = Unperturbed.none(candidates.images.shape[1:]), 0
    for start in range(0, len(candidates.index), search.settings.batch):
        if len(found) >= most:
            break
        part = slice(start, start + search.settings.batch)
        judged = accept(
            candidates.images[part],
            white_boxes=search.white_boxes,
            ensemble=search.judging,
            original=candidates.original[part],
            ground_truth=candidates.truth[part],
            tau=0,
            min_margin=search.settings.min_margin,
        )
        asked = Unperturbed(
            np.full(len(judged.labels), candidates.kind.code, np.uint8),
            candidates.index[part],
            candidates.images[part],
            judged.labels,
            judged.conferrability,
        )
        found = found.extended(asked.rows(judged.accepted))
        unconfirmed += int(judged.unconfirmed.sum())
    return Confirmed(found.rows(np.arange(min(most, len(found)))), unconfirmed)
