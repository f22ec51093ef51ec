"""The Keras model itself, asked beside the frozen graph that was made of it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cae_backends.batches import images_at_once
from cae_backends.tensorflow.runtime import any_structure, exact_float32, load_tensorflow
from cae_core.arrays import Floats32, Images, check_images
from cae_core.contract import Contract
from cae_core.errors import ModelError, first_line

__all__ = ["KerasWitness"]


class KerasWitness:
    """Answers as Keras does, by ``model(images, training=False)``.

    The model is loaded when it is asked for the first time, and then kept: a generation asks again at each acceptance.

    Args:
        load: makes the Keras model.
        contract: what it takes and answers.
        resolution: relative, of the model's arithmetic.
        origin: what the model is called in messages.

    Attributes:
        name: as messages call it.
        resolution: see above.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        *,
        contract: Contract,
        resolution: float = 2.0**-23,
        origin: str = "The model",
    ) -> None:
        self.name, self.resolution = "Keras", resolution
        self._load, self._contract, self._origin = load, contract, origin
        self._model: Any = None

    def logits(self, images: Images, *, plain: bool = False) -> Floats32:  # noqa: ARG002 - see below
        """Return the canonical logits (n, c); the logarithms of the probabilities where the model answers these.

        Args:
            images: uint8 or float32 in [0, 1], (n, h, w, k).
            plain: says nothing here: Keras runs layer by layer, and has no other way of computing.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the contract.
            ModelError: the model can no longer be loaded, fails, or answers labels.
        """
        check_images(images)
        if self._contract.output == "labels":
            raise ModelError("A model that answers labels only has no logits. Use one that answers logits.")
        if self._model is None:
            self._model = self._load()
        model, step = self._model, images_at_once(self._contract, images.shape)
        starts = range(0, max(1, len(images)), step)
        try:
            with exact_float32(), any_structure():
                parts = [self._ask(model, images[start : start + step]) for start in starts]
        except Exception as exc:
            # Keras runs a foreign model's layers here
            raise ModelError(f"{self._origin}: Keras cannot run the model ({first_line(exc)}).") from exc
        return self._contract.to_logits(np.concatenate(parts))

    def _ask(self, model: Any, images: Images) -> Floats32:  # noqa: ANN401 - a Keras model
        # alone, or as the only entry of a list or dictionary
        (told,) = load_tensorflow().nest.flatten(model(self._contract.to_input(images), training=False))
        answer: Floats32 = np.array(told, np.float32)
        return answer
