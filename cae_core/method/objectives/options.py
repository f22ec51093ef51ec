"""The options of an objective: the fields of a dataclass, each with its default and its help in one place."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

from cae_core.errors import OptionError, quoted

__all__ = ["Option", "check_values", "option", "options_of"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Option:
    """One option of an objective.

    Attributes:
        name: of the field and of the setting; ``--w-confer`` on the command line is ``w_confer``.
        default: a number or a word.
        help: what it is, in a few words.
    """

    name: str
    default: float | str
    help: str


def option(default: _T, words: str) -> _T:
    """Return a dataclass's field that is an option with this default and this help."""
    return dataclasses.field(default=default, metadata={"help": words})


def options_of(holder: type[Any]) -> tuple[Option, ...]:
    """Return the options that a dataclass declares, in their order."""
    declared = [field for field in dataclasses.fields(holder) if "help" in field.metadata]
    return tuple(Option(field.name, getattr(holder, field.name), field.metadata["help"]) for field in declared)


def check_values(record: Any) -> None:  # noqa: ANN401 - any dataclass
    """Refuse a number that is not finite, and a value that is not among the literals of its field's type.

    Raises:
        OptionError: naming the field.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise OptionError(f"{field.name} must be a finite number; found {value:g}.")
        if get_origin(field.type) is Literal and value not in get_args(field.type):
            choices = ", ".join(map(str, get_args(field.type)))
            raise OptionError(f"{field.name} must be one of {choices}; found {quoted(value)}.")
