"""Which input of an ONNX model takes the images, and what the others are given: leftovers of training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.contract_files import check_rank
from cae_backends.onnx.external_data import shown
from cae_core.contract import Contract
from cae_core.contract.integers import INTEGERS
from cae_core.errors import ContractError, ModelError

__all__ = ["dtype_of", "image_input", "input_dtype"]

_NUMPY = {"float": "float32", "double": "float64"}

_FLOATS = ("float32", "float16", "float64")

_FLAGS = ("train", "phase")
"""Parts of the names of flags that say whether a network is being trained."""

_KEPT, _DROPPED = ("keep",), ("drop", "ratio")
"""Parts of the names of the shares that a dropout keeps, and drops."""


def image_input(path: Path, inputs: Sequence[Any], wanted: str | None = None) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return the input that takes images, and what the others are given.

    A flag of training is given false, and the rate of a dropout the value at which nothing is dropped: what they are in
    inference. No other input is guessed.

    Args:
        path: the file.
        inputs: ONNX Runtime's.
        wanted: the name that the contract gives; None: it gives none.

    Raises:
        ModelError: there is no input, or several that are no leftovers.
    """
    if not inputs:
        raise ModelError(
            f"{path}: it has no input: a classifier has one, its images. Export it with the images as input."
        )
    if len(inputs) == 1:
        return inputs[0], {}
    named = [x for x in inputs if x.name == wanted]
    others = {x.name: _leftover(x) for x in inputs if not named or x is not named[0]}
    images = named or [x for x in inputs if others[x.name] is None]
    given = {name: value for name, value in others.items() if value is not None}
    if len(images) != 1 or len(given) != len(inputs) - 1:
        raise ModelError(_several(path, inputs))
    return images[0], given


def _leftover(tensor: Any) -> NDArray[Any] | None:  # noqa: ANN401 - a NodeArg
    """Return what a leftover of training is given; None where this input is none."""
    name, dtype = tensor.name.lower(), dtype_of(tensor)
    if any(size != 1 for size in tensor.shape):
        return None
    if dtype == "bool" and any(part in name for part in _FLAGS):
        return np.zeros(tensor.shape, np.bool_)
    if dtype in _FLOATS and any(part in name for part in (*_KEPT, *_DROPPED)):
        return np.full(tensor.shape, any(part in name for part in _KEPT), dtype)
    return None


def _several(path: Path, inputs: Sequence[Any]) -> str:
    images = next((x for x in inputs if len(x.shape) == 4), inputs[0])
    others = [shown(x.name) for x in inputs if x is not images]
    constant, them = ("a constant", "it") if len(others) == 1 else ("constants", "them")
    return (
        f"{path}: its inputs are {', '.join(shown(x.name) for x in inputs)}: a classifier has one; make "
        f"{', '.join(others)} {constant}, or export the model without {them}."
    )


def dtype_of(tensor: Any) -> str:  # noqa: ANN401 - a NodeArg
    """Return the type of a tensor as NumPy calls it, such as ``"float32"``; else as ONNX Runtime does."""
    kind = str(tensor.type)
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return _NUMPY.get(inner, inner) if kind.startswith("tensor(") else kind


def input_dtype(path: Path, tensor: Any, contract: Contract) -> str:  # noqa: ANN401 - a NodeArg
    """Return the type of the image tensor, after the contract was held against it.

    Raises:
        ContractError: the contract names another tensor, another type or a layout of another rank.
    """
    if contract.input not in (None, tensor.name):
        raise ContractError(f"{path}: the contract's input is {contract.input!r}; the model's is {tensor.name!r}.")
    check_rank(contract, tensor.shape, origin=str(path))
    dtype = dtype_of(tensor)
    if dtype == contract.dtype or (contract.dtype == "float32" and dtype in _FLOATS):
        return dtype
    raise ContractError(f"{path}: the model takes {dtype} and its contract says {contract.dtype}; {_remedy(dtype)}.")


def _remedy(dtype: str) -> str:
    if dtype in INTEGERS:
        black, white = (-128, 127) if dtype == "int8" else (0, 255)
        return f'dtype = "{dtype}", range = [{black}, {white}], or the scale and zero_point of its quantisation'
    if dtype in _FLOATS:
        return 'a float model has dtype = "float32"'
    return "no image is made of that type: export the model with an input of float32"
