"""Rank p-values: the unit of the null hypothesis is the model, not the query.

Is an independent model likely to score this high? If the suspect were one more draw from where the r calibration
models came from, its rank among them would be uniform, whatever the distribution of the scores (conformal p-values;
Vovk, Gammerman & Shafer 2005, section 2.2). Nothing about the scores is assumed; only exchangeability is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import OptionError

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["Among", "exceeded_rank", "models_needed", "rank_p_value"]


@dataclass(frozen=True, kw_only=True)
class Among:
    """How a score stands among known models.

    Attributes:
        models: r.
        as_extreme: of them, those that score at least as high, ties included.
        p_value: (1 + as_extreme) / (r + 1).
    """

    models: int
    as_extreme: int
    p_value: float


def rank_p_value(null_scores: Sequence[float] | NDArray[np.float64], score: float) -> float:
    """Return (1 + #{null score >= score}) / (r + 1): ties go against the accuser.

    To ask whether a score is unusually *low*, negate both.

    Args:
        null_scores: of the r calibration models, in any order; with none the value is 1.
        score: of the model under test.

    Example:
        >>> rank_p_value([0.1, 0.4, 0.2], 0.4)
        0.5
    """
    return (1 + int((np.asarray(null_scores, np.float64) >= score).sum())) / (len(null_scores) + 1)


def exceeded_rank(models: int, rate: float) -> int:
    """Return k such that p <= rate exactly where the score exceeds the k-th largest of ``models``; 0: it never is.

    Example:
        >>> exceeded_rank(99, 0.01), exceeded_rank(98, 0.01)
        (1, 0)

    Raises:
        OptionError: the rate is not in (0, 1).
    """
    k = math.floor(_exact(rate) * (models + 1))
    # 1 / 3 is written 0.3333333333333333, which is less; as a p-value it is the same number
    return k + 1 if (k + 1) / (models + 1) <= rate else k


def models_needed(rate: float) -> int:
    """Return the least r with 1 / (r + 1) <= rate: 19 for 5 %, 99 for 1 %.

    Example:
        >>> models_needed(0.05), models_needed(0.01)
        (19, 99)

    Raises:
        OptionError: the rate is not in (0, 1).
    """
    models = math.ceil(1 / _exact(rate)) - 1
    return models - 1 if 1 / models <= rate else models


def _exact(rate: float) -> "Fraction":
    """Return the rate as it was written: 0.07 * 100 is 7.000000000000001 in binary."""
    from fractions import Fraction

    if not 0 < rate < 1:
        raise OptionError(f"An error rate must lie between 0 and 1; found {rate}.")
    return Fraction(str(rate))
