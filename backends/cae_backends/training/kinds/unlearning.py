"""A thief who knows the method: he makes a fingerprint of his own copy, and trains the copy to forget it."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.fitting import logits_of
from cae_backends.training.kinds.answers import retrained_on_probabilities
from cae_backends.training.kinds.queries import sloped
from cae_backends.training.kinds.record import Copy
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import DifferentiableNetwork, Network
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.errors import OptionError
from cae_core.method.softmax import log_softmax

__all__ = ["UNLEARNED", "own_examples", "unlearned"]

_HELPERS = 2
"""Surrogates of his copy, and as many references, that the thief trains."""

_STEPS = 40
_STEP = 2.5
"""Of the search, each so many radii / steps long (Madry et al., 2018)."""


def unlearned(copy: Network, setup: Setup) -> Made:
    """Make conferrable examples of the copy, and train it further on its images and on these with the truth.

    The thief distils students of his copy and trains references on true labels, all of `Recipe.helper`'s architecture.

    Raises:
        OptionError: of a copy of a file the recipe names no helper; or the trainer gives no gradients.
    """
    architecture = setup.recipe.helper or ("" if setup.adopted else setup.architecture)
    if not architecture:
        raise OptionError(
            "A thief who makes a fingerprint of a copy of a file trains models of his own, and the file's architecture "
            'cannot be built anew. Name one of the trainer\'s in the recipe, such as helper = "cnn-small".'
        )
    students, references = _helpers(copy, setup, architecture)
    own = setup.portion()
    many = np.random.default_rng(setup.seed).permutation(len(own))[: setup.recipe.forgotten]
    images, labels = own.images[many], own.labels[many]
    examples = own_examples([sloped(copy), *students], references, images, labels, radius=setup.recipe.forgotten_radius)
    times = max(1, round(len(own) / max(1, len(examples))))  # as many as there are ordinary ones
    trained = np.concatenate([own.images, *[examples] * times]), np.concatenate([own.labels, *[labels] * times])
    return setup.stage(2 * _HELPERS, 2 * _HELPERS + 1).fit(copy, *trained)


def _helpers(
    copy: Network, setup: Setup, architecture: str
) -> tuple[list[DifferentiableNetwork], list[DifferentiableNetwork]]:
    """Return students of the copy, and references."""
    given = setup.recipe
    recipe = Recipe(
        epochs=given.helper_epochs, batch_size=given.batch_size, normalise=given.normalise, share=given.share, mix=0.4
    )
    helpers: list[DifferentiableNetwork] = []
    for number in range(2 * _HELPERS):
        own = dataclasses.replace(
            setup.stage(number, 2 * _HELPERS + 1),
            architecture=architecture,
            seed=(setup.seed + 7919 * (number + 1)) % 2**31,
            images_seed=setup.seed if setup.images_seed is None else setup.images_seed,
            recipe=recipe,
            weights=None,
            adopted=False,
            snapshots=(),
        )
        made = retrained_on_probabilities(copy.logits, own) if number < _HELPERS else own.fit_truth(own.fresh())
        helpers.append(sloped(made.network))
    return helpers[:_HELPERS], helpers[_HELPERS:]


def own_examples(
    copies: list[DifferentiableNetwork],
    references: list[DifferentiableNetwork],
    images: NDArray[np.uint8],
    labels: Labels,
    *,
    radius: float,
) -> NDArray[np.uint8]:
    """Return the images moved so that the copies answer one wrong label and the references the truth.

    The wrong label is the likeliest one of the first copy. The sum over models of the mean log-probability of what each
    shall answer is climbed by gradient signs within ``radius`` of each pixel in [0, 1].

    Args:
        copies: the thief's own model, and students of it.
        references: models that were trained without it.
        images: uint8 (n, h, w, k).
        labels: their truth (n,).
        radius: in [0, 1].
    """
    start = as_unit_float(images)
    told = logits_of(copies[0], images)
    told[np.arange(len(told)), labels] = -np.inf
    wanted = [(each, told.argmax(axis=1)) for each in copies] + [(each, labels) for each in references]
    x, low, high = start, (start - np.float32(radius)).clip(0, 1), (start + np.float32(radius)).clip(0, 1)
    for _ in range(_STEPS):
        slope = sum((_slope(each, x, label) for each, label in wanted), start=np.zeros_like(x))
        x = np.clip(x + np.float32(_STEP * radius / _STEPS) * np.sign(slope), low, high)
    return np.rint(x * 255).astype(np.uint8)


def _slope(network: DifferentiableNetwork, x: Floats32, labels: Labels) -> Floats32:
    """Return the gradient of the log-probabilities of ``labels``, summed over the images."""
    rows = log_softmax(network.logits(x))
    wanted = np.eye(rows.shape[1], dtype=np.float32)[labels]
    return network.pullback(x, (wanted - np.exp(rows)).astype(np.float32))


UNLEARNED = Copy(
    name="own fingerprint unlearned",
    make=unlearned,
    how="a copy, trained further with the truth on `forgotten` conferrable examples of itself, made with models of the "
    "thief's own",
)
