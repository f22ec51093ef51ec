"""What a network takes and answers, found by asking it: its class does not say.

A network's first weights tell its channels, or how many numbers it takes. Which height and width it takes is tried.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cae_core.errors import ModelError
from cae_core.signature import Ending, Signature, TensorSign

__all__ = ["USUAL_SIDE", "answer_sign", "answered", "tried"]

USUAL_SIDE = 32

_SIZES = (USUAL_SIDE, 28, 8, 16, 64, 224, 96, 48, 128, 299, 256, 20, 24, 160, 192, 384)
"""Pixels of height and width, the frequent ones first; a network that takes two of them takes any."""

_SUMS_TO_ONE = 1e-3


def tried(network: nn.Module, *, origin: str) -> Signature:
    """Return the tensors of a network, by the shapes of two images on which it does not fail.

    Raises:
        ModelError: it fails on all of them.
    """
    network.eval()
    asked = ((shape, answered(network, torch.zeros(2, *shape))) for shape in _shapes(network))
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
    return Signature(inputs=(TensorSign(name="input", dtype="float32", shape=shape),), outputs=(answer_sign(answer),))


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


def answered(network: nn.Module, images: Tensor) -> Tensor | None:
    """Return what a network answers; None where it fails, or answers no tensor with a row for each image."""
    try:
        with torch.no_grad():
            answer: object = network(images)
    except Exception:  # noqa: BLE001 - whatever the user's network raises, it does not take this shape
        return None
    if not isinstance(answer, Tensor) or answer.ndim not in (1, 2) or len(answer) != len(images):
        return None
    return answer


def answer_sign(answer: Tensor) -> TensorSign:
    """Return what an answer for some images shows of the output."""
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
