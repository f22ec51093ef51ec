"""A model's signature as it comes from a child process, which is not believed."""

import dataclasses
import math
from typing import Any, cast, get_args

from cae_core.containment.child import Answer
from cae_core.containment.frames import BadFrame
from cae_core.signature import Ending, Signature, TensorSign

__all__ = ["signature_table", "told_signature"]

_TENSORS, _AXES, _TEXTS, _LONGEST = 1000, 16, 1000, 1 << 16
"""How many tensors, axes and texts are taken, and the letters of one."""


def signature_table(signature: Signature) -> dict[str, Any]:
    """Return a signature as JSON holds it, its first tensors and texts."""
    return {
        "inputs": [dataclasses.asdict(tensor) for tensor in signature.inputs[:_TENSORS]],
        "outputs": [dataclasses.asdict(tensor) for tensor in signature.outputs[:_TENSORS]],
        "metadata": {k: v for k, v in list(signature.metadata.items())[:_TEXTS] if len(k) + len(v) <= _LONGEST},
    }


def told_signature(answer: Answer) -> Signature | None:
    """Return the signature in a child's answer; None where it has none.

    Raises:
        BadFrame: it says what cannot be.
    """
    told: Any = answer.header.get("signature")
    if told is None:
        return None
    try:
        inputs, outputs, metadata = told["inputs"], told["outputs"], told["metadata"]
        if max(len(inputs), len(outputs)) > _TENSORS or len(metadata) > _TEXTS:
            raise BadFrame("a signature of too many parts")
        return Signature(
            inputs=tuple(map(_tensor, inputs)),
            outputs=tuple(map(_tensor, outputs)),
            metadata={_text(key): _text(value) for key, value in metadata.items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadFrame("a malformed signature") from error


def _tensor(told: Any) -> TensorSign:  # noqa: ANN401 - anything
    shape, ending = told["shape"], told["ending"]
    if not (ending is None or ending in get_args(Ending)) or len(shape or ()) > _AXES:
        raise ValueError("no tensor")
    return TensorSign(
        name=_text(told["name"]),
        dtype=_text(told["dtype"]),
        shape=None if shape is None else tuple(map(_axis, shape)),
        ending=cast("Ending | None", ending),
        scale=_number(told["scale"]),
        zero_point=None if told["zero_point"] is None else _whole(told["zero_point"]),
    )


def _axis(told: object) -> int | str | None:
    return told if told is None or isinstance(told, str) else _whole(told)


def _whole(told: object) -> int:
    if not isinstance(told, int) or abs(told) >= 1 << 63:
        raise ValueError("no whole number")
    return told


def _number(told: object) -> float | None:
    if told is None:
        return None
    if not isinstance(told, float) or not math.isfinite(told) or told <= 0:
        raise ValueError("no scale")
    return told


def _text(told: object) -> str:
    if not isinstance(told, str) or len(told) > _LONGEST:
        raise ValueError("no text")
    return told
