"""Ranks over sources: how seldom does a model match the claimed source better than sources that are made alike?

The owner trains m *controls* by the claimed source's own recipe and makes a fingerprint of each by the same procedure.
Then the m + 1 sources are exchangeable given an independent suspect, of whatever recipe, and the claimed one's rank
among them is uniform or, with ties, larger (conformal p-values; Vovk, Gammerman & Shafer 2005, section 2.2). With
references that are exchangeable with the suspect, the whole table of r + 1 models and m + 1 sources has a law that no
permutation of rows or of columns changes (separate exchangeability; Aldous 1981), so that any statistic which is
computed alike for every cell gives one cell of (r + 1)(m + 1) by rank.

Each rank alone keeps its rate. The smaller of two does not, so that one is declared before the suspect is asked.
"""

from collections.abc import Sequence

import numpy as np

from cae_core.arrays import Floats64
from cae_core.errors import OptionError
from cae_core.statistics.ranks import exceeded_rank, rank_p_value

__all__ = [
    "least_matches_by_sources",
    "least_matches_two_way",
    "source_rank_p_value",
    "two_way_as_extreme",
    "two_way_p_value",
    "two_way_residuals",
]

_TIE = 1e-9
"""Residuals that differ by less are equal: they are sums of rounded numbers, and ties go against the accuser."""


def source_rank_p_value(rates: Sequence[float] | Floats64) -> float:
    """Return (1 + #{controls that are matched at least as well as the claimed source}) / (m + 1).

    Args:
        rates: (m + 1,), the suspect's match rate on each source's examples, the claimed source's first.

    Example:
        >>> source_rank_p_value([0.7, 0.1, 0.7, 0.2])
        0.5
    """
    return rank_p_value(rates[1:], rates[0])


def two_way_residuals(rates: Floats64) -> Floats64:
    """Return arcsin sqrt of match rates after row and column means, the two-way residual.

    The row's mean takes out how much a model matches every source (its accuracy, its robustness), the column's how much
    a source is matched by every model.

    Args:
        rates: float64 (r + 1, m + 1), of each model on each source's examples, 0 to 1.
    """
    table = np.arcsin(np.sqrt(rates))
    return np.asarray(table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean(), np.float64)


def two_way_as_extreme(rates: Floats64) -> int:
    """Return how many of the other cells have a residual at least as high as the first one's, ties included.

    Args:
        rates: float64 (r + 1, m + 1), the suspect in the first row and the claimed source in the first column.

    Raises:
        OptionError: there is a single row or a single column, in which every residual is 0.
    """
    if min(rates.shape) < 2:
        raise OptionError(
            f"The two-way rank takes at least one reference and one control source; found {rates.shape[0] - 1} and "
            f"{rates.shape[1] - 1}."
        )
    residuals = two_way_residuals(rates)
    return int((residuals >= residuals[0, 0] - _TIE).sum()) - 1


def two_way_p_value(rates: Floats64) -> float:
    """Return the rank of the first cell's residual among all (r + 1)(m + 1), ties against the accuser.

    Args:
        rates: see `two_way_as_extreme`.

    Example:
        >>> two_way_p_value(np.array([[0.8, 0.1], [0.2, 0.1]]))
        0.5

    Raises:
        OptionError: see `two_way_as_extreme`.
    """
    return (1 + two_way_as_extreme(rates)) / rates.size


def least_matches_by_sources(rates: Floats64, asked: int, fpr: float) -> int | None:
    """Return the least number of matches with the claimed source, of ``asked``, that gives p <= fpr; None: none does.

    Args:
        rates: float64 (m,), the suspect's with the controls.
        asked: how many examples of each source were asked.
        fpr: the rate.
    """
    k = exceeded_rank(len(rates), fpr)
    if not k:
        return None
    least = round(float(np.sort(rates)[-k]) * asked) + 1
    return least if least <= asked else None


def least_matches_two_way(rates: Floats64, asked: int, fpr: float) -> int | None:
    """Return the same for the two-way rank, whatever stands in the first cell.

    More matches there raise its residual against that of every other cell: by 1 - 1/(r+1) - 1/(m+1) of the change at
    least. So p falls with them, and the least number is found by halving.

    Args:
        rates: see `two_way_as_extreme`.
        asked: how many examples of each source were asked.
        fpr: the rate.
    """
    table = rates.copy()

    def enough(matches: int) -> bool:
        table[0, 0] = matches / asked
        return two_way_p_value(table) <= fpr

    if not enough(asked):
        return None
    low, high = -1, asked  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
