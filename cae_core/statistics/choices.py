"""Choices that users make by name."""

from enum import StrEnum
from typing import TypeVar

from cae_core.errors import OptionError

__all__ = ["choice_named"]

Choice = TypeVar("Choice", bound=StrEnum)


def choice_named(choices: type[Choice], name: str, *, option: str) -> Choice:
    """Return the one of the choices that is called ``name``; ``option`` is what the user calls the choice.

    Raises:
        OptionError: there is none.
    """
    if name not in tuple(choices):
        raise OptionError(f"{option} must be one of {', '.join(filter(None, choices))}; found {name!r}.")
    return choices(name)
