"""The tensors of a network of one's own, found by asking it: neither a class nor TorchScript says what it takes.

A network's first weights tell its channels, or how many numbers it takes. Which height and width it takes is tried.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from cae_backends.torch.opening import make_named
from cae_backends.torch.programs import load_exported, load_scripted
from cae_core.errors import ModelError
from cae_core.signature import Ending, Signature, TensorSign

__all__ = ["signature_of_torch", "tried"]

_SIZES = (32, 28, 8, 16, 64, 224, 96, 48, 128, 299, 256, 20, 24, 160, 192, 384)
"""Pixels of height and width, the frequent ones first; a network that takes two of them takes any."""

_SUMS_TO_ONE = 1e-3


def signature_of_torch(spec: str) -> Signature:
    """Return the tensors of ``torch:module:Class(args)=weights``, of a TorchScript file or of an exported program.

    Raises:
        ModelError: it cannot be loaded, or takes none of the shapes that are tried.
    """
    if spec.startswith("torch:"):
        named, network, _ = make_named(spec)
        return tried(network, origin=named.words)
    path = Path(spec)
    if path.suffix.lower() != ".pt2":
        return tried(load_scripted(path), origin=spec)
    program = load_exported(path)
    if len(program.input_shape) < 2:
        raise ModelError(f"{spec}: a classifier of images has one input, a tensor. Export it with one.")
    image = tuple(axis or _SIZES[0] for axis in program.input_shape)
    taken = TensorSign(name="input", dtype=program.dtype, shape=program.input_shape)
    answer = _answered(program.module, torch.zeros(image, dtype=getattr(torch, program.dtype)))
    if answer is None:
        raise ModelError(f"{spec}: the program fails on its own input, {image}. Export it again.")
    return Signature(inputs=(taken,), outputs=(_sign(answer),))


def tried(network: nn.Module, *, origin: str) -> Signature:
    """Return the tensors of a network, by the shapes of two images on which it does not fail.

    Raises:
        ModelError: it fails on all of them.
    """
    network.eval()
    asked = ((shape, _answered(network, torch.zeros(2, *shape))) for shape in _shapes(network))
    taken = ((shape, answer) for shape, answer in asked if answer is not None)
    first, answer = next(taken, (None, None))
    if first is None or answer is None:
        raise ModelError(
            f"{origin}: it fails on images of all sizes that were tried ({', '.join(map(str, sorted(_SIZES)))}). "
            "State its contract (--contract)."
        )
    second, _ = next(taken, (None, None))
    other_size = second is not None and len(first) == len(second) and first[0] == second[0]
    shape = (None, first[0], None, None) if other_size else (None, *first)
    return Signature(inputs=(TensorSign(name="input", dtype="float32", shape=shape),), outputs=(_sign(answer),))


def _shapes(network: nn.Module) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of one image: by the first weights; those of a linear layer may also be of a flattened image."""
    first = next((value for value in network.state_dict().values() if value.ndim in (2, 4)), None)
    numbers = None if first is None or first.ndim == 4 else int(first.shape[1])
    channels = (3, 1) if first is None or first.ndim == 2 else (int(first.shape[1]),)
    for k in channels:
        sizes = _SIZES if numbers is None else _side(numbers, k)
        yield from ((k, size, size) for size in sizes)
    if numbers is not None:
        yield (numbers,)


def _side(numbers: int, channels: int) -> tuple[int, ...]:
    side = math.isqrt(numbers // channels)
    return (side,) if side * side * channels == numbers else ()


def _answered(network: nn.Module, images: Tensor) -> Tensor | None:
    """Return what a network answers; None where it fails, or answers no tensor with a row for each image."""
    try:
        with torch.no_grad():
            answer: object = network(images)
    except Exception:  # noqa: BLE001 - whatever the user's network raises, it does not take this shape
        return None
    if not isinstance(answer, Tensor) or answer.ndim not in (1, 2) or len(answer) != len(images):
        return None
    return answer


def _sign(answer: Tensor) -> TensorSign:
    shape = (None, *answer.shape[1:])
    return TensorSign(
        name="output", dtype=str(answer.dtype).removeprefix("torch."), shape=shape, ending=_ending(answer)
    )


def _ending(answer: Tensor) -> Ending | None:
    if answer.ndim != 2 or answer.shape[1] < 2 or not answer.is_floating_point():
        return None
    endings: tuple[tuple[Ending, Tensor], ...] = (("softmax", answer), ("log_softmax", answer.exp()))
    for ending, values in endings:
        if values.min() >= 0 and (values.sum(1) - 1).abs().max() <= _SUMS_TO_ONE:
            return ending
    return None
