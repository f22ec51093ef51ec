"""Fields of somebody else's JSON or TOML, held against the types that a dataclass declares.

Nothing is converted in silence: a truth value is no number, a whole number fits into 64 bits, a number is finite.
"""

import math
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from cae_core.errors import quoted

__all__ = ["FieldError", "check_known", "fits", "read_field", "read_fields"]

_WORDS: dict[object, str] = {
    str: "a text",
    int: "of type int",
    float: "a finite number",
    bool: "true or false",
    dict: "a table",
    NoneType: "null",
}

_LARGEST = 1 << 63


class FieldError(ValueError):
    """A field is unknown or of another type; callers say where it stands and end the sentence."""


def read_fields(kind: type[object], table: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields of the dataclass ``kind`` that ``table`` holds, those that are a tuple there as one.

    Ranges, and what is missing, are the dataclass's own to refuse.

    Raises:
        FieldError: a field is unknown, or not of the type that ``kind`` declares.
    """
    kinds = get_type_hints(kind)
    check_known(table, kinds)
    values = {name: read_field(table, name, kinds[name]) for name in table}
    return {name: tuple(value) if get_origin(kinds[name]) is tuple else value for name, value in values.items()}


def read_field(table: Mapping[str, object], name: str, kind: Any, default: object = None) -> Any:  # noqa: ANN401
    """Return the field ``name``, as it stands in ``table``, or the default.

    Example:
        >>> read_field({"seed": 3}, "seed", int), read_field({}, "seed", int | None)
        (3, None)

    Raises:
        FieldError: it `fits` not.
    """
    value = table.get(name, default)
    if not fits(value, kind):
        raise FieldError(f"{name} must be {_words(kind)}; found {quoted(value)}")
    return value


def check_known(table: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a field that is not among the ``known``.

    Raises:
        FieldError: naming the first.
    """
    names = tuple(known)
    unknown = sorted(set(table).difference(names))
    if unknown:
        raise FieldError(f"unknown field {quoted(unknown[0])}; known are {', '.join(names)}")


def fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - a type, or a form of `typing`
    """Return whether ``value`` is of the type ``kind``: a key of `_WORDS`, some literals, a list of one, or a union.

    Example:
        >>> fits([1, True], list[int]), fits(3, float), fits("l1", Literal["l1", "l2"] | None)
        (False, True, True)
    """
    form, parts = get_origin(kind), get_args(kind)
    if form is Literal:
        return any(type(value) is type(choice) and value == choice for choice in parts)
    if form in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if form in (list, tuple):
        return isinstance(value, list) and all(fits(item, parts[0]) for item in cast("list[object]", value))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return _fits_number(value, kind) if kind in (int, float) else isinstance(value, kind)


def _fits_number(value: object, kind: type[float]) -> bool:
    if isinstance(value, int):
        return abs(value) < _LARGEST
    return kind is float and isinstance(value, float) and math.isfinite(value)


def _words(kind: Any) -> str:  # noqa: ANN401
    form, parts = get_origin(kind), get_args(kind)
    if form is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if form in (Union, UnionType):
        return " or ".join(map(_words, parts))
    return f"a list, each item {_words(parts[0])}" if form in (list, tuple) else _WORDS[kind]
