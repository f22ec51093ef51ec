"""From the scores of independent models to the least score that is an accusation."""

import numpy as np

from cae_core.arrays import Floats64
from cae_core.statistics.ranks import exceeded_rank
from cae_core.statistics.score import Score

__all__ = ["LEAST_PARAMETRIC", "NO_THRESHOLD", "as_counts", "just_above", "least_accused"]

LEAST_PARAMETRIC = 2
"""Models that a beta-binomial model of their counts takes."""

NO_THRESHOLD = "none: the references are too few for the rate, or match too often"
"""What people read where `least_accused` finds no score."""


def as_counts(fractions: Floats64, trials: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return the numbers of matches (r,) that are these fractions of ``trials``."""
    return np.rint(fractions * trials).astype(np.int64)


def least_accused(references: Floats64, asked: int, *, fpr: float, score: Score, parametric: bool) -> float | None:
    """Return the least score with p <= fpr; None where there is none.

    There is none where the references are too few for the rate, or match so often that no count would be enough.

    Args:
        references: (r,), scores of independent models over the same examples.
        asked: how many examples these are.
        fpr: the rate.
        score: CAEAcc moves in steps of one match; of another score the next larger number is returned.
        parametric: by a beta-binomial model instead of ranks.
    """
    if parametric:
        from cae_core.statistics.parametric import (
            beta_binomial_tails,  # seldom asked for, and a verification should start fast
        )

        enough = np.flatnonzero(beta_binomial_tails(as_counts(references, asked), asked) <= fpr)
        return int(enough[0]) / asked if len(enough) else None
    k = exceeded_rank(len(references), fpr)
    if not k:
        return None
    return just_above(float(np.sort(references)[-k]), asked, score)


def just_above(exceeded: float, asked: int, score: Score) -> float | None:
    """Return the least value of a score, over ``asked`` examples, that is larger; None where there is none."""
    if score != Score.CAEACC:
        return float(np.nextafter(exceeded, np.inf))
    least = round(exceeded * asked) + 1
    return least / asked if least <= asked else None
