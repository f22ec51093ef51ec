"""What is known about a kind of defence, and the wrappers that all of them are made with."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cae_core.arrays import Floats32, Images, as_unit_float
from cae_core.models import Model, Predictions

__all__ = ["Answering", "Changing", "Context", "Defence", "Wrapped", "changed", "rng_of"]

Changing: TypeAlias = Callable[[Floats32], Floats32]
"""One image (h, w, k) in [0, 1] to what the model is given instead."""

Answering: TypeAlias = Callable[[Model, Images], Predictions]
"""What is answered instead, given the model and the images (n, h, w, k)."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a defence may need beside its value.

    Attributes:
        classes: number of classes; None: not known, and needed only where a model tells labels alone.
        open_model: opens a second model by its path.
    """

    classes: int | None
    open_model: Callable[[str], Model]


@dataclass(frozen=True, kw_only=True)
class Defence:
    """One kind of defence.

    Attributes:
        name: before the colon.
        value: what stands after it, in words.
        example: of the whole.
        how: what it does, in words, for the documentation's table.
        make: wraps a model, given the checked value.
        check: returns what is wrong with a value, in words; empty where nothing is.
    """

    name: str
    value: str
    example: str
    how: str
    make: Callable[[Model, str, Context], Model]
    check: Callable[[str], str]


class Wrapped:
    """A black box behind a defence. It says of itself what the model behind it says.

    Attributes:
        contract: the model's, where it says one; None otherwise, as for the next two.
        runtime: the model's.
        at_once: how many images it is given together.
    """

    def __init__(self, model: Model, *, change: Changing | None = None, answer: Answering | None = None) -> None:
        self._model, self._change, self._answer = model, change, answer
        self.contract, self.runtime = getattr(model, "contract", None), getattr(model, "runtime", None)
        self.at_once: int | None = getattr(model, "at_once", None)

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`. Each image by itself: neither its neighbours nor their order count."""
        given = images if self._change is None else changed(images, self._change)
        return self._model.predict(given) if self._answer is None else self._answer(self._model, given)


def changed(images: Images, change: Changing) -> Images:
    """Return the images, each changed by itself; bytes stay bytes, as a service would pass them on."""
    if not len(images):
        return images
    results = np.stack([np.clip(change(image), 0, 1) for image in as_unit_float(images)]).astype(np.float32)
    if images.dtype != np.uint8:
        return results
    pixels: Images = np.rint(results * np.float32(255)).astype(np.uint8)
    return pixels


def rng_of(image: Floats32, purpose: str) -> np.random.Generator:
    """Return random numbers that follow from an image, so that whoever asks it again is answered the same."""
    digest = hashlib.sha256(purpose.encode() + b"\0" + np.ascontiguousarray(image, np.float32).tobytes()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))
