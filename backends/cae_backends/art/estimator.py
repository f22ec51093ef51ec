"""A classifier of ART over a `DifferentiableModel`: logits, and gradients of losses and of classes by its pullback."""

from collections.abc import Callable
from typing import Any

import numpy as np
from art.estimators.classification.classifier import ClassifierClassLossGradients
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.errors import OptionError
from cae_core.method.softmax import log_softmax
from cae_core.models import DifferentiableModel, Pullback

__all__ = ["PullbackClassifier"]

_BATCH = 128


class PullbackClassifier(ClassifierClassLossGradients):  # type: ignore[misc]  # ART has no types
    """What ART's attacks take: images (n, h, w, k) in [0, 1], channels last.

    It answers logits. It cannot be trained.

    Args:
        model: white box.
        classes: c.
        shape: of an image, (h, w, k).
    """

    def __init__(self, model: DifferentiableModel, *, classes: int, shape: tuple[int, int, int]) -> None:
        super().__init__(model=model, clip_values=(0.0, 1.0))
        self.nb_classes = classes
        self._shape = shape
        self.channels_first = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return self._shape

    def predict(self, x: NDArray[Any], batch_size: int = _BATCH, **_more: object) -> Floats32:
        """Return the logits (n, c)."""
        return self._in_batches(x, lambda part, _: self.model.vjp(part)[0], batch_size, (self.nb_classes,))

    def loss_gradient(self, x: NDArray[Any], y: NDArray[Any], **_more: object) -> Floats32:
        """Return the gradient of each image's cross-entropy, (n, h, w, k).

        Args:
            x: float (n, h, w, k).
            y: labels (n,), or probabilities of the classes (n, c).
        """
        wanted = np.asarray(y, np.float32) if np.ndim(y) == 2 else np.eye(self.nb_classes, dtype=np.float32)[y]

        def gradient(part: Floats32, rows: slice) -> Floats32:
            logits, pull_back = self._opened(part)
            given = wanted[rows]
            # of soft labels whose sum is s the gradient is s · softmax - y
            towards = np.exp(log_softmax(logits)) * given.sum(axis=1, keepdims=True) - given
            return pull_back(towards.astype(np.float32))

        return self._in_batches(x, gradient, _BATCH, self._shape)

    def class_gradient(self, x: NDArray[Any], label: Any = None, **_more: object) -> Floats32:  # noqa: ANN401 - as ART
        """Return the gradients of logits: (n, c, h, w, k), or (n, 1, h, w, k) of one ``label``, or of one for each."""
        if label is None:
            each = [np.full(len(x), one) for one in range(self.nb_classes)]
        else:
            each = [np.broadcast_to(np.asarray(label, np.int64), (len(x),))]

        def gradient(part: Floats32, rows: slice) -> Floats32:
            logits, pull_back = self._opened(part)
            return np.stack([pull_back(_one_hot(one[rows], logits.shape)) for one in each], axis=1)

        return self._in_batches(x, gradient, _BATCH, (len(each), *self._shape))

    def fit(self, x: object, y: object, **_more: object) -> None:  # noqa: ARG002
        """Refuse to be trained.

        Raises:
            OptionError: always.
        """
        raise OptionError("This estimator wraps a finished model, which cannot be trained. Do not call fit.")

    def save(self, filename: str, path: str | None = None) -> None:  # noqa: ARG002
        """Refuse to be saved.

        Raises:
            OptionError: always.
        """
        raise OptionError("This estimator cannot be saved. Keep the file that the model was opened from.")

    def _opened(self, part: Floats32) -> tuple[Floats32, Pullback]:
        model: DifferentiableModel = self.model
        return model.vjp(part)

    def _in_batches(
        self, x: NDArray[Any], compute: Callable[[Floats32, slice], Floats32], size: int, shape: tuple[int, ...]
    ) -> Floats32:
        images = as_unit_float(np.asarray(x, np.float32))
        found = np.empty((len(images), *shape), np.float32)
        for start in range(0, len(images), size):
            rows = slice(start, start + size)
            found[rows] = compute(images[rows], rows)
        return found


def _one_hot(labels: NDArray[np.int64], shape: tuple[int, ...]) -> Floats32:
    rows = np.zeros(shape, np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows
