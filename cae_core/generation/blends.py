"""Blends as examples: two benign images put together, to which the source gives a label that is neither's.

Such images are many and cheap, nobody was trained on them, and what a model makes of them is its own. Half of the
candidates are cut-mixes, a rectangle of one image in the other (Yun et al., "CutMix", ICCV 2019), half are weighted
means (Zhang et al., "mixup", ICLR 2018). The source is asked about all of them, the pools only about those that it
gives a third label; then they are ranked as natural errors are.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.dataset import ImageSet
from cae_core.fingerprint.example_kinds import BLEND
from cae_core.generation.candidates import Candidates, Confirmed, confirm, preferred
from cae_core.generation.probes import benign_places
from cae_core.generation.search import Search
from cae_core.generation.survey import PoolAnswers, ask_pool, ask_source
from cae_core.generation.unperturbed import Unperturbed
from cae_core.progress import StageProgress, silent

__all__ = ["blend_pairs", "choose_blends", "draw_pairs"]

_FEWEST, _MOST = 64, 120
"""Of 256 parts of a blend, those that the second image gives: never as many as the first."""

_ASKED_PER_EXAMPLE, _ASKED_AT_LEAST = 40, 1000
"""Blends about which the pools are asked, those of which the source is the surest: so many for each example that is
wanted, or this number."""


@dataclass(frozen=True)
class _Found:
    """Blends with a third label, and the source's labels of them."""

    candidates: Candidates
    labels: Labels


def choose_blends(search: Search, most: int, *, without: Labels, progress: StageProgress = silent) -> Confirmed:
    """Return the ``most`` blends that are worth the most, at first within the labels' quota.

    Args:
        search: of the generation.
        most: how many are wanted; 0: nobody is asked.
        without: places in the data set of images that are not used, such as the benign probes.
        progress: called with the models done and in total.

    Raises:
        PoolError: a member answers with other class counts.
        ModelError: a member answers without probabilities.
    """
    pairs = draw_pairs(search.data, search.settings.blend_candidates, seed=search.settings.seed, without=without)
    none = Confirmed(Unperturbed.none(search.data.images.shape[1:]), 0)
    if not most or not len(pairs):
        return none
    found = _with_third_label(search, pairs, progress)
    if not len(found.labels):
        return none
    progress(1, len(search.white_boxes.models))
    candidates = found.candidates
    asked = ImageSet(candidates.images, candidates.truth, search.data.class_names)

    def ask(relation: Literal["surrogates", "references"]) -> PoolAnswers:
        return ask_pool(search.white_boxes, relation, asked, found.labels, progress=progress)

    worth = search.white_boxes.groups.worth(ask("surrogates").given, ask("references").given)
    return confirm(search, candidates.rows(preferred(found.labels, worth, search.settings, BLEND)), most)


def draw_pairs(data: ImageSet, count: int, *, seed: int, without: Labels) -> Labels:
    """Draw pairs of images of different classes, of those that nobody was trained on where they are known.

    Args:
        data: labelled images.
        count: how many pairs are drawn; fewer are left, since pairs of one class are dropped.
        seed: of the generation.
        without: places in the data set of images that are not used.

    Returns:
        int64 (p, 2), places in the data set.
    """
    free = np.setdiff1d(benign_places(data), without)
    # another stream than those of the order, the probes, the informing errors and the images that are asked
    drawn = np.random.default_rng([seed, 4]).integers(0, max(len(free), 1), (count if len(free) else 0, 2))
    pairs = free[drawn]
    return np.asarray(pairs[data.labels[pairs[:, 0]] != data.labels[pairs[:, 1]]], np.int64)


def blend_pairs(images: NDArray[np.uint8], pairs: Labels, *, seed: int) -> NDArray[np.uint8]:
    """Put the images of each pair together: those at even places as cut-mixes, the others as weighted means.

    Args:
        images: uint8 (n, h, w, k).
        pairs: int64 (p, 2), of whose images the first is the one of which the blend holds more.
        seed: of the generation.

    Returns:
        uint8 (p, h, w, k).
    """
    first, second = images[pairs[:, 0]], images[pairs[:, 1]]
    random = np.random.default_rng([seed, 5])
    parts = random.integers(_FEWEST, _MOST + 1, len(pairs))
    blended = first.copy()
    for place, (part, corner) in enumerate(zip(parts.tolist(), random.random((len(pairs), 3)).tolist(), strict=True)):
        if place % 2:
            mean = (256 - part) * first[place].astype(np.uint16) + part * second[place].astype(np.uint16) + 128
            blended[place] = (mean >> 8).astype(np.uint8)
        else:
            rows, columns = _rectangle(part / 256, corner, first.shape[1:3])
            blended[place, rows, columns] = second[place, rows, columns]
    return blended


def _rectangle(share: float, drawn: list[float], size: tuple[int, ...]) -> tuple[slice, slice]:
    """Return a rectangle of about this share of an image's area, of a drawn form and at a drawn place."""
    height = share + drawn[0] * (1 - share)  # of the image's, so that the width is at most the image's
    sides = max(1, int(height * size[0])), max(1, int(share / height * size[1]))
    starts = (int(u * (whole - side + 1)) for u, whole, side in zip(drawn[1:], size, sides, strict=True))
    rows, columns = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return rows, columns


def _with_third_label(search: Search, pairs: Labels, progress: StageProgress) -> _Found:
    """Return the blends of ``pairs`` to which the source clearly gives a third label, the surest ones."""
    data, settings = search.data, search.settings
    images = blend_pairs(data.images, pairs, seed=settings.seed)
    source = ask_source(search.white_boxes, images, classes=len(data.class_names), progress=progress)
    third = (source.labels[:, np.newaxis] != data.labels[pairs]).all(axis=1)
    rows = np.flatnonzero(third & (source.margin >= settings.min_margin))
    most = max(_ASKED_PER_EXAMPLE * settings.wanted()[BLEND], _ASKED_AT_LEAST)
    rows = np.sort(rows[np.argsort(-source.margin[rows], kind="stable")[:most]])
    truth = data.labels[pairs[rows]]
    candidates = Candidates(BLEND, pairs[rows, 0], images[rows], truth[:, 1], truth[:, 0])
    return _Found(candidates, source.labels[rows])
