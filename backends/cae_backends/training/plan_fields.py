"""Checks of a plan's fields; the messages begin with where in the plan something is wrong."""

from collections.abc import Collection, Mapping
from typing import Any

from cae_backends.training.trainers import find_trainer
from cae_core.errors import CaeError, PoolError

__all__ = ["architectures_of", "check_architecture", "check_fields", "text_field"]


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


def text_field(table: Mapping[str, Any], field: str, default: str, where: str) -> str:
    """Return the text that ``table`` has under this name, or the default.

    Raises:
        PoolError: it is no text.
    """
    value = table.get(field, default)
    if not isinstance(value, str):
        raise PoolError(f"{where}: {field} must be a text; found {value!r}.")
    return value


def check_fields(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse a field that is not among the ``known``.

    Raises:
        PoolError: naming the first.
    """
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise PoolError(f"{where}: unknown field {unknown[0]!r}; known are {', '.join(known)}.")
