"""Reading ONNX files, for whoever looks at their graph: nothing of torch, nor of the runtime, is needed for it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_backends.onnx.external_data import load_external_data
from cae_core.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["read_onnx"]

_COMMENTS = frozenset({"doc_string", "producer_name", "producer_version"})
# texts that nothing is computed or found by

_DIVISORS = frozenset({"blocksize", "dilations", "group", "kernel_shape", "num_groups", "num_outputs", "strides"})
_VALUES = frozenset({"TensorProto", "SparseTensorProto", "ValueInfoProto", "StringStringEntryProto"})
# in which no attribute stands


def read_onnx(path: Path) -> "ModelProto":
    """Read an ONNX file, with the external data beside it.

    Raises:
        ModelError: it cannot be read, is no ONNX model, has a text that is not UTF-8, or lacks some of its weights.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    not_utf8 = f"{path}: the model's names and metadata must be UTF-8; found other bytes. Export it again."
    try:
        proto = onnx.load(path, load_external_data=False)
        if not _is_readable(proto):
            raise ModelError(not_utf8)
        load_external_data(proto, path)
    except UnicodeDecodeError as exc:  # what an older protobuf says of it
        raise ModelError(not_utf8) from exc
    except OSError as exc:
        raise ModelError(f"{path}: the model cannot be read ({exc.strerror or exc}).") from exc
    except (DecodeError, onnx.checker.ValidationError, ValueError, RuntimeError) as exc:
        raise ModelError(f"{path}: this is not an ONNX model, or it is damaged. Export it again.") from exc
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{path}: this is not an ONNX model: it has no graph. Export it again.")
    _refuse_divisors(proto, path)
    return proto


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
