"""Which configuration of a method takes part: the one with the highest AUC on models that decide nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cae_core.arena.method import Method
from cae_core.pool.manifest import Pool, PoolMember
from cae_core.statistics.roc import roc_auc

__all__ = ["Choice", "chosen", "judges_of"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a configuration was chosen.

    Attributes:
        method: name of the method, as the user gave it.
        configuration: the one that takes part.
        auc: of each configuration, the mean over the budgets; those that could make no queries are not there.
        surrogates: number of surrogates by which it was chosen.
        references: number of references by which it was chosen.
    """

    method: str
    configuration: str
    auc: Mapping[str, float]
    surrogates: int
    references: int


def judges_of(pool: Pool, method: Method) -> tuple[PoolMember, ...]:
    """Return the models by which a method's configurations are compared, none where they are of one relation only.

    Those of the roles *generate* and *screen*. To a method that makes its queries of the pools, the models of the role
    *generate* are no news: there the role *screen* decides alone.
    """
    of_generate = () if method.needs.pools else pool.select(role="generate")
    found = (*of_generate, *pool.select(role="screen"))
    return found if len({member.relation for member in found}) == 2 else ()


def chosen(
    method: str, scores: Mapping[str, Sequence[Sequence[float]]], members: Sequence[PoolMember], *, usual: str
) -> Choice:
    """Return the choice.

    Args:
        method: its name.
        scores: of each configuration, for each budget, those of the ``members``.
        members: by which it is chosen.
        usual: the configuration that stands where none has a score.
    """
    sides = [[i for i, member in enumerate(members) if member.relation == side] for side in ("surrogate", "reference")]

    def area(row: Sequence[float]) -> float:
        return roc_auc(*([row[i] for i in side] for side in sides))

    auc = {name: float(np.mean([area(row) for row in rows])) for name, rows in scores.items()}
    best = max(auc, key=lambda name: auc[name], default=usual)  # of equal ones the first
    return Choice(method=method, configuration=best, auc=auc, surrogates=len(sides[0]), references=len(sides[1]))
