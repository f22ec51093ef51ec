"""Parts of a pool's training images that a plan names, such as the owner's and the others'."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from cae_backends.training.plan_fields import plan_field
from cae_core.errors import OptionError, PoolError, quoted
from cae_core.files.fields import check_known, fits
from cae_core.pool.trained_on import Part

__all__ = ["read_parts"]


def read_parts(table: object, origin: str) -> dict[str, Part]:
    """Return the parts of a plan's table ``[parts]`` by name.

    A part is a ``share`` drawn by a ``seed``, or the ``rest_of`` another one.

    Raises:
        PoolError: a field is unknown, missing or wrong, or the rest is of no share.
    """
    if not fits(table, dict) or not all(fits(part, dict) for part in cast("dict[str, Any]", table).values()):
        raise PoolError(f"{origin}: parts are tables, such as [parts.owner] with a share and a seed.")
    parts = cast("dict[str, dict[str, Any]]", table)
    drawn = {name: _drawn(part, f"{origin}: part {quoted(name)}") for name, part in parts.items() if "share" in part}
    rest = {
        name: _rest(part, drawn, f"{origin}: part {quoted(name)}") for name, part in parts.items() if name not in drawn
    }
    return drawn | rest


def _drawn(table: Mapping[str, Any], where: str) -> Part:
    try:
        check_known(table, ("share", "seed"))
        return Part(
            share=plan_field(table, "share", where, default=1.0), seed=plan_field(table, "seed", where, default=0)
        )
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error


def _rest(table: Mapping[str, Any], drawn: Mapping[str, Part], where: str) -> Part:
    try:
        check_known(table, ("rest_of",))
    except OptionError as error:
        raise PoolError(f"{where}: {error} Or give it a share and a seed.") from error
    name = plan_field(table, "rest_of", where, default="")
    if name not in drawn:
        raise PoolError(f"{where}: rest_of names a part that has a share; found {quoted(name)}.")
    return replace(drawn[name], rest=True)
