"""JSON objects in files, such as a verdict: read by programs and by people."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from cae_core.errors import VerdictError
from cae_core.reading import check_depth, read_limited, reading

__all__ = ["JsonFields", "as_json", "ascii_json", "read_hashed_record", "read_record", "readable_json"]


_LARGEST = 1 << 25
"""Bytes of a record at most; a verdict of 100,000 answers has a third of it, and values take twenty times as many."""


class JsonFields(Protocol):
    """A value whose JSON object is not its fields in their order: some have another name, are left out or derived."""

    def json_fields(self) -> Mapping[str, object]:
        """Return what stands in the object instead; `as_json` turns each of them into JSON in its turn.

        ``{**vars(self), "complete": self.complete}`` adds one to the fields.
        """
        ...


_AS_IT_IS = (str, int, float, bool, type(None))
"""Types whose values JSON holds as they are."""


def as_json(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return ``value`` as JSON holds it.

    A dataclass becomes an object of its fields in their order, or of its `JsonFields`; a mapping likewise; a tuple or
    list becomes a list; a path its text; bytes their hexadecimal digits; a time its ISO form; a scalar of NumPy the
    number.

    Raises:
        TypeError: JSON has nothing for it, and nothing is guessed.

    Example:
        >>> as_json({"file": Path("a.onnx"), "nonce": bytes([0, 255]), "interval": (np.float64(0.5), None)})
        {'file': 'a.onnx', 'nonce': '00ff', 'interval': [0.5, None]}
    """
    kind = cast("type[object]", type(value))
    if kind in _AS_IT_IS:  # most values, and this is fast
        return value
    if kind in (list, tuple):
        return [as_json(item) for item in cast("list[object]", value)]
    if hasattr(kind, "json_fields"):  # as `JsonFields` says, which is slow to be asked
        return as_json(value.json_fields())
    if kind is dict or isinstance(value, Mapping):  # in this order: the second is slow too
        return {str(name): as_json(item) for name, item in cast("Mapping[object, object]", value).items()}
    if dataclasses.is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case np.generic():  # first: np.float64 is a float as well
            return cast("object", value.item())
        case Path():
            return str(value)
        case int() | float() | str():  # of a subclass, such as the names of an enum
            return value
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case _:
            raise TypeError(f"JSON holds no {type(value).__name__}; found {value!r}.")


def read_record(path: Path, *, remedy: str = "") -> dict[str, Any]:
    """Read one JSON object, such as a verdict's.

    Args:
        path: of the file.
        remedy: what to do where it cannot be read, in a sentence; where empty, to give the file that was meant.

    Raises:
        VerdictError: no such file, or no JSON object.
    """
    return read_hashed_record(path, remedy=remedy)[0]


def read_hashed_record(path: Path, *, remedy: str = "") -> tuple[dict[str, Any], str]:
    """Read one JSON object as `read_record` does, and return it with the SHA-256 of the very bytes it was read from."""
    with reading(path, VerdictError, fault="cannot be read", remedy=remedy or "Give an existing JSON file."):
        content = read_limited(path, _LARGEST)
    with reading(
        path, VerdictError, fault="this is not JSON", remedy=remedy or "Give the file that the command wrote."
    ):
        value = json.loads(content)
        check_depth(value)
    if not isinstance(value, dict):
        raise VerdictError(f"{path}: this is not a JSON object. {remedy or 'Give the file that the command wrote.'}")
    return cast("dict[str, Any]", value), hashlib.sha256(content).hexdigest()


def readable_json(record: object) -> bytes:
    """Return ``record``, see `as_json`, as people read it: indented, with a line's end, and `ascii_json`."""
    return (ascii_json(as_json(record), indent=2, allow_nan=False) + "\n").encode("ascii")


def ascii_json(value: object, *, indent: int | None = None, allow_nan: bool = True) -> str:
    r"""Return ``value`` in JSON of printable ASCII: no name in it does anything to a screen, or cannot be encoded.

    Example:
        >>> ascii_json(["\u202e", "\x7f"])
        '["\\u202e", "\\u007f"]'
    """
    # the one character of ASCII that JSON leaves as it is and that nobody can see; it stands in strings only
    return json.dumps(value, indent=indent, allow_nan=allow_nan).replace("\x7f", "\\u007f")
