"""What the pickle of a plain array asks for, answered by functions of our own that check sizes before they fill memory.

NumPy 1 and 2 name the same functions differently; protocols 0 to 2 write bytes as text; protocol 5 writes a buffer.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import DataError

__all__ = ["PickledKind", "answers", "fill_array"]

_KINDS = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
_MOST_AXES, _LONGEST_AXIS = 4, 1 << 31


@dataclass
class PickledKind:
    """The type of an array's numbers: a pickle says its code first and its byte order later.

    Attributes:
        code: one of NumPy's for plain numbers, such as ``"u1"``.
        order: of the bytes, ``"<"``, ``">"``, ``"="`` or ``"|"``.
    """

    code: str
    order: str = "="

    def fill(self, state: object) -> None:
        """Take over the byte order, which stands second in ``state``.

        Raises:
            DataError: it is none.
        """
        order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""
        if order not in ("<", ">", "=", "|"):
            raise DataError("the pickle describes the numbers of an array as no data set does.")
        self.order = order

    def dtype(self) -> np.dtype[Any]:
        """Return it as NumPy's."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type] # one of the four above


def answers() -> Mapping[tuple[str, str], Callable[..., Any]]:
    """Return what stands for each name that an array's pickle asks for, by module and name.

    The functions are new ones each time: a pickle may write on them.
    """

    def nothing(*_: object) -> None:
        raise DataError("the pickle makes an array as no data set does.")

    def empty(*_: object) -> NDArray[np.uint8]:
        return np.empty(0, np.uint8)  # its numbers come later

    def table() -> dict[object, object]:
        return {}  # its items come later

    def kind(code: object, *_: object) -> PickledKind:
        if _text(code) not in _KINDS:
            raise DataError("the pickle holds an array of something other than plain numbers.")
        return PickledKind(_text(code))

    def scalar(kind: object, raw: object) -> Any:  # noqa: ANN401 - a number of NumPy's
        return _array(raw, kind, ())[()]

    def from_buffer(raw: object, kind: object, shape: object, order: object, axes: object = None) -> NDArray[Any]:
        if axes is None:
            return _array(raw, kind, shape, by_columns=order == "F")
        array = _array(raw, kind, shape)
        if not (isinstance(axes, tuple) and sorted(map(_whole, axes)) == list(range(array.ndim))):
            raise DataError("the pickle orders the axes of an array as no data set does.")
        return array.transpose(axes)

    def encoded(text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
            raise DataError("the pickle encodes bytes as no data set does.")
        return text.encode("latin-1")

    def content(raw: object = b"", encoding: object = "latin-1") -> bytes:
        return raw if isinstance(raw, bytes) else encoded(raw, encoding)

    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): nothing,  # passed on, never called
        ("numpy", "dtype"): kind,
        ("_codecs", "encode"): encoded,
        ("collections", "OrderedDict"): table,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = empty
        names[f"{core}.multiarray", "scalar"] = scalar
        names[f"{core}.numeric", "_frombuffer"] = from_buffer
    for builtins in ("__builtin__", "builtins"):
        names[builtins, "bytes"] = names[builtins, "bytearray"] = content
    return names


def fill_array(array: NDArray[Any], state: object) -> None:
    """Give an empty ``array`` the shape and numbers of its pickled ``state``: version, shape, kind, by columns, bytes.

    Raises:
        DataError: the state is another one.
    """
    if not isinstance(state, tuple) or len(state) != 5 or array.size:
        raise DataError("the pickle fills an array as no data set does.")
    _, shape, kind, by_columns, raw = state
    made = _array(raw, kind, shape, by_columns=bool(by_columns))
    array.__setstate__((1, made.shape, made.dtype, bool(by_columns), made.tobytes("A")))  # type: ignore[arg-type] # a bool will do


def _array(raw: object, kind: object, shape: object, *, by_columns: bool = False) -> NDArray[Any]:
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, PickledKind) or not isinstance(shape, tuple):
        raise DataError("the pickle holds an array of something other than plain numbers.")
    axes, dtype = [_whole(axis) for axis in shape], kind.dtype()
    fits = len(axes) <= _MOST_AXES and all(0 <= axis < _LONGEST_AXIS for axis in axes)
    if not fits or math.prod(axes) * dtype.itemsize != len(raw):
        raise DataError("the pickle holds an array whose size is not that of its numbers.")
    return np.frombuffer(bytes(raw), dtype).reshape(axes, order="F" if by_columns else "C")


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _text(value: object) -> str:
    """Return a name that Python 2 wrote as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
