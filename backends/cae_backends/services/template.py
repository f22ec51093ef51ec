"""What is posted, as a table of TOML in which an image has its place."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_backends.services.pictures import as_jpeg, as_numbers, as_png
from cae_core.errors import OptionError

__all__ = ["Template"]

_TEXTS: dict[str, Callable[[NDArray[np.uint8]], str]] = {"{png}": as_png, "{jpeg}": as_jpeg}
_NUMBERS = "{tensor}"


class Template:
    """A table in which ``{png}``, ``{jpeg}`` or ``{tensor}`` stands for an image.

    Args:
        table: as TOML has it.
        many: whether a request has several images: then the item of a list that holds the place is repeated.

    Raises:
        OptionError: no image has a place, or several have none.
    """

    def __init__(self, table: Any, *, many: bool) -> None:  # noqa: ANN401 - what TOML can hold
        self._table, self._many = table, many
        if not _holds(table):
            raise OptionError('the body has no place for the image: one of "{png}", "{jpeg}" and "{tensor}".')
        if many and not _repeats(table):
            raise OptionError(
                "the body has no list that holds the place of the image, so that a request has one. Say images = 1."
            )

    def filled(self, tensor: NDArray[Any]) -> Any:  # noqa: ANN401
        """Return the table with images, (n, …) as the contract makes them, in their places; n is 1 unless many."""
        return _filled(self._table, tensor, many=self._many)


def _filled(value: Any, tensor: NDArray[Any], *, many: bool) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        return {name: _filled(item, tensor, many=many) for name, item in table.items()}
    if isinstance(value, list):
        items = value
        if many and any(map(_holds, items)) and not any(map(_repeats, items)):
            return [
                _filled(item, tensor[place : place + 1], many=False)
                for item in items
                for place in (range(len(tensor)) if _holds(item) else [0])
            ]
        return [_filled(item, tensor, many=many) for item in items]
    return _replaced(value, tensor) if isinstance(value, str) else value


def _replaced(text: str, tensor: NDArray[Any]) -> Any:  # noqa: ANN401
    if text == _NUMBERS:
        return as_numbers(tensor[0])
    for mark, written in _TEXTS.items():
        if mark in text:
            return text.replace(mark, written(tensor[0]))
    return text


def _holds(value: Any) -> bool:  # noqa: ANN401
    """Return whether the place of the image is somewhere in ``value``."""
    if isinstance(value, dict):
        return any(map(_holds, cast("dict[str, Any]", value).values()))
    if isinstance(value, list):
        return any(map(_holds, value))
    return isinstance(value, str) and (value == _NUMBERS or any(mark in value for mark in _TEXTS))


def _repeats(value: Any) -> bool:  # noqa: ANN401
    """Return whether a list within ``value``, or itself, holds the place."""
    if isinstance(value, dict):
        return any(map(_repeats, cast("dict[str, Any]", value).values()))
    return isinstance(value, list) and any(map(_holds, value))
