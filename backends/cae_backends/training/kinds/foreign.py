"""Kinds of other packages, found by their entry points; a package's module is imported when its kind is asked for."""

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from cae_backends.training.kinds.record import Copy, Theft
from cae_core.errors import PoolError, first_line

__all__ = ["THEFT_GROUP", "foreign_kind", "foreign_names"]

THEFT_GROUP = "cae.thefts"
"""Entry points of this group name a `Theft` or a `Copy` of another package, by the name that plans have it."""


def foreign_names() -> tuple[str, ...]:
    """Return the names of all thefts of other packages."""
    return tuple(sorted(_points()))


def foreign_kind(name: str) -> Theft | Copy | None:
    """Return the theft of this name; None: no other package has one.

    Raises:
        PoolError: it cannot be loaded, or is no theft of that name.
    """
    point = _points().get(name)
    if point is None:
        return None
    try:
        found = point.load()
    except Exception as error:  # whatever another package's import raises
        raise PoolError(f"The theft {name} of {point.value} cannot be loaded ({first_line(error)}).") from error
    if not isinstance(found, Theft | Copy) or found.name != name:
        raise PoolError(f"{point.value} is to be a Theft or a Copy named {name}, and is something else.")
    return found


@lru_cache(maxsize=1)
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=THEFT_GROUP)}
