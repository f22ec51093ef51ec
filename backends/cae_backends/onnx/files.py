"""Reading ONNX files, for whoever looks at their graph: nothing of torch, nor of the runtime, is needed for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_backends.onnx.external_data import external_files, load_external_data
from cae_core.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["files_of_onnx", "read_graph", "read_onnx", "says"]

_COMMENTS = frozenset({"doc_string", "producer_name", "producer_version"})
"""Texts that nothing is computed or found by."""

_LARGEST = (1 << 31) - 1
"""Bytes: no protobuf message is larger."""

_PART = 1 << 22
"""Bytes that are looked through at once."""

_DIVISORS = frozenset({"blocksize", "dilations", "group", "kernel_shape", "num_groups", "num_outputs", "strides"})
_VALUES = frozenset({"TensorProto", "SparseTensorProto", "ValueInfoProto", "StringStringEntryProto"})
"""Messages in which no attribute stands."""


def read_onnx(path: Path) -> "ModelProto":
    """Read an ONNX file, with the external data beside it.

    Raises:
        ModelError: it cannot be read, is no ONNX model, has a text that is not UTF-8, or lacks some of its weights.
    """
    return read_graph(path, weights=True)


def read_graph(path: Path, *, weights: bool = False) -> "ModelProto":
    """Read an ONNX file, without the external data beside it unless its ``weights`` are wanted.

    Raises:
        ModelError: as of `read_onnx`.
    """
    with _failures(path):
        proto = _proto(path)
        if weights:
            load_external_data(proto, path)
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{path}: this is not an ONNX model: it has no graph. Export it again.")
    _refuse_divisors(proto, path)
    return proto


def files_of_onnx(path: Path) -> tuple[Path, ...]:
    """Return every file that an ONNX model is read from: itself, and those that hold its weights.

    Whatever lies in another file stands in this one by the word ``location``: onnx is imported where that is found.

    Raises:
        ModelError: as of `read_onnx`.
    """
    with _failures(path):
        found = external_files(_proto(path), path) if says(path, b"location") else set[Path]()
    return (path, *sorted(found))


def says(path: Path, word: bytes) -> bool:
    """Return whether the bytes of a file hold a word, such as the name of an operator; a longer name may hold it.

    A file of any size takes little memory: it may be another party's, and is looked through outside of its process.
    """
    kept = b""
    with path.open("rb") as file:
        while part := file.read(_PART):
            if word in kept + part:
                return True
            kept = part[1 - len(word) :]
    return False


def _proto(path: Path) -> "ModelProto":
    import onnx

    if path.stat().st_size > _LARGEST:
        raise ModelError(
            f"{path}: the file has {path.stat().st_size} bytes, and an ONNX file has at most {_LARGEST}: larger models "
            "have their weights in a file beside it. Export it again, with external data."
        )
    proto = onnx.load(path, load_external_data=False)
    if not _is_readable(proto):
        raise ModelError(_not_utf8(path))
    return proto


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Turn the failures of reading the file ``path`` into errors.

    Raises:
        ModelError: see `read_onnx`.
    """
    try:
        yield
    except UnicodeDecodeError as exc:  # what an older protobuf says of it
        raise ModelError(_not_utf8(path)) from exc
    except OSError as exc:
        raise ModelError(f"{path}: the model cannot be read ({exc.strerror or exc}).") from exc
    except _unreadable() as exc:
        raise ModelError(f"{path}: this is not an ONNX model, or it is damaged. Export it again.") from exc


def _unreadable() -> tuple[type[Exception], ...]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    return (DecodeError, onnx.checker.ValidationError, ValueError, RuntimeError)


def _not_utf8(path: Path) -> str:
    return f"{path}: the model's names and metadata must be UTF-8; found other bytes. Export it again."


def _refuse_divisors(message: Any, path: Path) -> None:  # noqa: ANN401 - any protobuf message
    """Refuse an attribute of 0 or less that the inference of shapes divides by: it ends the process."""
    if message.DESCRIPTOR.name == "AttributeProto" and message.name in _DIVISORS:
        numbers: list[int] = [*message.ints, *([message.i] if message.HasField("i") else [])]
        least = min(numbers, default=1)
        if least <= 0:
            raise ModelError(
                f"{path}: an operator has {message.name} of {least}; it must be positive. Export it again."
            )
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name not in _VALUES:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                _refuse_divisors(part, path)


def _is_readable(message: Any) -> bool:  # noqa: ANN401 - any protobuf message
    """Return whether every text is UTF-8, protobuf gives others as bytes; comments that are not are emptied."""
    for field, value in message.ListFields():
        parts = [value] if isinstance(value, (str, bytes)) or hasattr(value, "DESCRIPTOR") else value
        if field.message_type is not None:
            if not all(_is_readable(part) for part in parts):
                return False
        elif field.type == field.TYPE_STRING and any(isinstance(part, bytes) for part in parts):
            if field.name not in _COMMENTS:
                return False
            message.ClearField(field.name)
    return True
