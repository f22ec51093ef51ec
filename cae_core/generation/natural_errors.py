"""Natural errors of the source as examples: benign images that it gets wrong, unchanged."""

import numpy as np

from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.generation.candidates import Candidates, Confirmed, confirm, preferred
from cae_core.generation.search import Search
from cae_core.generation.survey import Survey

__all__ = ["choose_natural_errors"]


def choose_natural_errors(search: Search, survey: Survey, most: int) -> Confirmed:
    """Return the ``most`` natural errors of the source that are worth the most, at first within the labels' quota."""
    clear = np.flatnonzero(survey.margin[: survey.errors] >= search.settings.min_margin)
    labels = survey.source_labels[survey.index[clear]].astype(np.int64)
    index = survey.index[clear[preferred(labels, survey.worth[clear], search.settings, NATURAL_ERROR)]]
    truth = search.data.labels[index]
    return confirm(search, Candidates(NATURAL_ERROR, index, search.data.images[index], truth, truth), most)
