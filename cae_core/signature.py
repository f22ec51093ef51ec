"""What a model's file says of its tensors by itself, without a contract and without being asked anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Ending", "Signature", "TensorSign"]

Ending: TypeAlias = Literal["softmax", "log_softmax", "sigmoid"]


@dataclass(frozen=True, kw_only=True)
class TensorSign:
    """One tensor that a model takes or answers.

    Attributes:
        name: of the tensor.
        dtype: as NumPy calls it, such as ``"float32"``; ``"string"``; else as the format calls it.
        shape: an axis of any size is a string or None; None: the file does not say.
        ending: of an output: the function at the graph's end, where it can be told.
        scale: of a quantised tensor, whose number q is scale * (q - zero_point), where the file says so.
        zero_point: likewise.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None
    ending: Ending | None = None
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The tensors of a model.

    Attributes:
        inputs: that must be given; weights are none.
        outputs: in the file's order.
        metadata: texts by name, such as ONNX's ``metadata_props``.
    """

    inputs: tuple[TensorSign, ...]
    outputs: tuple[TensorSign, ...]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
