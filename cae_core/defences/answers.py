"""Defences that refuse, replace or falsify answers."""

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, Images, Labels, as_unit_float
from cae_core.defences.defence import Context, Defence, Wrapped, changed, rng_of
from cae_core.defences.images import median, reduced, within
from cae_core.errors import ModelError, OptionError
from cae_core.models import NO_ANSWER, Model, Predictions

__all__ = ["ANSWER_DEFENCES", "SQUEEZES", "oddness"]

_SQUEEZED_BITS = 4
_FARTHEST = 2.0
"""Between two rows of probabilities, by the sum of absolute differences."""


def oddness(model: Model, images: Images) -> tuple[Predictions, Floats64]:
    """Return the answers to ``images``, and how much they change where an image is squeezed (Xu et al., 2018).

    An image is squeezed to 4 bits a channel, and by a median of 2 x 2 pixels; what changes more counts. It is the sum
    of absolute differences of the probabilities, 0 to 2; of labels alone 0 or 2, of a refusal 0.
    """
    plain = model.predict(images)
    odd = np.zeros(len(images))
    for squeeze in SQUEEZES:
        squeezed = model.predict(changed(images, squeeze))
        odd = np.maximum(odd, _difference(plain, squeezed))
    return plain, odd


def _fewer_bits(image: Floats32) -> Floats32:
    return reduced(image, _SQUEEZED_BITS)


SQUEEZES = (_fewer_bits, median)
"""What an image is held against."""


def _difference(one: Predictions, other: Predictions) -> Floats64:
    if one.probabilities is None or other.probabilities is None:
        apart = np.where(one.labels == other.labels, 0.0, _FARTHEST)
    else:
        apart = np.abs(one.probabilities.astype(np.float64) - other.probabilities).sum(axis=1)
    return np.where((one.labels == NO_ANSWER) | ~np.isfinite(apart), 0.0, apart)


def _squeezing(model: Model, value: str, context: Context) -> Model:  # noqa: ARG001 - the signature of all
    """Refuse what changes by more than ``value`` where it is squeezed."""
    limit = float(value)

    def answer(inner: Model, images: Images) -> Predictions:
        plain, odd = oddness(inner, images)
        refused = odd > limit
        labels = np.where(refused, NO_ANSWER, plain.labels)
        if plain.probabilities is None:
            return Predictions(labels)
        told = np.where(refused[:, None], np.float32(np.nan), plain.probabilities)
        return Predictions(labels, told)

    return Wrapped(model, answer=answer)


def _second_model(model: Model, value: str, context: Context) -> Model:
    """Let another model answer about the images that get another label where they are squeezed."""
    second = context.open_model(value)

    def answer(inner: Model, images: Images) -> Predictions:
        plain = inner.predict(images)
        odd = np.zeros(len(images), np.bool_)
        for squeeze in SQUEEZES:
            odd |= inner.predict(changed(images, squeeze)).labels != plain.labels
        return _merged(plain, second.predict(images[odd]), odd) if odd.any() else plain

    return Wrapped(model, answer=answer)


def _merged(plain: Predictions, others: Predictions, odd: NDArray[np.bool_]) -> Predictions:
    """Return the answers, where ``odd`` the others; probabilities where both tell them of as many classes."""
    labels = plain.labels.copy()
    labels[odd] = others.labels
    if plain.probabilities is None or others.probabilities is None:
        return Predictions(labels)
    if plain.probabilities.shape[1] != others.probabilities.shape[1]:
        raise ModelError(
            f"The second model tells {others.probabilities.shape[1]} classes and the suspect "
            f"{plain.probabilities.shape[1]}. Take a model of the same task."
        )
    probabilities = plain.probabilities.copy()
    probabilities[odd] = others.probabilities
    return Predictions(labels, probabilities)


def _random(model: Model, value: str, context: Context) -> Model:
    """Answer a share of the images with a label drawn from all classes; who asks again is answered the same."""
    share = float(value)

    def answer(inner: Model, images: Images) -> Predictions:
        plain = inner.predict(images)
        classes = context.classes if plain.probabilities is None else plain.probabilities.shape[1]
        if classes is None:
            raise OptionError(
                "The defence random draws from all classes, and of a model that answers labels only their number is "
                "not known. Name it with classes."
            )
        drawn, falsified = _draws(images, share, classes)
        falsified &= plain.labels != NO_ANSWER
        labels = np.where(falsified, drawn, plain.labels)
        if plain.probabilities is None:
            return Predictions(labels)
        return Predictions(labels, _swapped(plain.probabilities, plain.labels, labels))

    return Wrapped(model, answer=answer)


def _draws(images: Images, share: float, classes: int) -> tuple[Labels, NDArray[np.bool_]]:
    """Return a random label for each image, and which images are of the share."""
    rngs = [rng_of(image, "random") for image in as_unit_float(images)]
    chosen = np.array([rng.random() < share for rng in rngs], np.bool_)
    return np.array([rng.integers(classes) for rng in rngs], np.int64), chosen


def _swapped(probabilities: Floats32, before: Labels, after: Labels) -> Floats32:
    """Return the rows with the probabilities of two labels exchanged, so that they tell the label that is answered."""
    result, rows = probabilities.copy(), np.flatnonzero(before != after)
    result[rows, before[rows]], result[rows, after[rows]] = (
        probabilities[rows, after[rows]],
        probabilities[rows, before[rows]],
    )
    return result


def _named(value: str) -> str:
    return "" if value.strip() else "takes the path of a model"


ANSWER_DEFENCES = (
    Defence(
        name="squeeze",
        value="distance, 0 to 2",
        example="squeeze:1",
        how="refuses images whose probabilities change by more than this in sum, "
        "when they are reduced to 4 bits or smoothed by a median of 2 x 2",
        make=_squeezing,
        check=within(0, _FARTHEST),
    ),
    Defence(
        name="second-model",
        value="path of a model",
        example="second-model:honest.onnx",
        how="lets another model answer if the label changes with 4 bits or a median of 2 x 2",
        make=_second_model,
        check=_named,
    ),
    Defence(
        name="random",
        value="share, 0 to 1",
        example="random:0.05",
        how="answers a share of the images with a label drawn from all classes",
        make=_random,
        check=within(0, 1),
    ),
)
"""In the order in which messages list them."""
