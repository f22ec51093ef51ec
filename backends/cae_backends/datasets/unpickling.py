"""Pickled originals, read without running them: a pickle is a program, so only plain data are ever made of it.

The interpreter is the one that Python's library has in Python: the one in C makes memory of any size that a pickle
names, and a crash of a key that is nested deeply enough.
"""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from cae_backends.datasets.pickled_arrays import PickledKind, answers, fill_array
from cae_core.errors import DataError, first_line

__all__ = ["unpickle_table"]

_PLAIN = (
    "MARK", "STOP", "POP", "POP_MARK", "DUP", "PROTO", "FRAME", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1",
    "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "TUPLE", "EMPTY_TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT", "SETITEM", "SETITEMS",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
)  # fmt: skip
"""The instructions that plain data take: no classes, no sets, nothing that refers to anything outside."""


_INTERPRETER = pickle._Unpickler  # the one in C cannot be told what not to do
_DISPATCH = {code: _INTERPRETER.dispatch[code] for code in (getattr(pickle, name)[0] for name in _PLAIN)}


class _PlainData(_INTERPRETER):
    """Makes arrays, lists, tuples, dictionaries, strings and numbers, and refuses everything else."""

    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]
    append: Callable[[Any], None]
    stack: list[Any]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._length = len(content)
        self._known = answers()

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class has it
        if (module, name) not in self._known:
            asked = first_line(ValueError(f"{module}.{name}"))
            raise DataError(f"the pickle asks for {asked}, which no data set needs. Do not trust it.")
        return self._known[module, name]

    def build(self) -> None:
        """Fill an array or the type of its numbers; no other object may be changed."""
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, PickledKind):
            made.fill(state)
        elif isinstance(made, np.ndarray):
            fill_array(made, state)
        else:
            raise DataError("the pickle changes an object that is no array. Do not trust it.")

    def bytearray8(self) -> None:
        """Read bytes: as many as the file has, whatever it says."""
        (length,) = struct.unpack("<Q", self.read(8))
        if length > self._length:
            raise EOFError
        self.append(self.read(length))

    def setitems(self) -> None:
        """Add to a dictionary, whose keys are texts: to compare deeply nested ones ends the process."""
        items = self.pop_mark()
        _check_keys(items)
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def setitem(self) -> None:
        """See `setitems`."""
        value, key = self.stack.pop(), self.stack.pop()
        _check_keys([key])
        self.stack[-1].update({key: value})

    def table(self) -> None:
        """See `setitems`."""
        items = self.pop_mark()
        _check_keys(items)
        self.append(dict(zip(items[::2], items[1::2], strict=True)))

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        **_DISPATCH,
        pickle.BUILD[0]: build,
        pickle.BYTEARRAY8[0]: bytearray8,
        pickle.SETITEMS[0]: setitems,
        pickle.SETITEM[0]: setitem,
        pickle.DICT[0]: table,
    }


def unpickle_table(content: bytes, where: str) -> dict[str, Any]:
    """Return the dictionary that Python 2 or 3 pickled, its keys as text; other strings of Python 2 are bytes.

    Raises:
        DataError: it is truncated, no dictionary, or asks for more than plain data.
    """
    try:
        table = _PlainData(content).load()
    except DataError as exc:
        raise DataError(f"{where}: {exc}") from exc
    except (
        pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, struct.error,
        MemoryError, OverflowError, RecursionError,
    ) as exc:  # fmt: skip
        raise DataError(f"{where} is truncated or no python file of its data set. Download it again.") from exc
    if not isinstance(table, dict):
        raise DataError(f"{where} must hold a dictionary; found {type(table).__name__}.")
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in table.items()}


def _check_keys(items: list[Any]) -> None:
    if not all(isinstance(key, bytes | str | int) for key in items[::2]):
        raise DataError("the pickle holds a dictionary whose keys are no texts, which no data set needs.")
