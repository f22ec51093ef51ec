"""Fields of somebody else's JSON or TOML, held against the types that a dataclass declares.

Nothing is converted in silence: a truth value is no number, a whole number fits into 64 bits, a number is finite.
Callers say whose field it is: they put the place before the sentence, and make the error their own.
"""

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from enum import EnumType
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from cae_core.errors import OptionError, VerdictError, quoted

__all__ = ["check_choices", "check_known", "fits", "read_field", "read_fields", "recorded"]

_LARGEST = 1 << 63


@contextmanager
def recorded(where: str, remedy: str) -> Generator[None]:
    """Turn a field that does not fit into the fault of the record that holds it.

    Args:
        where: the record, as messages name it.
        remedy: what to do, a sentence.

    Example:
        >>> with recorded("a.json", "Give the original file."):
        ...     read_field({"seed": "x"}, "seed", int)
        Traceback (most recent call last):
        ...
        cae_core.errors.VerdictError: a.json: seed must be of type int; found 'x'. Give the original file.

    Raises:
        VerdictError: where a field does not fit.
    """
    try:
        yield
    except OptionError as error:
        raise VerdictError(f"{where}: {error} {remedy}") from error


def read_fields(kind: type[object], table: object) -> dict[str, Any]:
    """Return the fields of the dataclass ``kind`` that ``table`` holds, tuples and names of an enum there as such.

    Ranges, and what is missing, are the dataclass's own to refuse.

    Raises:
        OptionError: it is no table, or a field is unknown, or not of the type that ``kind`` declares.
    """
    if not isinstance(table, Mapping):
        raise OptionError(f"the fields must be a table; found {quoted(table)}.")
    given, kinds = cast("Mapping[str, object]", table), get_type_hints(kind)
    check_known(given, kinds)
    return {name: _made(read_field(given, name, kinds[name]), kinds[name]) for name in given}


def _made(value: Any, kind: Any) -> Any:  # noqa: ANN401
    if get_origin(kind) is tuple:
        return tuple(value)
    return kind(value) if isinstance(kind, EnumType) else value


def read_field(table: Mapping[str, object], name: str, kind: Any, default: object = None) -> Any:  # noqa: ANN401
    """Return the field ``name``, as it stands in ``table``, or the default.

    Example:
        >>> read_field({"seed": 3}, "seed", int), read_field({}, "seed", int | None)
        (3, None)

    Raises:
        OptionError: it `fits` not.
    """
    value = table.get(name, default)
    words, fitting = _meaning(kind)
    if not fitting(value):
        raise OptionError(f"{name} must be {words}; found {quoted(value)}.")
    return value


def check_known(table: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a field that is not among the ``known``.

    Raises:
        OptionError: naming the first.
    """
    names = tuple(known)
    if unknown := sorted(set(table).difference(names)):
        raise OptionError(f"unknown field {quoted(unknown[0])}; known are {', '.join(names)}.")


def check_choices(value: object) -> None:
    """Refuse a dataclass of which a field is none of the literals that it declares.

    Raises:
        OptionError: naming the first.
    """
    for name, kind in get_type_hints(type(value)).items():
        if get_origin(kind) is Literal:
            read_field(vars(value), name, kind)


def fits(value: object, kind: Any) -> bool:  # noqa: ANN401
    """Return whether ``value`` is a ``kind``: a plain type of JSON, some literals, a list or tuple of one, or a union.

    Example:
        >>> fits([1, True], list[int]), fits(3, float), fits("l1", Literal["l1", "l2"] | None)
        (False, True, True)
    """
    return _meaning(kind)[1](value)


def _meaning(kind: Any) -> tuple[str, Callable[[Any], bool]]:  # noqa: ANN401
    """Return ``kind`` in words, and whether a value is one."""
    form, parts = get_origin(kind), get_args(kind)
    if form is Literal:
        # True is 1 to Python
        return f"one of {', '.join(map(str, parts))}", lambda x: (type(x), x) in [(type(part), part) for part in parts]
    if isinstance(kind, EnumType):
        names = [str(name) for name in cast("Iterable[object]", kind)]
        return f"one of {', '.join(names)}", lambda x: isinstance(x, str) and x in names
    if form in (Union, UnionType):
        each = [_meaning(part) for part in parts]
        return " or ".join(words for words, _ in each), lambda x: any(fitting(x) for _, fitting in each)
    if form in (list, tuple):
        item, fitting = _meaning(parts[0])
        return f"a list, each item {item}", lambda x: isinstance(x, list) and all(map(fitting, cast("list[object]", x)))
    return _PLAIN[form or kind]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


_PLAIN: dict[object, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda x: isinstance(x, str)),
    int: ("of type int", _is_whole),
    float: ("a finite number", lambda x: _is_whole(x) or (isinstance(x, float) and math.isfinite(x))),
    bool: ("true or false", lambda x: isinstance(x, bool)),
    dict: ("a table", lambda x: isinstance(x, dict)),
    list: ("a list", lambda x: isinstance(x, list)),
    NoneType: ("null", lambda x: x is None),
}
