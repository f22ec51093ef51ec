"""What the references of a pool support: which rate, in each group by what they saw of a fingerprint's images."""

from collections.abc import Sequence
from dataclasses import dataclass

from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.exposure import exposure_of
from cae_core.pool.manifest import PoolMember, Role
from cae_core.statistics.exposure import Exposure

__all__ = ["GroupSupport", "supported"]


@dataclass(frozen=True, kw_only=True)
class GroupSupport:
    """References of one role and exposure.

    Attributes:
        role: what they may be used for.
        exposure: to the fingerprint's images; unknown ones count as partly.
        unknown: how many of them the manifest says nothing of.
        models: how many there are.
        recipes: distinct ways in which they were made, kind and recipe together.
        architectures: distinct ones.
        least_rate: the least rate of false accusations that so many models support, 1 / (models + 1).
        least_rate_recipes: the least rate that so many recipes support, where the unit is the recipe.
        least_rate_architectures: the least rate that so many architectures support, where the unit is the architecture.
    """

    role: Role
    exposure: Exposure
    unknown: int
    models: int
    recipes: int
    architectures: int
    least_rate: float
    least_rate_recipes: float
    least_rate_architectures: float


def supported(members: Sequence[PoolMember], fingerprint: Fingerprint) -> list[GroupSupport]:
    """Return what the references among ``members`` support, by role and exposure.

    Raises:
        PoolError: a member's manifest contradicts itself, see `exposure_of`.
    """
    groups: dict[tuple[Role, Exposure], list[tuple[PoolMember, Exposure]]] = {}
    for member in members:
        if member.relation == "reference":
            found = exposure_of(member, fingerprint)
            groups.setdefault((member.role, found.counted), []).append((member, found))
    return [_support(role, exposure, group) for (role, exposure), group in groups.items()]


def _support(role: Role, exposure: Exposure, group: Sequence[tuple[PoolMember, Exposure]]) -> GroupSupport:
    recipes = len({(member.kind, member.recipe) for member, _ in group})
    architectures = len({member.architecture for member, _ in group})
    return GroupSupport(
        role=role,
        exposure=exposure,
        unknown=sum(found == Exposure.UNKNOWN for _, found in group),
        models=len(group),
        recipes=recipes,
        architectures=architectures,
        least_rate=1 / (len(group) + 1),
        least_rate_recipes=1 / (recipes + 1),
        least_rate_architectures=1 / (architectures + 1),
    )
