"""Which tensors of a TFLite file are used: its only input, and the output that the contract means."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cae_backends.onnxruntime.settling import check_width
from cae_backends.tflite.tensors import Tensor, tensor_of
from cae_core.contract import Contract, Task
from cae_core.errors import ContractError, ModelError, quoted

__all__ = ["choose_output", "image_input", "settled"]

_SHOWN = 10


def image_input(path: Path, interpreter: Any) -> Tensor:  # noqa: ANN401 - untyped
    """Return the only input.

    Raises:
        ModelError: there is none, or there are several.
    """
    inputs = [tensor_of(one) for one in interpreter.get_input_details()]
    if len(inputs) != 1 or not inputs[0].shape:
        raise ModelError(f"{path}: a classifier of images has one input; found {_listed(inputs)}. Export it with one.")
    return inputs[0]


def choose_output(path: Path, interpreter: Any, contract: Contract, task: Task | None) -> Tensor:  # noqa: ANN401
    """Return the output that the contract names; else the only one that can be what it says, or is as wide as needed.

    Raises:
        ModelError: none, or several.
        ContractError: there is none of the name in the contract.
    """
    outputs = [tensor_of(one) for one in interpreter.get_output_details()]
    if contract.output_name is not None:
        named = [one for one in outputs if one.name == contract.output_name]
        if not named:
            raise ContractError(
                f"{path}: the contract's output_name is {quoted(contract.output_name)}; found {_listed(outputs)}."
            )
        return named[0]
    labels = contract.output == "labels"
    fitting = [one for one in outputs if (one.dtype.kind in "iu" and not one.quantised) == labels]
    if len(fitting) > 1:
        width = len(contract.classes or contract.class_names or ()) or (None if task is None else task.classes)
        fitting = [one for one in fitting if (len(one.shape) <= 1 if labels else one.width == width)]
    if len(fitting) == 1:
        return fitting[0]
    raise ModelError(
        f"{path}: the contract says output = {contract.output!r}, which takes one "
        f"{'integer' if labels else 'float or quantised'} output; found {_listed(outputs)}. Correct the contract's "
        "output, or name the tensor: output_name."
    )


def _listed(tensors: Sequence[Tensor]) -> str:
    return "; ".join(one.words for one in tensors[:_SHOWN]) or "none"


def settled(path: Path, contract: Contract, output: Tensor, task: Task | None) -> Contract:
    """Return the contract by which the model is asked, held against the number of classes.

    Raises:
        ModelError: the model has another number of classes than the task.
        ContractError: the contract's classes are not as many as the outputs, or not the task's.
    """
    try:
        contract = contract.for_task(task)
        if output.width is not None and contract.output != "labels":
            check_width(path, contract, max(output.width, 2), task)
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
    return contract
