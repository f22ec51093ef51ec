"""Natural errors of the source as examples: benign images that it gets wrong, unchanged.

They are ranked by what they are worth by their worst group of references (`cae_core.generation.groups`), and the best
are asked again of every member as the search's results are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.fingerprint.example_kinds import NATURAL_ERROR, ExampleKind
from cae_core.generation.acceptance import accept
from cae_core.generation.search import Search
from cae_core.generation.selection import pick
from cae_core.generation.survey import Survey
from cae_core.generation.unperturbed import Unperturbed

__all__ = ["Candidates", "Confirmed", "choose_natural_errors", "confirm"]


@dataclass(frozen=True)
class Candidates:
    """Images that may become examples as they are, the better ones first.

    Attributes:
        kind: of example.
        index: int64 (u,), the places of their seeds in the data set.
        images: uint8 (u, h, w, k).
        original: int64 (u,), a label that is not the source's of them.
        truth: int64 (u,), likewise.
    """

    kind: ExampleKind
    index: Labels
    images: NDArray[np.uint8]
    original: Labels
    truth: Labels


@dataclass(frozen=True)
class Confirmed:
    """What is left of candidates once every member was asked about them again.

    Attributes:
        examples: the accepted ones.
        unconfirmed: how many more there would be, had another implementation of a member's file answered the same.
    """

    examples: Unperturbed
    unconfirmed: int


def choose_natural_errors(search: Search, survey: Survey, most: int) -> Confirmed:
    """Return the ``most`` natural errors of the source that are worth the most, at first within the labels' quota."""
    settings, data = search.settings, search.data
    clear = survey.margin[: survey.errors] >= settings.min_margin
    rows = np.flatnonzero(clear & (survey.worth[: survey.errors] > 0))  # else references repeat it as often
    rows = rows[np.argsort(-survey.worth[rows], kind="stable")]
    labels = survey.source_labels[survey.index[rows]].astype(np.int64)
    wanted = settings.wanted()[NATURAL_ERROR]
    first = pick(labels, wanted, settings.label_cap(wanted))
    order = np.concatenate([first, np.setdiff1d(np.arange(len(rows)), first)])
    index = survey.index[rows][order]
    truth = data.labels[index]
    return confirm(search, Candidates(NATURAL_ERROR, index, data.images[index], truth, truth), most)


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
