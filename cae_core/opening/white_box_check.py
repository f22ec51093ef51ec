"""Is a white box what its file says? Asked at every opening with gradients, before anything rests on the answers.

Whatever turns a file into something differentiable may be wrong about it without a word: an operator converted
otherwise than the runtime computes it, a network left in training mode, probabilities taken for logits. So a few images
are asked of the white box and of a *witness*, another implementation of the same file; and the gradient is held against
slopes. The images are drawn anew each time: whoever made the file cannot know on which ones it has to look right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, as_unit_float
from cae_core.contract import Contract
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.method.softmax import log_softmax
from cae_core.models import DifferentiableModel, Witness
from cae_core.resize import resize

__all__ = ["OpenedWhiteBox", "check_white_box"]

_IMAGES = 4
"""How many ordinary images, and how many of noise, are asked."""

_LARGEST_IMAGE = 1 << 24
"""Values of an image that is made: 2000 x 2000 pixels in colour, and some more."""

_SIZES = (32, 64, 224, 8)
"""Heights and widths that are tried where neither the file nor its contract names one."""

_OF_SPREAD = 1e-4
_TIMES_OWN = 10
"""Two implementations may differ by this share of the logits' spread, or by so many times what one by itself does."""

_ROUNDINGS = 8
"""Two implementations in less than float32 may differ by this many units of the last place, of the logits' spread."""

_FLOOR, _COARSE_FLOOR = np.log(1e-29), np.log(2.0**-13)
"""A probability below has lost its digits, in float32 and in half precision, before its logarithm is taken."""

_LAST_PLACES = 4 * 2.0**-23
"""Two probabilities in float32 that differ by less are the same."""

_ROUNDING = 1e-6
"""Of a logit, relative, in float32 after a network's sums."""

_STEPS = (1e-4, 3e-4, 1e-3)
"""By which every pixel of an image in [0, 1] is moved; the first whose two slopes agree, beyond rounding, counts."""

_SIDES_AGREE, _SLOPES_AGREE = 0.1, 0.15
"""Relative. Where the slopes before and behind an image differ by more, a kink lies there, or rounding is seen."""

_DIRECTIONS = 4
"""How many directions of a kind are tried, until as many slopes are sure as there are images."""

_FAR, _LEAST_GAIN = 4 / 255, 0.2
"""Where hardly a slope is sure: of what the gradient promises for a step that far, this share must come true."""


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
    if model.witness is not None:
        _check_values(model, model.witness, drawn, logits, origin)
    else:
        _check_repeated(model, drawn, logits, origin)
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
    for shape in _shapes(model, origin):
        drawn = np.concatenate([_smooth(shape, rng), _noise(shape, rng)])
        try:
            return drawn, model.vjp(drawn)[0]
        except CaeError as error:
            tried.append(error)
    if len(tried) == 1:
        sentence = str(tried[0]).removeprefix(f"{origin}: ").rstrip(".")
        raise ModelError(
            f"{origin}: {sentence}. (Correct layout, channels or size in its contract, where these are wrong.)"
        ) from tried[0]
    raise ContractError(
        f"{origin}: nobody says which images the model takes, and it takes none of the usual sizes ({tried[0]}). "
        'Give size and channels in its contract, such as size = [32, 32], channels = "RGB".'
    )


def _shapes(model: OpenedWhiteBox, origin: str) -> Iterator[tuple[int, int, int]]:
    height, width, channels = model.image_shape
    contract = model.contract
    if contract.mean_image is not None:
        height, width = contract.mean_image.shape[:2]
    if contract.size is not None:
        height, width = contract.size
    if contract.channels is not None:
        channels = 1 if contract.channels == "GRAY" else 3
    if (height or 1) * (width or 1) * (channels or 3) > _LARGEST_IMAGE:
        raise ModelError(
            f"{origin}: the model takes images of {height or 'any'} x {width or 'any'} pixels, {channels or 3} "
            f"channels, and to be checked one may have at most {_LARGEST_IMAGE} values. Export it with a smaller input."
        )
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


def _check_values(model: OpenedWhiteBox, witness: Witness, drawn: Floats32, logits: Floats32, origin: str) -> None:
    """Compare with the witness. A softmax does not see a shift, so neither does this."""
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
    offset = _ROUNDING * float(np.abs(told).max())
    tolerance = float(max(_OF_SPREAD * spread, _TIMES_OWN * own, coarse * spread, offset))
    differences = np.abs(found - expected)
    if model.contract.output == "probabilities":  # of 1 - p, near 0, float32 keeps no digits
        differences[np.abs(np.exp(found) - np.exp(expected)) <= _LAST_PLACES] = 0
    worst = float(differences.max())
    if not worst <= tolerance:
        raise ModelError(
            f"{origin}: with gradients the model answers something else than {witness.name} answers for the same file "
            f"(logits differ by {worst:.2g}; {tolerance:.2g} would be rounding). Export it at another opset, or use "
            "the framework that it comes from."
        )


def _check_repeated(model: OpenedWhiteBox, drawn: Floats32, logits: Floats32, origin: str) -> None:
    """Ask some images again, among other neighbours and in another order."""
    some = sorted({place % len(drawn) for place in (5, 2, 0)}, reverse=True)
    worst = float(np.abs(model.vjp(np.ascontiguousarray(drawn[some]))[0] - logits[some]).max())
    if not worst <= max(_OF_SPREAD * float(np.ptp(logits)), _ROUNDING * float(np.abs(logits).max())):
        raise ModelError(
            f"{origin}: the same images get other answers when they are asked again among others (logits differ by "
            f"{worst:.2g}). The network was left in training mode (dropout, or statistics of the batch), or is random. "
            "Export it in evaluation mode."
        )


def _check_gradient(model: OpenedWhiteBox, drawn: Floats32, rng: np.random.Generator, origin: str) -> None:
    """Hold the gradient of a random combination of the logits against that combination's slopes, image by image."""
    lines = [_Line.through(model, drawn[place : place + 1], rng) for place in range(len(drawn))]
    if not all(np.isfinite(line.gradient).all() for line in lines):
        raise ModelError(f"{origin}: the gradient is NaN or infinite for ordinary images. Use another export.")
    if not any(line.gradient.any() for line in lines):
        raise ModelError(
            f"{origin}: the gradient is zero everywhere: the answer does not depend on the image in a way that can be "
            "differentiated. Is the contract right, and is the model's arithmetic in floats?"
        )
    if _is_mixed_up(model, drawn, lines):
        raise ModelError(_not_the_slope(origin))
    judged = 0
    # A part of the gradient that is missing shows in random directions; where rounding hides these, its size and sign
    # show in directions that lead mostly uphill. Each kind is judged by itself.
    for uphill in (False, True):
        sure, wrong = 0, 0
        for _ in range(_DIRECTIONS):
            for line in lines:
                direction = _direction(line.gradient, rng, uphill=uphill)
                slope, expected = line.slope(direction), line.promised(direction)
                sure += slope is not None
                wrong += slope is not None and abs(slope - expected) > _SLOPES_AGREE * max(abs(slope), abs(expected))
            if sure >= len(lines):
                break
        if wrong > max(1, sure / 2):
            raise ModelError(_not_the_slope(origin))
        judged += sure
    if judged < len(lines) / 2:
        afar = [(line.gain(np.sign(line.gradient), _FAR), line.promised(np.sign(line.gradient))) for line in lines]
        if sum(gain for gain, _ in afar) <= _LEAST_GAIN * _FAR * sum(promised for _, promised in afar):
            raise ModelError(_not_the_slope(origin))


def _is_mixed_up(model: OpenedWhiteBox, drawn: Floats32, lines: Sequence["_Line"]) -> bool:
    """Whether images that do not change each other's answers change each other's gradients when asked together."""
    logits, pull_back = model.vjp(drawn)
    alone = np.concatenate([line.logits for line in lines])
    if np.abs(logits - alone).max() > max(_OF_SPREAD * float(np.ptp(alone)), _ROUNDING * float(np.abs(alone).max())):
        return False  # the answers depend on the batch, and so do the gradients
    together = pull_back(np.concatenate([line.upstream for line in lines]))
    apart = [float(np.linalg.norm(row - line.gradient)) for row, line in zip(together, lines, strict=True)]
    sizes = [float(np.linalg.norm(line.gradient)) for line in lines]
    # a ReLU within rounding of 0 changes one image's gradient by a few per cent
    return sum(apart) > _SLOPES_AGREE * sum(sizes)


def _not_the_slope(origin: str) -> str:
    return (
        f"{origin}: the gradient is not the slope of the answers. Export the model at another opset, without "
        "quantisation, or use the framework that it comes from."
    )


def _direction(gradient: Floats32, rng: np.random.Generator, *, uphill: bool) -> Floats32:
    """Return -1 or 1 for each pixel: at random, or for seven in ten as the gradient has it."""
    signs = rng.choice(np.array([-1, 1], np.float32), gradient.shape)
    if not uphill:
        return signs
    follows = (rng.random(gradient.shape) < 0.7) & (gradient != 0)
    return np.where(follows, np.sign(gradient), signs).astype(np.float32)


@dataclass(frozen=True)
class _Line:
    """A combination of a white box's logits, whose values were checked, along lines through one image.

    One image at a time: the answers of some files depend on the whole batch.

    Attributes:
        model: the white box.
        image: float32 (1, h, w, k).
        logits: of the image, (1, c).
        upstream: the combination, (1, c).
        gradient: of the combination with respect to the image, as the model has it.
    """

    model: OpenedWhiteBox
    image: Floats32
    logits: Floats32
    upstream: Floats32
    gradient: Floats32

    @classmethod
    def through(cls, model: OpenedWhiteBox, image: Floats32, rng: np.random.Generator) -> "_Line":
        """Draw a combination of the logits of ``image``, and ask the model for its gradient."""
        logits, pull_back = model.vjp(image)
        upstream = rng.standard_normal(logits.shape).astype(np.float32)
        upstream -= upstream.mean(axis=1, keepdims=True)
        return cls(model, image, logits, upstream, pull_back(upstream))

    def promised(self, direction: Floats32) -> float:
        """Return the slope along ``direction`` that the gradient promises."""
        return float((self.gradient * direction).sum(dtype=np.float64))

    def slope(self, direction: Floats32) -> float | None:
        """Return the slope along ``direction``; None where no step gives one that is sure."""
        rounding = _ROUNDING * float(np.abs(self.logits * self.upstream).sum(dtype=np.float64))
        for step in _STEPS:
            before, behind = -self.gain(direction, -step) / step, self.gain(direction, step) / step
            mean = (before + behind) / 2
            agree = abs(before - behind) <= _SIDES_AGREE * min(abs(before), abs(behind))
            if agree and abs(mean) > 10 * rounding / step:
                return mean
        return None

    def gain(self, direction: Floats32, step: float) -> float:
        """Return what ``step`` along ``direction`` adds to the combination."""
        moved = np.clip(self.image + np.float32(step) * direction, 0, 1).astype(np.float32)
        change = self.model.vjp(moved)[0].astype(np.float64) - self.logits
        return float((change * self.upstream).sum())


def _log_probabilities(logits: NDArray[Any], floor: float) -> Floats64:
    values: Floats64 = np.maximum(log_softmax(logits.astype(np.float64)), floor)
    return values
