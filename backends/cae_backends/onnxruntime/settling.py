"""What is settled of a contract when the model's tensors are seen, and by its first answers."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.onnx.signature import signature_of_onnx
from cae_backends.onnxruntime.inputs import dtype_of
from cae_backends.onnxruntime.outputs import width_of
from cae_core.contract import Contract, Task
from cae_core.contract.answers import scores_of
from cae_core.errors import ContractError
from cae_core.models import NO_ANSWER

__all__ = ["check_probabilities", "check_width", "settled"]

_OUTSIDE = 0.01
"""How far a probability may lie outside of 0 to 1: float16, and scales of quantisers that do not end at 1.

That a row sums to 1 is not asked: a network may end in a sigmoid for each class."""


def settled(path: Path, contract: Contract, output: Any, task: Task | None, *, named: bool) -> Contract:  # noqa: ANN401
    """Return the contract by which the model is asked, held against the number of classes.

    Args:
        path: the file.
        contract: as it was found.
        output: that is read, an ONNX Runtime's NodeArg.
        task: what the model is asked about; None: it is not said.
        named: whether the output's name is to be recorded, since nothing but its width decided.

    Raises:
        ModelError: the model has another number of classes than the task.
        ContractError: the contract's classes are not as many as the outputs, or not the task's.
    """
    if named:
        contract = contract.replace(output_name=str(output.name))
    if dtype_of(output) == "string" and contract.class_names is None and task is not None and task.names:
        contract = contract.replace(class_names=task.names)
    try:
        contract = contract.for_task(task)
        width = width_of(output)
        if width is not None and contract.output != "labels":
            check_width(path, contract, max(width, 2), task)
        if width == 1 and contract.output == "logits":
            _refuse_sigmoid(path, str(output.name))
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    return contract


def _refuse_sigmoid(path: Path, output: str) -> None:
    """Refuse a sigmoid's score that is called a logit: it is never below 0, so that every image would be of class 1."""
    ending = next((tensor.ending for tensor in signature_of_onnx(path).outputs if tensor.name == output), None)
    if ending == "sigmoid":
        raise ContractError(
            'the contract says output = "logits" and the model ends in a sigmoid. Correct it to output = '
            '"probabilities".'
        )


def check_width(path: Path, contract: Contract, width: int, task: Task | None) -> None:
    """Hold the number of a model's outputs against its contract's and the task's classes.

    Raises:
        ModelError: the model has another number of classes than the task.
        ContractError: the contract's classes are not as many.
    """
    if contract.classes is not None:
        contract.to_canonical(np.zeros((1, width), np.float32))
        width = sum(place != NO_ANSWER for place in contract.classes)
    if task is not None:
        task.check_count(width, str(path))


def check_probabilities(path: Path, answer: NDArray[Any], contract: Contract) -> None:
    """Refuse answers (n, c) that a contract calls probabilities and that are none.

    Raises:
        ContractError: they lie outside of 0 to 1.
    """
    if contract.output != "probabilities" or answer.dtype.kind not in "f":
        return
    rows = scores_of(answer, contract.output).astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return
    least, most = float(rows.min()), float(rows.max())
    if least < -_OUTSIDE or most > 1 + _OUTSIDE:
        raise ContractError(
            f'{path}: its contract says output = "probabilities" and its answers are none, they lie from {least:.4g} '
            f'to {most:.4g}. Correct it to output = "logits".'
        )
