"""What a suspect answers while it is verified, kept: so that a judge's own model is known again by its answers."""

import numpy as np

from cae_core.arrays import Floats32, Images
from cae_core.models import Model, Predictions

__all__ = ["Recorder"]


class Recorder:
    """A black box that remembers the probabilities that it gave."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._outputs: list[Floats32 | None] = []

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`."""
        answers = self._model.predict(images)
        self._outputs.append(answers.probabilities)
        return answers

    def outputs(self) -> Floats32 | None:
        """Return all of them, float32 (n, c), in the order asked; None where some were not told."""
        told = [output for output in self._outputs if output is not None]
        return np.concatenate(told) if told and len(told) == len(self._outputs) else None
