"""RNN, GRU and LSTM, step by step, as the ONNX specification writes them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Operators, attributes, function

__all__ = ["OPERATORS"]

State: TypeAlias = tuple[Tensor, ...]
"""The hidden state and, of an LSTM, the cell: (batch, hidden) each."""

Activation: TypeAlias = Callable[[Tensor], Tensor]

Step: TypeAlias = Callable[..., State]
"""Takes the input's share of the gates, the state, R, its bias and the activations to the next state."""

_ACTIVATIONS: dict[str, Activation] = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
_DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def _rnn_step(given: Tensor, state: State, recurrence: Tensor, bias: Tensor, functions: Sequence[Activation]) -> State:
    return (functions[0](given + state[0] @ recurrence.T + bias),)


def _gru_step(
    given: Tensor,
    state: State,
    recurrence: Tensor,
    bias: Tensor,
    functions: Sequence[Activation],
    *,
    linear_before_reset: bool,
) -> State:
    hidden = state[0]
    x_update, x_reset, x_new = given.chunk(3, -1)
    r_update, r_reset, r_new = recurrence.chunk(3, 0)
    b_update, b_reset, b_new = bias.chunk(3, -1)
    update = functions[0](x_update + hidden @ r_update.T + b_update)
    reset = functions[0](x_reset + hidden @ r_reset.T + b_reset)
    if linear_before_reset:
        new = functions[1](x_new + reset * (hidden @ r_new.T + b_new))
    else:
        new = functions[1](x_new + (reset * hidden) @ r_new.T + b_new)
    return ((1 - update) * new + update * hidden,)


def _lstm_step(given: Tensor, state: State, recurrence: Tensor, bias: Tensor, functions: Sequence[Activation]) -> State:
    hidden, cell = state
    to_gate, to_cell, to_hidden = functions
    entry, output, forget, new = (given + hidden @ recurrence.T + bias).chunk(4, -1)
    cell = to_gate(forget) * cell + to_gate(entry) * to_cell(new)
    return to_gate(output) * to_hidden(cell), cell


_STEPS: dict[str, Step] = {"RNN": _rnn_step, "GRU": _gru_step, "LSTM": _lstm_step}


def _recurrent(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:  # noqa: ARG001 - the registry's signature
    kind, told = node.operation_type, attributes(node)
    functions = _functions(kind, told)
    step, states = _STEPS[kind], 2 if kind == "LSTM" else 1
    options = {"linear_before_reset": bool(told.get("linear_before_reset", 0))} if kind == "GRU" else {}
    first = {"forward": 0, "reverse": 1, "bidirectional": 0}[told.get("direction", "forward")]
    if len(node.input_values) > 7 and node.input_values[7]:
        raise NotImplementedError("peepholes")
    if len(node.input_values) > 4 and node.input_values[4]:
        raise NotImplementedError("lengths of sequences")

    def compute(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, *more: Tensor | None) -> Any:  # noqa: ANN401
        directions, hidden = r.shape[0], r.shape[2]
        initial = [*more[1:], None, None][:states]  # after the lengths of the sequences
        ends, outputs = [], []
        for d in range(directions):
            input_bias, own_bias = (r.new_zeros(2 * r.shape[1]) if b is None else b[d]).chunk(2)
            given = x @ w[d].T + input_bias
            state: State = tuple(x.new_zeros(x.shape[1], hidden) if start is None else start[d] for start in initial)
            of_functions = functions[d * len(functions) // directions : (d + 1) * len(functions) // directions]
            backwards, seen = (first + d) % 2 == 1, []
            for share in given.flip(0) if backwards else given:
                state = step(share, state, r[d], own_bias, of_functions, **options)
                seen.append(state[0])
            outputs.append(torch.stack(seen[::-1] if backwards else seen))
            ends.append(state)
        answers = (torch.stack(outputs, 1), *(torch.stack(parts) for parts in zip(*ends, strict=True)))
        return answers[0] if len(node.output_values) == 1 else answers

    return function(node, compute)


def _functions(kind: str, told: dict[str, Any]) -> list[Activation]:
    """Return the activations of all directions.

    Raises:
        NotImplementedError: an activation or an option that is not written here.
    """
    both = told.get("direction", "forward") == "bidirectional"
    names = told.get("activations") or _DEFAULTS[kind] * (2 if both else 1)
    options = [name for name in ("clip", "input_forget", "layout", "activation_alpha") if told.get(name, 0)]
    unknown = [name for name in names if name.lower() not in _ACTIVATIONS]
    if options or unknown or told.get("direction", "forward") not in ("forward", "reverse", "bidirectional"):
        raise NotImplementedError(f"options {', '.join([*options, *unknown])}")
    return [_ACTIVATIONS[name.lower()] for name in names]


OPERATORS: Operators = dict.fromkeys(_STEPS, (_recurrent, (7, 14, 22)))
"""Operator -> (its converter, the versions that take it)."""
