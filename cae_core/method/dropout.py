"""Model dropout (Algorithm 1): each iteration keeps each pool member with a given probability."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["keep_mask"]


def keep_mask(*, seed: int, step: int, surrogates: int, references: int, dropout: float) -> NDArray[np.bool_]:
    """Return which models are evaluated at ``step``: bool (1 + surrogates + references,), the source always.

    A function of ``seed`` and the global ``step`` alone, so that any stretch of a run can be replayed. A pool that
    would be left empty is drawn again.

    Example:
        >>> int(keep_mask(seed=0, step=5, surrogates=1, references=1, dropout=0.9).sum())
        3
    """
    # the step is the counter's highest word: as the lowest, later draws of a step would be the next step's first ones
    random = np.random.Generator(np.random.Philox(key=seed, counter=step << 192))
    keep = [np.ones(1, np.bool_)]
    for members in (surrogates, references):
        drawn = np.zeros(members, np.bool_)
        while not drawn.any():
            drawn = random.random(members) >= dropout
        keep.append(drawn)
    return np.concatenate(keep)
