"""Thefts by answers in which the thief decides what he asks about: he has few images or none, or may ask little.

The substitute is trained anew after each round of questions, as in the papers.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.training.fitting import logits_of
from cae_backends.training.kinds.answers import retrained
from cae_backends.training.kinds.record import Teacher, Theft
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import DifferentiableNetwork, Network
from cae_core.arrays import Floats32, Floats64, as_unit_float
from cae_core.errors import OptionError
from cae_core.method.softmax import log_softmax

__all__ = [
    "QUERY_THEFTS",
    "asked_by_noise",
    "augmented_by_the_jacobian",
    "chosen_as_centres",
    "chosen_by_entropy",
    "noise_images",
    "sloped",
]

_Chooser: TypeAlias = Callable[[Floats64, NDArray[np.int64], int], NDArray[np.int64]]
"""Log-probabilities (n, c) of all images, places of those asked, and a number -> so many places that were not asked."""

_ASKED_TOGETHER = 1024


def augmented_by_the_jacobian(teacher: Teacher, setup: Setup) -> Made:
    """Double a few images again and again, each moved along the substitute's slope (Papernot et al., 2017).

    In each round the substitute is trained on the source's labels, and each image gives another one, moved by
    `Recipe.jacobian_step` in the direction of the sign of the gradient of the logit of the source's label.

    Raises:
        OptionError: the trainer's networks give no gradients of images.
    """
    images, rounds = setup.asked(), setup.recipe.rounds
    for number in range(rounds):
        made = retrained(teacher, setup.stage(number, rounds + 1), _labels, images=images)
        images = np.concatenate([images, _moved(sloped(made.network), images, teacher, setup.recipe.jacobian_step)])
    return retrained(teacher, setup.stage(rounds, rounds + 1), _labels, images=images)


def sloped(network: Network) -> DifferentiableNetwork:
    """Return ``network``, whose gradients are asked for.

    Raises:
        OptionError: it has none.
    """
    if not isinstance(network, DifferentiableNetwork):
        raise OptionError(
            f"{type(network).__name__} gives no gradients of images, which this kind needs. Take the trainer torch or "
            "keras, or leave the kind out."
        )
    return network


def _moved(
    network: DifferentiableNetwork, images: NDArray[np.uint8], teacher: Teacher, step: float
) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, len(images), _ASKED_TOGETHER):
        x = as_unit_float(images[start : start + _ASKED_TOGETHER])
        told = teacher(x)
        one_hot = np.eye(told.shape[1], dtype=np.float32)[told.argmax(axis=1)]
        moved = x + np.float32(step) * np.sign(network.pullback(x, one_hot))
        parts.append(np.rint(moved.clip(0, 1) * 255).astype(np.uint8))
    return np.concatenate(parts)


def chosen_as_centres(teacher: Teacher, setup: Setup) -> Made:
    """Ask about what lies farthest, in the substitute's probabilities, from all that was asked (Pal et al., 2020)."""
    return _chosen(teacher, setup, _centres)


def chosen_by_entropy(teacher: Teacher, setup: Setup) -> Made:
    """Ask about the images of which the substitute is least sure (Pal et al., 2020)."""
    return _chosen(teacher, setup, _least_sure)


def _chosen(teacher: Teacher, setup: Setup, choose: _Chooser) -> Made:
    """Begin with random images, and choose as many more in each round; in the end it is the recipe's share of all."""
    pool = setup.data.images if setup.queries is None else setup.queries
    rounds = setup.recipe.rounds
    budget = max(rounds + 2, round(setup.recipe.share * len(pool)))
    counts = [len(part) for part in np.array_split(np.arange(min(budget, len(pool))), rounds + 1)]
    asked = np.sort(np.random.default_rng(setup.seed).permutation(len(pool))[: max(counts[0], 2)])
    for number, count in enumerate(counts[1:]):
        made = retrained(teacher, setup.stage(number, rounds + 1), _labels, images=pool[asked])
        rows = log_softmax(logits_of(made.network, pool).astype(np.float64))
        asked = np.concatenate([asked, choose(rows, asked, count)])
    return retrained(teacher, setup.stage(rounds, rounds + 1), _labels, images=pool[asked])


def _least_sure(rows: Floats64, asked: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    entropy = -(np.exp(rows) * rows).sum(axis=1)
    entropy[asked] = -np.inf
    return np.argsort(-entropy, kind="stable")[:count]


def _centres(rows: Floats64, asked: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the greedy k-centre choice: again and again what is farthest from its nearest centre."""
    points = np.exp(rows)
    nearest = np.full(len(points), np.inf)
    for centre in asked:
        nearest = np.minimum(nearest, _distances(points, int(centre)))
    nearest[asked] = -np.inf
    found = []
    for _ in range(count):
        farthest = int(nearest.argmax())
        found.append(farthest)
        nearest = np.minimum(nearest, _distances(points, farthest))
        nearest[farthest] = -np.inf
    return np.array(found, np.int64)


def _distances(points: Floats64, centre: int) -> Floats64:
    distances: Floats64 = np.square(points - points[centre]).sum(axis=1)
    return distances


def asked_by_noise(teacher: Teacher, setup: Setup) -> Made:
    """Ask about images of noise alone, as many as the thief would ask about: he has no image of the task.

    Each is Gaussian noise, blurred by a width of its own (from none to a quarter of its height), and stretched to
    [0, 1].
    """
    return retrained(
        teacher, setup, _labels, images=noise_images(setup.asked().shape, np.random.default_rng(setup.seed))
    )


def noise_images(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return images of noise, uint8 (n, h, w, k)."""
    count, height, width, channels = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    images = np.empty(shape, np.uint8)
    for place in range(count):
        sigma = rng.uniform(0, height / 4)
        kept = np.exp(-2 * (np.pi * sigma * frequency) ** 2)[:, :, None]  # of a Gaussian of so many pixels
        noise = rng.standard_normal((height, width, channels))
        soft = np.fft.irfft2(np.fft.rfft2(noise, axes=(0, 1)) * kept, s=(height, width), axes=(0, 1))
        low, high = soft.min(), soft.max()
        images[place] = np.rint(255 * (soft - low) / max(high - low, 1e-12))
    return images


def _labels(logits: Floats32) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = logits.argmax(axis=1)
    return labels


_FEW = {"partial": "the recipe asks about a part of the images (share below 1), which are chosen"}

QUERY_THEFTS = (
    Theft(
        name="Jacobian augmentation",
        make=augmented_by_the_jacobian,
        needs={"rounds": "the recipe has at least one of its rounds"},
        known_images=False,
        how="as `hard labels` from few images (`share`), doubled in each of `rounds` by moving each along the "
        "substitute's slope",
    ),
    Theft(
        name="k-centre queries",
        make=chosen_as_centres,
        needs=_FEW,
        known_images=False,
        how="as `hard labels` of the `share` of images that lie farthest apart in the substitute's probabilities, "
        "chosen in `rounds`",
    ),
    Theft(
        name="entropy queries",
        make=chosen_by_entropy,
        needs=_FEW,
        known_images=False,
        how="as `hard labels` of the `share` of images of which the substitute is least sure, chosen in `rounds`",
    ),
    Theft(
        name="noise queries",
        make=asked_by_noise,
        known_images=False,
        how="as `hard labels`, of images of noise",
    ),
)
"""In the order in which messages list them."""
