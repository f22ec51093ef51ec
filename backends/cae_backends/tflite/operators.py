"""The operators of a TFLite graph, as far as the interpreter tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cae_core.signature import Ending

__all__ = ["Operator", "ending_of", "operators_of"]

_SAME = frozenset({"DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""They answer the numbers that they are given."""


_ENDINGS: Mapping[str, Ending] = {"SOFTMAX": "softmax", "LOG_SOFTMAX": "log_softmax", "LOGISTIC": "sigmoid"}


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        name: such as ``"CONV_2D"``.
        inputs: the numbers of its tensors.
        outputs: indices of the tensors that it writes.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def operators_of(interpreter: Any) -> tuple[Operator, ...]:  # noqa: ANN401 - untyped
    """Return the operators of the main graph in their order; none where the interpreter does not tell."""
    told: Any = getattr(interpreter, "_get_ops_details", list)()  # there is no public name for it
    return tuple(
        Operator(str(one["op_name"]), tuple(map(int, one["inputs"])), tuple(map(int, one["outputs"]))) for one in told
    )


def ending_of(operators: Sequence[Operator], output: int) -> Ending | None:
    """Return the function whose values the tensor ``output`` has, quantised or in another shape; None: no such one."""
    made_by: dict[int, Operator] = {}
    for operator in operators:  # the file's own come first, and what a delegate has taken over after them
        for tensor in operator.outputs:
            made_by.setdefault(tensor, operator)
    place, seen = output, set[int]()
    while place in made_by and place not in seen:
        seen.add(place)
        if made_by[place].name not in _SAME:
            return _ENDINGS.get(made_by[place].name)
        place = made_by[place].inputs[0]
    return None
