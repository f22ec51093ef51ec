"""Does a converted model compute what the original computes? Answers and input gradients, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.onnxruntime.model import OnnxRuntimeModel
from cae_core.arrays import Floats64, as_unit_float
from cae_core.errors import ModelError
from cae_core.models import DifferentiableModel, Model

__all__ = ["GRADIENTS", "OUTPUTS", "Output", "Parity", "measure_parity", "random_images", "require_parity"]

Output: TypeAlias = Literal["logits", "probabilities", "labels"]

OUTPUTS = 1e-4
"""The largest difference of the answers, in units of the largest answer where that exceeds 1."""

GRADIENTS = 1e-3
"""The difference of the input gradients, relative, in the median over the images.

Not the largest: one unit of a ReLU that lies within rounding of zero on one image turns that image's gradient by
about 1 %, in either of two correct implementations.
"""

_RANDOM = 7
_TINY = 1e-30


@dataclass(frozen=True)
class Parity:
    """How far a converted model is from the original on one set of images.

    Attributes:
        runtime: what runs the converted model.
        images: what they are.
        count: how many.
        outputs: the largest difference of the answers (logits, or probabilities where the original answers those; of
            labels the fraction that differs).
        scale: the largest answer, at least 1.
        gradients: the gradients of a random combination of the logits with respect to the images: the norm of the
            difference over the norm, in the median over the images; None where one of the two gives none.
    """

    runtime: str
    images: str
    count: int
    outputs: float
    scale: float
    gradients: float | None

    @property
    def holds(self) -> bool:
        """Whether both differences are within `OUTPUTS` and `GRADIENTS`; a NaN is not."""
        return self.outputs <= OUTPUTS * self.scale and (self.gradients is None or self.gradients <= GRADIENTS)


def random_images(image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return seven images of uniform noise: another batch size than any that a graph is traced with."""
    return np.random.default_rng(0).integers(0, 256, (_RANDOM, *image_shape), np.uint8)


def measure_parity(
    original: Model, converted: Mapping[str, Model], images: Mapping[str, NDArray[np.uint8]], *, output: Output
) -> list[Parity]:
    """Compare every converted model with the original on every set of images.

    Args:
        original: the model that was converted, run by its own framework.
        converted: what runs the result -> the result, opened by it.
        images: what they are -> uint8 (n, h, w, k); one image is asked alone as well.
        output: what the original answers, and what is compared.
    """
    found: list[Parity] = []
    for what, batch in images.items():
        expected = _answer(original, batch, output)
        scale = max(1.0, _largest(expected))
        for runtime, model in converted.items():
            whole, single = _answer(model, batch, output), _answer(model, batch[:1], output)
            # a NaN in either is a NaN, which Python's max would not promise
            outputs = float(np.maximum(_difference(whole, expected), _difference(single, expected[:1])))
            if output == "labels":
                outputs = max(float((whole != expected).mean()), float((single != expected[:1]).mean()))
            gradients = None if output == "labels" else _gradient_difference(original, model, batch)
            found.append(Parity(runtime, what, len(batch), outputs, scale, gradients))
    return found


def require_parity(parities: Sequence[Parity], *, origin: str) -> None:
    """Raise where a difference is too large.

    Raises:
        ModelError: naming the runtime, the images and the differences.
    """
    for parity in parities:
        if not parity.holds:
            found = f"outputs differ by {parity.outputs:.2g} (at most {OUTPUTS * parity.scale:.2g})"
            if parity.gradients is not None:
                found += f", input gradients by {parity.gradients:.2g} of their norm (at most {GRADIENTS:g})"
            raise ModelError(
                f"{origin}: {parity.runtime} computes something else than the original on {parity.count} images "
                f"({parity.images}): {found}. Nothing was written."
            )


def _answer(model: Model, images: NDArray[np.uint8], output: Output) -> Floats64:
    if output == "logits" and isinstance(model, OnnxRuntimeModel):
        return model.contract.to_canonical(model.scores(images)).astype(np.float64)
    if output == "logits" and isinstance(model, DifferentiableModel):
        return model.vjp(as_unit_float(images))[0].astype(np.float64)
    answer = model.predict(images)
    if output == "labels" or answer.probabilities is None:
        return answer.labels[:, None].astype(np.float64)
    return answer.probabilities.astype(np.float64)


def _gradient_difference(original: Model, converted: Model, images: NDArray[np.uint8]) -> float | None:
    """Compare the gradients of one random combination of the logits, centred: a softmax does not see their sum."""
    if not (isinstance(original, DifferentiableModel) and isinstance(converted, DifferentiableModel)):
        return None
    x = as_unit_float(images)
    (logits, pull), (_, converted_pull) = original.vjp(x), converted.vjp(x)
    v = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    v -= v.mean(axis=1, keepdims=True)
    expected, found = (side(v).reshape(len(x), -1).astype(np.float64) for side in (pull, converted_pull))
    norms = np.linalg.norm(expected, axis=1)
    return float(np.median(np.linalg.norm(found - expected, axis=1) / np.maximum(norms, _TINY)))


def _difference(found: NDArray[np.floating[Any]], expected: NDArray[np.floating[Any]]) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return _largest(found.astype(np.float64) - expected)


def _largest(values: NDArray[np.floating[Any]]) -> float:
    return float(np.abs(values).max(initial=0))
