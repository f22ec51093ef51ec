"""All objectives, by name. A new one is a file beside this one, and its record and its options here."""

from dataclasses import dataclass

from cae_core.errors import OptionError
from cae_core.method.objectives.composite import COMPOSITE, COMPOSITE_KERAS, CompositeOptions
from cae_core.method.objectives.margins import MARGINS, MarginOptions
from cae_core.method.objectives.objective import ObjectiveKind
from cae_core.method.objectives.options import Option

__all__ = ["OBJECTIVES", "OPTIONS", "ObjectiveOptions", "objective_named", "objectives_with"]

OBJECTIVES: dict[str, ObjectiveKind] = {kind.name: kind for kind in (COMPOSITE, COMPOSITE_KERAS, MARGINS)}


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(CompositeOptions, MarginOptions):
    """The options of all objectives; each objective reads its own."""


OPTIONS: tuple[Option, ...] = tuple(dict.fromkeys(option for kind in OBJECTIVES.values() for option in kind.options))
"""Of all objectives, in the table's order, each once."""


def objective_named(name: str) -> ObjectiveKind:
    """Return the objective of this name.

    Raises:
        OptionError: there is none.
    """
    if name not in OBJECTIVES:
        raise OptionError(f"objective must be one of {', '.join(OBJECTIVES)}; found {name!r}.")
    return OBJECTIVES[name]


def objectives_with(option: Option) -> tuple[str, ...]:
    """Return the names of the objectives that read this option."""
    return tuple(kind.name for kind in OBJECTIVES.values() if option in kind.options)
