"""The state in which a search begins: the seeds in their order, and the examples that need no search."""

from dataclasses import replace

import numpy as np

from cae_core.fingerprint.example_kinds import BLEND, NATURAL_ERROR
from cae_core.generation.blends import choose_blends
from cae_core.generation.natural_errors import choose_natural_errors
from cae_core.generation.probes import probes_drawn_before
from cae_core.generation.run_state import RunState, start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import rank_seeds
from cae_core.generation.survey import survey_images
from cae_core.generation.white_boxes import check_references
from cae_core.progress import Progress, stage

__all__ = ["begin"]


def begin(search: Search, *, progress: Progress) -> RunState:
    """Rank the seeds, and choose the examples that are images as they are.

    Raises:
        CaeError: see `rank_seeds`, `survey_images` and `check_references`.
    """
    if not search.settings.mixed:
        return _of_right_seeds(search, progress)
    white_boxes, data, settings = search.white_boxes, search.data, search.settings
    wanted, probes = settings.wanted(), probes_drawn_before(data, settings)
    survey = survey_images(white_boxes, data, settings, without=probes, progress=stage(progress, "ranking seeds"))
    check_references(white_boxes, data, progress=stage(progress, "comparing models"))
    # more than are wanted: they take the places of what a search does not find
    natural = choose_natural_errors(search, survey, settings.count if wanted[NATURAL_ERROR] else 0)
    blending = stage(progress, "ranking blends")
    blends = choose_blends(search, settings.count if wanted[BLEND] else 0, without=probes, progress=blending)
    taken = natural.examples.index[: wanted[NATURAL_ERROR]]
    queue = survey.queue(settings, data.labels, without=np.concatenate([probes, taken]))
    state = start_run(queue, data.images.shape[1:])
    unperturbed = natural.examples.extended(blends.examples)
    return replace(state, unperturbed=unperturbed, unconfirmed=natural.unconfirmed + blends.unconfirmed)


def _of_right_seeds(search: Search, progress: Progress) -> RunState:
    queue = rank_seeds(
        search.white_boxes,
        search.data,
        ranking=search.settings.ranking,
        seed=search.settings.seed,
        progress=stage(progress, "ranking seeds"),
    )
    check_references(search.white_boxes, search.data, progress=stage(progress, "comparing models"))
    return start_run(queue, search.data.images.shape[1:])
