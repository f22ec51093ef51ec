"""Finding methods by name: those of this package in a table, those of others through entry points."""

from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from cae_core.arena.method import MethodKind
from cae_core.errors import OptionError, first_line, quoted

__all__ = ["METHOD_GROUP", "foreign_points", "kind_named", "known_kinds"]

METHOD_GROUP = "cae.methods"
"""Entry points of this group name a `MethodKind` of another package."""

_OWN = {
    "ours": "conferrable:OURS",
    "ours-report": "conferrable:OURS_REPORT",
    "akh": "natural_errors:AKH",
    "fgm": "adversarial:FGM",
    "bim": "adversarial:BIM",
    "pgd": "adversarial:PGD",
    "pgd-l2": "adversarial:PGD_L2",
    "cw": "adversarial:CW",
    "ipguard": "ip_guard:IPGUARD",
    "sac": "correlations:SAC",
    "sac-labels": "correlations:SAC_LABELS",
    "sac-cutmix": "correlations:SAC_CUTMIX",
    "sac-cutmix-labels": "correlations:SAC_CUTMIX_LABELS",
    "robd": "robustness:ROBD",
    "random": "random_images:RANDOM",
    "dataset-inference": "dataset_inference:DATASET_INFERENCE",
}
"""Module and name of each in `cae_core.arena.methods`."""


def known_kinds() -> tuple[str, ...]:
    """Return the names of all methods, those of other packages last."""
    return (*_OWN, *sorted(foreign_points()))


def kind_named(name: str) -> MethodKind:
    """Return the method of this name; only its module is imported.

    Raises:
        OptionError: there is none, or another package's cannot be loaded or is no `MethodKind`.
    """
    if name in _OWN:
        module, attribute = _OWN[name].split(":")
        return cast("MethodKind", getattr(import_module(f"cae_core.arena.methods.{module}"), attribute))
    if name not in foreign_points():
        raise OptionError(f"There is no method {quoted(name)}; there are {', '.join(known_kinds())}.")
    point = foreign_points()[name]
    try:
        found = point.load()
    except Exception as error:  # whatever another package's import raises
        raise OptionError(f"The method {name} of {point.value} cannot be loaded ({first_line(error)}).") from error
    if not isinstance(found, MethodKind) or found.name != name:
        raise OptionError(f"{point.value} must be a MethodKind named {name}, and is something else.")
    return found


@lru_cache(maxsize=1)
def foreign_points() -> dict[str, EntryPoint]:
    """Return the entry points by name; one with the name of a method of ours does not count."""
    return {point.name: point for point in entry_points(group=METHOD_GROUP) if point.name not in _OWN}
