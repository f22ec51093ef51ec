"""Checks of a plan's fields; the messages begin with where in the plan something is wrong."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar, cast, get_args

from cae_backends.training.trainers import find_trainer
from cae_core.errors import CaeError, OptionError, PoolError, quoted
from cae_core.files.fields import check_known, fits, read_field
from cae_core.pool.manifest import Role

__all__ = ["architectures_of", "check_architecture", "check_fields", "counts_field", "names_field", "plan_field"]

T = TypeVar("T")

_MOST = 10_000
"""Members of one group and role: each is a training, and a record in the memory."""


def architectures_of(trainer: str, where: str) -> Collection[str]:
    """Return the architectures of a trainer.

    Raises:
        BackendMissing: no such trainer is installed.
    """
    try:
        return find_trainer(trainer).architectures
    except CaeError as error:
        raise type(error)(f"{where}: {error}") from error


def check_architecture(name: str, known: Collection[str], where: str) -> None:
    """Refuse an architecture that is not among the ``known``.

    Raises:
        PoolError: saying what is known.
    """
    if name not in known:
        raise PoolError(f"{where}: Unknown architecture {name!r}; known are {', '.join(known)}.")


def plan_field(table: Mapping[str, Any], field: str, where: str, *, default: T) -> T:
    """Return what ``table`` has under this name, or the default.

    Raises:
        PoolError: it is of another type than the default.
    """
    try:
        return cast("T", read_field(table, field, type(default), default))
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error


def names_field(table: Mapping[str, Any], field: str, default: list[str] | None, where: str) -> list[str]:
    """Return the names, at least one, that ``table`` has under this name, or the default.

    Raises:
        PoolError: it is no list of texts.
    """
    names = table.get(field, default)
    if not names or not fits(names, list[str]):
        raise PoolError(f"{where}: {field} must be a list of names; found {quoted(names)}.")
    return cast("list[str]", names)


def counts_field(table: Mapping[str, Any], where: str) -> Iterator[tuple[Role, int]]:
    """Yield the roles and numbers of the field ``count``.

    Raises:
        PoolError: it is no table of numbers by role.
    """
    counts = table.get("count")
    roles = [role for role in get_args(Role) if role != "source"]
    if not isinstance(counts, dict) or not counts or not set(counts) <= set(roles):
        raise PoolError(f"{where}: count is a table of numbers by role ({', '.join(roles)}); found {quoted(counts)}.")
    for role, count in counts.items():
        if not fits(count, int) or count < 0:
            raise PoolError(f"{where}: the count of {role} must be a number; found {quoted(count)}.")
        if count > _MOST:
            raise PoolError(f"{where}: the count of {role} must be at most {_MOST}; found {quoted(count)}.")
        yield cast("Role", role), count


def check_fields(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse a field that is not among the ``known``.

    Raises:
        PoolError: naming the first.
    """
    try:
        check_known(table, known)
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error
