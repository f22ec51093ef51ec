"""Is a white box what its file says? Asked at every opening with gradients, before anything rests on the answers.

Whatever turns a file into something differentiable may be wrong about it without a word: an operator converted
otherwise than the runtime computes it, a network left in training mode, probabilities taken for logits. So a few images
are asked of the white box and of a *witness*, another implementation of the same file; and the gradient is held against
slopes. The images are drawn anew each time: whoever made the file cannot know on which ones it has to look right.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, as_unit_float
from cae_core.contract import Contract
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.models import DifferentiableModel, Witness
from cae_core.resize import resize
from cae_core.softmax import log_softmax

__all__ = ["OpenedWhiteBox", "check_white_box"]

_IMAGES = 4
"""How many ordinary images, and how many of noise, are asked."""

_SIZES = (32, 64, 224, 8)
"""Heights and widths that are tried where neither the file nor its contract names one."""

_OF_SPREAD = 1e-4
_TIMES_OWN = 10
# Two implementations may differ by this share of the logits' spread, or by this many times what one differs by itself.

_ROUNDINGS = 8
"""Two implementations in less than float32 may differ by this many units of the last place, of the logits' spread."""

_FLOOR, _COARSE_FLOOR = np.log(1e-29), np.log(2.0**-13)
# A probability below has lost its digits, in float32 and in half precision, before its logarithm is taken.

_ROUNDING = 1e-6
"""Of a logit, relative, in float32 after a network's sums."""

_STEPS = (1e-3, 2e-3)
"""Of the two central differences, for each pixel of an image in [0, 1]."""

_STEPS_AGREE, _SLOPES_AGREE = 0.05, 0.15
# Relative. Where the two slopes differ by more, a kink lies between them, or rounding is all that is seen.


@runtime_checkable
class OpenedWhiteBox(DifferentiableModel, Protocol):
    """A white box that was read from a file.

    Attributes:
        contract: what it takes and answers.
        image_shape: (h, w, k) of the canonical images that it takes; None: any.
        witness: answers for the same file; None where there is none.
    """

    contract: Contract
    image_shape: tuple[int | None, int | None, int | None]
    witness: Witness | None


def check_white_box(
    model: OpenedWhiteBox,
    *,
    origin: str,
    images: NDArray[np.uint8] | None = None,
    rng: np.random.Generator | None = None,
) -> None:
    """Refuse a white box that does not compute what its file says, or whose gradient is not its slope.

    Args:
        model: opened from a file.
        origin: what it is called in messages.
        images: uint8 (n, h, w, k), ordinary images of which some are asked; None: smooth ones are made.
        rng: draws the images; None: nobody can know beforehand which ones they are.

    Raises:
        ModelError: values, repeated answers or slopes disagree, or the gradient is zero or not finite.
        ContractError: the answers are not what the contract says, or nobody says which images the model takes.
    """
    rng = np.random.default_rng() if rng is None else rng
    drawn, logits = _first_answers(model, origin, images, rng)
    if not np.isfinite(logits).all():
        raise ModelError(f"{origin}: the model answers NaN or infinity for ordinary images. Is its contract right?")
    _check_kind_of_answer(model, drawn, logits, origin)
    spread = float(np.ptp(logits))
    tolerance = _OF_SPREAD * spread
    if model.witness is not None:
        tolerance = _check_values(model.witness, drawn, logits, origin)
    _check_repeated(model, drawn, logits, tolerance, origin)
    _check_gradient(model, drawn[-_IMAGES:], rng, origin)


def _first_answers(
    model: OpenedWhiteBox, origin: str, images: NDArray[np.uint8] | None, rng: np.random.Generator
) -> tuple[Floats32, Floats32]:
    """Draw images, ordinary ones and noise, that the model takes, float32 (n, h, w, k); return them and its logits."""
    if images is not None:
        ordinary = as_unit_float(images[np.sort(rng.permutation(len(images))[:_IMAGES])])
        drawn = np.concatenate([ordinary, _noise(images.shape[1:], rng)])
        return drawn, model.vjp(drawn)[0]
    tried: list[CaeError] = []
    for shape in _shapes(model):
        drawn = np.concatenate([_smooth(shape, rng), _noise(shape, rng)])
        try:
            return drawn, model.vjp(drawn)[0]
        except CaeError as error:
            tried.append(error)
    if len(tried) == 1:
        sentence = str(tried[0]).removeprefix(f"{origin}: ").rstrip(".")
        raise ModelError(
            f"{origin}: it cannot be asked about an image of the size that it takes ({sentence}). "
            "Correct layout, channels or size in its contract, or export it with a free batch."
        ) from tried[0]
    raise ContractError(
        f"{origin}: nobody says which images the model takes, and it takes none of the usual sizes ({tried[0]}). "
        'Give size and channels in its contract, such as size = [32, 32], channels = "RGB".'
    )


def _shapes(model: OpenedWhiteBox) -> Iterator[tuple[int, int, int]]:
    height, width, channels = model.image_shape
    contract = model.contract
    if contract.mean_image is not None:
        height, width = contract.mean_image.shape[:2]
    if contract.size is not None:
        height, width = contract.size
    if contract.channels is not None:
        channels = 1 if contract.channels == "GRAY" else 3
    for k in (3, 1) if channels is None else (channels,):
        for size in _SIZES if height is None or width is None else (0,):
            yield height or size, width or size, k


def _smooth(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats32:
    coarse = rng.uniform(0.1, 0.9, (_IMAGES, 4, 4, shape[2])).astype(np.float32)
    return resize(coarse, shape[:2], "bilinear").clip(0, 1)


def _noise(shape: Sequence[int], rng: np.random.Generator) -> Floats32:
    return rng.uniform(0.05, 0.95, (_IMAGES, *shape)).astype(np.float32)


def _check_kind_of_answer(model: OpenedWhiteBox, drawn: Floats32, logits: Floats32, origin: str) -> None:
    """Refuse logits that are probabilities, and probabilities that are none."""
    if model.contract.output == "logits":
        sums = logits.sum(axis=1, dtype=np.float64)
        if logits.shape[1] > 1 and logits.min() >= 0 and np.abs(sums - 1).max() <= 1e-3:
            raise ContractError(
                f'{origin}: its contract says output = "logits" and every answer is a row of probabilities: the model '
                'ends in a softmax. Correct it to output = "probabilities".'
            )
        return
    told = model.predict(drawn).probabilities
    if told is None:
        return
    low, sums = float(told.min()), told.sum(axis=1, dtype=np.float64)
    if low < -1e-3 or np.abs(sums - 1).max() > 1e-2:
        raise ContractError(
            f'{origin}: its contract says output = "probabilities" and its answers are none: the least is {low:.3g}, '
            f"and those for one image sum to {sums[np.abs(sums - 1).argmax()]:.3g}. Logits and log-probabilities both "
            'are output = "logits".'
        )


def _check_values(witness: Witness, drawn: Floats32, logits: Floats32, origin: str) -> float:
    """Compare with the witness, and return the tolerance. A softmax does not see a shift, so neither does this."""
    told = witness.logits(drawn)
    floor = _FLOOR if witness.resolution < 1e-6 else _COARSE_FLOOR
    expected, found = _log_probabilities(told, floor), _log_probabilities(logits, floor)
    if expected.shape != found.shape:
        raise ModelError(
            f"{origin}: {witness.name} answers {expected.shape[1]} classes for this file, and the white box "
            f"{found.shape[1]}. Use the framework that the model comes from."
        )
    own = np.abs(_log_probabilities(witness.logits(drawn, plain=True), floor) - expected).max()
    # a probability's logarithm is spread by how sure the model is, as a logit is
    spread = max(float(np.ptp(expected)), float(np.ptp(logits)))
    coarse = _ROUNDINGS * witness.resolution if witness.resolution > 1e-6 else 0.0
    tolerance = float(max(_OF_SPREAD * spread, _TIMES_OWN * own, coarse * spread))
    worst = float(np.abs(found - expected).max())
    if not worst <= tolerance:
        raise ModelError(
            f"{origin}: with gradients the model answers something else than {witness.name} answers for the same file "
            f"(logits differ by {worst:.2g}; {tolerance:.2g} would be rounding). Export it at another opset, or use "
            "the framework that it comes from."
        )
    return tolerance


def _check_repeated(model: OpenedWhiteBox, drawn: Floats32, logits: Floats32, tolerance: float, origin: str) -> None:
    """Ask some images again, among other neighbours and in another order."""
    some = [5, 2, 0]
    worst = float(np.abs(model.vjp(np.ascontiguousarray(drawn[some]))[0] - logits[some]).max())
    if not worst <= max(tolerance, _ROUNDING * float(np.abs(logits).max())):
        raise ModelError(
            f"{origin}: the same images get other answers when they are asked again among others (logits differ by "
            f"{worst:.2g}). The network was left in training mode (dropout, or statistics of the batch), or is random. "
            "Export it in evaluation mode."
        )


def _check_gradient(model: OpenedWhiteBox, drawn: Floats32, rng: np.random.Generator, origin: str) -> None:
    logits, pull_back = model.vjp(drawn)
    upstream = rng.standard_normal(logits.shape).astype(np.float32)
    upstream -= upstream.mean(axis=1, keepdims=True)
    gradient = pull_back(upstream)
    if not np.isfinite(gradient).all():
        raise ModelError(f"{origin}: the gradient is NaN or infinite for ordinary images. Use another export.")
    if not gradient.any():
        raise ModelError(
            f"{origin}: the gradient is zero everywhere: the answer does not depend on the image in a way that can be "
            "differentiated. Is the contract right, and is the model's arithmetic in floats?"
        )
    direction = rng.choice(np.array([-1, 1], np.float32), drawn.shape)
    expected = (gradient * direction).reshape(len(drawn), -1).sum(axis=1, dtype=np.float64)
    near, far = (_slopes(model, drawn, direction, upstream, step) for step in _STEPS)
    rounding = _ROUNDING * np.abs(logits * upstream).sum(axis=1, dtype=np.float64) / _STEPS[0]
    sure = np.abs(near - far) <= _STEPS_AGREE * np.minimum(np.abs(near), np.abs(far))
    sure &= np.abs(near) > 10 * rounding
    wrong = sure & (np.abs(near - expected) > _SLOPES_AGREE * np.maximum(np.abs(near), np.abs(expected)))
    if wrong.sum() > max(1, sure.sum() / 2):
        place = int(np.flatnonzero(wrong)[0])
        raise ModelError(
            f"{origin}: the gradient is not the slope of the answers (in one direction {expected[place]:.3g} and not "
            f"{near[place]:.3g}). Export the model at another opset, or use the framework that it comes from."
        )


def _slopes(model: OpenedWhiteBox, drawn: Floats32, direction: Floats32, upstream: Floats32, step: float) -> Floats64:
    """Return central differences (n,) of the combination ``upstream`` of the logits, whose values were checked."""

    def value(sign: int) -> Floats64:
        moved = np.clip(drawn + np.float32(sign * step) * direction, 0, 1).astype(np.float32)
        return np.asarray((model.vjp(moved)[0].astype(np.float64) * upstream).sum(axis=1), np.float64)

    return (value(1) - value(-1)) / (2 * step)


def _log_probabilities(logits: NDArray[Any], floor: float) -> Floats64:
    values: Floats64 = np.maximum(log_softmax(logits.astype(np.float64)), floor)
    return values
