"""White boxes that are asked about each image once: several methods look through the same images for theirs."""

import hashlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from cae_core.arrays import Floats32, Images, Labels
from cae_core.generation.ensembles import build_ensemble
from cae_core.models import DifferentiableModel, Ensemble, Precision, Predictions, Pullback

__all__ = ["Memory", "Remembering"]


class Memory:
    """What models have answered, by name and image; images are known by a digest, and only 8-bit ones are kept."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._told: dict[str, _Told] = {}

    def answers(self, name: str, model: DifferentiableModel, images: Images) -> Predictions:
        """Return what the model called ``name`` answers; it is asked about images that are new to it."""
        places = self._placed(images)
        told = self._told.setdefault(name, _Told())
        told.make_room(len(self._places))
        # of equal images the first is asked
        new = np.unique(places[~told.known[places]], return_index=True)[1]
        if len(new):
            asked = np.flatnonzero(~told.known[places])[new]
            told.keep(places[asked], model.predict(images[asked]))
        return told.rows(places)

    def _placed(self, images: Images) -> Labels:
        digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
        return np.array([self._places.setdefault(digest, len(self._places)) for digest in digests], np.int64)


class _Told:
    """What one model has answered, by the places of the images."""

    def __init__(self) -> None:
        self.known = np.zeros(0, np.bool_)
        self._labels: Labels = np.zeros(0, np.int64)
        self._probabilities: Floats32 | None = None

    def make_room(self, count: int) -> None:
        """Have room for ``count`` images, and as many again, so that growing is rare."""
        if count > len(self.known):
            more = 2 * count - len(self.known)
            self.known = np.pad(self.known, (0, more))
            self._labels = np.pad(self._labels, (0, more))
            if self._probabilities is not None:
                self._probabilities = np.pad(self._probabilities, ((0, more), (0, 0)))

    def keep(self, places: Labels, answers: Predictions) -> None:
        """Keep answers; a model tells probabilities always, or never."""
        self._labels[places], self.known[places] = answers.labels, True
        if answers.probabilities is not None:
            if self._probabilities is None:
                self._probabilities = np.zeros((len(self.known), answers.probabilities.shape[1]), np.float32)
            self._probabilities[places] = answers.probabilities

    def rows(self, places: Labels) -> Predictions:
        """Return the answers at these places."""
        return Predictions(self._labels[places], None if self._probabilities is None else self._probabilities[places])


class Remembering:
    """A white box that answers from a `Memory`, and says of itself what the model behind it says.

    Args:
        model: white box.
        name: by which its answers are kept.
        memory: where.
    """

    def __init__(self, model: DifferentiableModel, *, name: str, memory: Memory) -> None:
        self.model, self.name, self.memory = model, name, memory

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - such as its contract, or a witness of it
        return getattr(self.model, attribute)

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`."""
        if images.dtype != np.uint8 or not len(images):
            return self.model.predict(images)
        return self.memory.answers(self.name, self.model, images)

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """See `DifferentiableModel.vjp`; nothing is remembered."""
        return self.model.vjp(images)

    @classmethod
    def group(cls, models: Sequence[Self], *, precision: Precision) -> Ensemble:
        """Make one ensemble of the models behind them, as their backends do."""
        return build_ensemble([each.model for each in models], precision=precision)
