"""What goes between a child process and its parent: a header of JSON, and after it the bytes of arrays.

Either side reads a header of bounded length. What follows it in an answer, the parent knows beforehand: dtype and shape
are its own, and the child chooses the number of classes alone. Nothing is unpickled on either side.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import BackendMissing, CaeError, ContractError, ContractMissing, DataError, ModelError

__all__ = [
    "LARGEST_ANSWER",
    "LARGEST_HEADER",
    "MOST_CLASSES",
    "BadFrame",
    "array_bytes",
    "decoded_header",
    "encoded_header",
    "header_length",
    "one_of_ours",
    "readable",
]

LARGEST_HEADER = 1 << 20
"""Bytes of an answer's header at most."""

MOST_CLASSES = 1 << 16
"""Classes at most; the largest data sets of images have 21,841."""

LARGEST_ANSWER = 1 << 30
"""Bytes of one answer's arrays at most."""

_LONGEST_TEXT = 500

_ERRORS: tuple[type[CaeError], ...] = (ModelError, ContractError, ContractMissing, DataError, BackendMissing)

_LENGTH = struct.Struct(">I")


class BadFrame(Exception):  # noqa: N818 - it never leaves this room's users
    """A child has said what no child of ours says."""


def header_length(content: bytes) -> int:
    """Return the length that the first four bytes of a frame tell."""
    return int(_LENGTH.unpack(content)[0])


def encoded_header(header: Mapping[str, Any]) -> bytes:
    """Return a header as it is sent: its length, and JSON."""
    content = json.dumps(header, separators=(",", ":")).encode()
    return _LENGTH.pack(len(content)) + content


def decoded_header(content: bytes) -> dict[str, Any]:
    """Return the object that a header holds.

    Raises:
        BadFrame: it is none.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadFrame("a header that is no JSON") from error
    if not isinstance(found, dict):
        raise BadFrame("a header that is no object")
    return cast("dict[str, Any]", found)


def array_bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array, without copying those of a contiguous one."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")


def readable(text: object, *, longest: int = _LONGEST_TEXT) -> str:
    r"""Return a foreign text with all that is no letter, sign or blank made visible, cut to ``longest`` characters.

    Lines end as they did: messages may have several.

    Example:
        >>> readable("up\x1b[2Aheld\n")
        'up\\x1b[2Aheld\n'
    """
    shown = "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in str(text)[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def one_of_ours(name: object, text: str) -> CaeError:
    """Return the error of this name; of what is none that opening or asking a model raises, a `ModelError`."""
    return next((kind for kind in _ERRORS if kind.__name__ == name), ModelError)(text)
