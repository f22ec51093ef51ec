"""Which output of an ONNX model is read, how wide it is, and its answer as rows of scores or as labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.onnx.external_data import shown
from cae_backends.onnxruntime.inputs import dtype_of
from cae_core.contract import Contract, Task
from cae_core.contract.integers import INTEGERS
from cae_core.errors import ContractError, ModelError, quoted

__all__ = ["choose_output", "rows_of", "width_of"]

_FLOATS = ("float32", "float16", "float64")
_INTEGERS = (*INTEGERS, "uint32", "uint64")
_NARROW = ("uint8", "int8", "uint16", "int16")
"""Types of quantised scores; a label has a wider one."""

_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
"""What scikit-learn's converter ends a classifier in, where nobody tells it not to: one dictionary an image."""


def choose_output(path: Path, outputs: Sequence[Any], contract: Contract, task: Task | None) -> tuple[Any, bool]:
    """Return the output that is read, and whether its width alone decided.

    It is the one that the contract names; else the only one that can be what the contract says: integers or names for
    labels, else floats, or dictionaries of them, or integers by rows; else the only one of these that is as wide as
    there are classes.

    Raises:
        ModelError: none can be that, or several.
    """
    if contract.output_name is not None:
        named = [x for x in outputs if x.name == contract.output_name]
        if not named:
            known = ", ".join(shown(x.name) for x in outputs)
            raise ContractError(
                f"{path}: the contract's output_name is {quoted(contract.output_name)}; the model's are {known}."
            )
        return named[0], False
    fitting = _fitting(outputs, labels=contract.output == "labels")
    if len(fitting) == 1:
        return fitting[0], False
    width = len(contract.classes or contract.class_names or ()) or (None if task is None else task.classes)
    as_wide = [x for x in fitting if width is not None and width_of(x) == width]
    if len(as_wide) == 1:
        return as_wide[0], True
    raise ModelError(_undecided(path, outputs, fitting, contract))


def _fitting(outputs: Sequence[Any], *, labels: bool) -> list[Any]:
    if labels:
        whole = [x for x in outputs if dtype_of(x) in _INTEGERS]
        named = [x for x in outputs if dtype_of(x) == "string"]
        return whole if len(whole) == 1 else [x for x in whole if len(x.shape) <= 1] or named
    floats = [x for x in outputs if dtype_of(x) in _FLOATS]
    if len(floats) > 1:
        floats = [x for x in floats if len(x.shape) in (0, 2)] or floats  # 0: of unknown rank
    maps = [x for x in outputs if x.type in _MAPS]
    return floats or maps or [x for x in outputs if _may_be_scores(x)]


def _may_be_scores(tensor: Any) -> bool:  # noqa: ANN401 - a NodeArg
    """Return whether integers can be scores: in rows, and not one wide integer a row, which is a label."""
    dtype = dtype_of(tensor)
    narrow = dtype in _NARROW or width_of(tensor) != 1
    return dtype in _INTEGERS and len(tensor.shape) in (0, 2, 4) and narrow


def _undecided(path: Path, outputs: Sequence[Any], fitting: Sequence[Any], contract: Contract) -> str:
    # a model's outputs are foreign text, and there may be thousands of them
    found = ", ".join(f"{shown(x.name)} {x.type} {list(x.shape)}" for x in outputs[:10])
    kind = "integer" if contract.output == "labels" else "float"
    remedy = (
        f'Name the one that holds them: output_name = "{shown(fitting[0].name)}", for example.'
        if len(fitting) > 1
        else "Correct the contract's output, or export the model with that output only."
    )
    says = f"the contract says output = {contract.output!r}, which takes one {kind} output"
    return f"{path}: {says}; found {found}. {remedy}"


def width_of(tensor: Any) -> int | None:  # noqa: ANN401 - a NodeArg
    """Return how many scores an output has for one image, as far as its shape says; None: it does not."""
    axes = [size for size in tensor.shape[1:] if size != 1]
    if len(tensor.shape) < 2 or len(axes) > 1 or not all(isinstance(size, int) and size > 0 for size in axes):
        return None
    return axes[0] if axes else 1


def rows_of(answer: Any, count: int, contract: Contract, task: Task | None) -> NDArray[Any]:  # noqa: ANN401
    """Return what a model answered ``count`` images as (n, c), c >= 1, or as labels (n,); None where it is neither.

    Axes of one element are left out, such as those of (n, c, 1, 1).

    Raises:
        ContractError: dictionaries whose keys nobody can put into order.
        ValueError: it is neither.
    """
    if isinstance(answer, list):
        return _table(answer, contract, task)
    made: NDArray[Any] = np.asarray(answer)
    if contract.output == "labels":
        if made.size != count or len(made) != count:
            raise ValueError(made.shape)
        return made.reshape(-1)
    if made.ndim == 1 and count == 1 and len(made) > 1:  # exported for one image, without an axis for it
        return made[None]
    wide = [size for size in made.shape[1:] if size != 1]
    label = not wide and made.dtype.kind in "iu" and made.dtype.name not in _NARROW
    if made.ndim < 2 or len(made) != count or len(wide) > 1 or 0 in wide or label:
        raise ValueError(made.shape)
    return made.reshape(count, -1)


def _table(answer: Sequence[Mapping[Any, float]], contract: Contract, task: Task | None) -> NDArray[Any]:
    keys = _ordered(answer[0] if answer else {}, contract, task)
    if any(row.keys() != answer[0].keys() for row in answer):
        raise ContractError("The model's answers name other classes for each image. Export it without ZipMap.")
    return np.array([[row[key] for key in keys] for row in answer], np.float32).reshape(len(answer), len(keys))


def _ordered(row: Mapping[Any, float], contract: Contract, task: Task | None) -> list[Any]:
    """Return the keys of a dictionary in the order of the outputs: as named, by number, by the data's."""
    texts = {str(key): key for key in row}
    if contract.class_names is not None:
        if set(texts) != set(contract.class_names):
            raise ContractError(
                f"The model's answers are of the classes {', '.join(map(quoted, sorted(texts)[:10]))}, and its "
                f"contract names {', '.join(map(quoted, contract.class_names[:10]))}. Correct class_names."
            )
        return [texts[name] for name in contract.class_names]
    if all(text.removeprefix("-").isdecimal() for text in texts):
        return [texts[text] for text in sorted(texts, key=int)]
    places = {text: None if task is None else task.place(text) for text in texts}
    if task is None or set(places.values()) != set(range(task.classes)):
        raise ContractError(
            f"The model's answers are of the classes {', '.join(map(quoted, sorted(texts)[:10]))}. Say in its contract "
            "which these are, by the data set's names: class_names = [...]."
        )
    known = {place: text for text, place in places.items()}
    return [texts[known[place]] for place in range(task.classes)]
