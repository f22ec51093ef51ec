"""The contracts that a model's tensors and metadata allow, for images of one task."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Contract, parse_contract
from cae_core.contract_search.normalisations import NORMALISATIONS, Normalisation, normalisations_of
from cae_core.errors import ContractError, ModelError
from cae_core.resize import RESIZE_RULES
from cae_core.signature import Signature, TensorSign

__all__ = ["FIRST_RULE", "Candidate", "candidates_of", "resized"]

FIRST_RULE = "bilinear"
"""By which a candidate resizes at first; what is left is then tried with the other rules."""

_FLOATS = ("float16", "float32", "float64", "bfloat16")
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_TEXTS = ("string", "str", "object")

_COLOURS = (3, 1)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One contract that may be the model's.

    Attributes:
        contract: by which it is asked.
        words: what is particular about it.
    """

    contract: Contract
    words: str


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """One reading of the input's shape: its layout, its channels, and its height and width where they are fixed."""

    layout: str
    channels: int
    size: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """One combination: a reading of the shape, a normalisation, an order of channels, an output's name and kind."""

    shape: _Shape
    way: Normalisation
    order: str | None
    output: str | None
    kind: str


def candidates_of(
    signature: Signature, images: NDArray[np.uint8], classes: int, *, origin: str
) -> tuple[Candidate, ...]:
    """Return the contracts that a model's tensors allow; the more frequent ones first.

    Args:
        signature: of the model.
        images: uint8 (n, h, w, k), of the task.
        classes: of the task.
        origin: the model, for the message.

    Raises:
        ContractError: its tensors fit no contract for these images.
        ModelError: it is no classifier of images.
    """
    tensor = _image_input(signature, origin)
    height, width, channels = (int(size) for size in images.shape[1:])
    shapes = list(_shapes(tensor, (height, width, channels)))
    if not shapes:
        raise ContractError(
            f"{origin}: its input {_shown(tensor)} takes no images of {height}x{width} with {channels} "
            f"{'channel' if channels == 1 else 'channels'}. Is it a model of this task? Name other data (--data)."
        )
    outputs = _outputs(signature.outputs, classes, origin)
    found = [
        _candidate(
            _Choice(shape=shape, way=way, order=order, output=name, kind=kind), tensor, (height, width, channels)
        )
        for way in _scaled(tensor, (*NORMALISATIONS, *normalisations_of(images, classes)))
        for shape in shapes
        if way.fits(shape.channels, classes)
        for order in _orders(shape.channels, channels)
        for name, kind in outputs
    ]
    return _distinct(found)


def resized(candidate: Candidate) -> tuple[Candidate, ...]:
    """Return a candidate that resizes with each of the other rules."""
    if candidate.contract.resize is None:
        return ()
    return tuple(
        Candidate(contract=candidate.contract.replace(resize=rule), words=f"{candidate.words}, {rule}")
        for rule in RESIZE_RULES
        if rule != candidate.contract.resize
    )


def _image_input(signature: Signature, origin: str) -> TensorSign:
    if not signature.inputs:
        raise ModelError(f"{origin}: it has no input: a classifier has one, its images.")
    first, *others = signature.inputs
    if others:
        named = ", ".join(_shown(tensor) for tensor in signature.inputs)
        raise ModelError(f"{origin}: its inputs are {named}; a classifier has one. Export it without the others.")
    return first


def _shapes(tensor: TensorSign, image: tuple[int, int, int]) -> Iterator[_Shape]:
    """Yield the readings of a shape whose channels can be made of the image's."""
    unknown: list[int | None] = [None, None, None]
    axes = unknown if tensor.shape is None else [_fixed(axis) for axis in tensor.shape[1:]]
    possible = (1, 3) if image[2] == 1 else (3,)
    if len(axes) == 3:
        for layout, (height, width, channels) in (("NCHW", (*axes[1:], axes[0])), ("NHWC", axes)):
            fitting = [k for k in possible if channels in (k, None)]
            yield from (_Shape(layout=layout, channels=k, size=_size(height, width)) for k in fitting)
    elif len(axes) == 2 and 1 in possible and not {*axes} & {*_COLOURS}:
        yield _Shape(layout="HW", channels=1, size=_size(*axes))
    yield from _flat(axes, image, possible)


def _fixed(axis: int | str | None) -> int | None:
    return axis if isinstance(axis, int) and axis > 0 else None


def _flat(axes: Sequence[int | None], image: tuple[int, int, int], possible: Sequence[int]) -> Iterator[_Shape]:
    """Yield the readings of a row of numbers, also where further axes of 1 stand around it."""
    if not axes or len(axes) > 2 or (len(axes) == 2 and 1 not in axes):
        return
    count = None if None in axes else math.prod(x for x in axes if x is not None)
    for channels in possible:
        side = image[:2] if count in (None, image[0] * image[1] * channels) else _square(count, channels)
        if side is not None:
            for layout in ("FLAT",) if channels == 1 else ("FLAT", "FLAT_NCHW"):
                yield _Shape(layout=layout, channels=channels, size=None if side == image[:2] else side)


def _square(count: int | None, channels: int) -> tuple[int, int] | None:
    side = math.isqrt((count or 0) // channels)
    return (side, side) if side and side * side * channels == count else None


def _size(height: int | None, width: int | None) -> tuple[int, int] | None:
    return None if height is None or width is None else (height, width)


def _scaled(tensor: TensorSign, ways: Sequence[Normalisation]) -> Iterator[Normalisation]:
    """Yield what a tensor of this type can take: whole numbers as they are, if it is not a quantised one."""
    for way in ways:
        whole = not way.mean and all(float(x).is_integer() for x in way.range)
        if tensor.dtype in _FLOATS or tensor.scale is not None or (whole and _holds(tensor.dtype, way.range)):
            yield way


def _holds(dtype: str, values: tuple[float, float]) -> bool:
    if dtype not in _INTEGERS or values[1] - values[0] < 2:
        return False
    limits = np.iinfo(dtype)
    return bool(limits.min <= values[0] and values[1] <= limits.max)


def _orders(wanted: int, given: int) -> tuple[str | None, ...]:
    if wanted == 3 and given == 3:
        return (None, "BGR")
    return ("RGB",) if wanted == 3 else (None,)


def _outputs(outputs: Sequence[TensorSign], classes: int, origin: str) -> tuple[tuple[str | None, str], ...]:
    """Return name and kind of the outputs that may be read; None: the only one that can be meant."""
    fitting = [(x, _kind(x, classes)) for x in outputs]
    scores = [(x, kind) for x, kind in fitting if kind not in (None, "labels")]
    labels = [(x, kind) for x, kind in fitting if kind == "labels"]
    chosen = scores or labels
    if not chosen:
        named = ", ".join(_shown(x) for x in outputs) or "nothing"
        raise ContractError(
            f"{origin}: it answers {named}, and the data have {classes} classes. Is it a model of this task? "
            "Name other data (--data), or export the model with a score for each class."
        )
    alone = len(chosen) == 1
    return tuple((None if alone else x.name, str(kind)) for x, kind in chosen)


def _kind(tensor: TensorSign, classes: int) -> str | None:
    """Return what an output can be; None: neither scores of these classes nor labels."""
    rank = None if tensor.shape is None else len(tensor.shape)
    width = None if tensor.shape is None else _width(tensor.shape)
    score = "probabilities" if tensor.ending in ("softmax", "sigmoid") else "logits"
    if tensor.dtype in _FLOATS or (tensor.dtype in _INTEGERS and rank != 1 and width not in (None, 1)):
        if width in (None, classes):
            return "logits" if tensor.ending == "sigmoid" else score
        return score if width == 1 and classes == 2 and rank != 1 else None
    return "labels" if tensor.dtype in (*_INTEGERS, *_TEXTS) and width in (None, 1) else None


def _width(shape: tuple[int | str | None, ...]) -> int | None:
    """Return how many numbers an image gets; None: the file does not say."""
    axes = [x for x in shape[1:] if x != 1]
    if len(axes) > 1 or (axes and not isinstance(axes[0], int)):
        return None if any(not isinstance(x, int) for x in axes) else math.prod(int(x or 1) for x in axes)
    return int(axes[0] or 1) if axes else 1


def _candidate(choice: _Choice, tensor: TensorSign, image: tuple[int, int, int]) -> Candidate:
    way, order, shape = choice.way, choice.order, choice.shape
    size = None if shape.size in (None, image[:2]) else shape.size
    turned = slice(None, None, -1 if order == "BGR" else 1)
    fields = {
        "layout": shape.layout,
        "range": way.range,
        "output": choice.kind,
        "channels": order,
        "size": size,
        "resize": None if size is None else FIRST_RULE,
        "mean": way.mean[turned] or None,
        "std": way.std[turned] or None,
        "output_name": choice.output,
        **_numbers(tensor),
    }
    stated = {name: value for name, value in fields.items() if value is not None}
    words = [shape.layout, way.words, *(["BGR"] if order == "BGR" else []), *([choice.output] if choice.output else [])]
    return Candidate(contract=parse_contract(stated, origin=tensor.name), words=", ".join(words))


def _numbers(tensor: TensorSign) -> dict[str, str | float | int]:
    if tensor.dtype in _FLOATS:
        return {}
    if tensor.scale is None:
        return {"dtype": tensor.dtype}
    return {"dtype": tensor.dtype, "scale": tensor.scale, "zero_point": tensor.zero_point or 0}


def _distinct(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return them without those that say the same as an earlier one."""
    by_contract: dict[str, Candidate] = {}
    for candidate in found:
        by_contract.setdefault(candidate.contract.digest, candidate)
    return tuple(by_contract.values())


def _shown(tensor: TensorSign) -> str:
    shape = "?" if tensor.shape is None else ", ".join("?" if x is None else str(x) for x in tensor.shape)
    return f"{tensor.name} {tensor.dtype} ({shape})"
