"""Models of one's own, made of functions: a black box of one, a white box of two.

Whatever answers images can be judged, without a file and without a backend:

    from cae_core import black_box, verify_model

    verdict = verify_model(black_box(answer), "fingerprint.safetensors", name="their service")
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, as_unit_float, check_images
from cae_core.contract.fields import Contract
from cae_core.contract.task import Task
from cae_core.contract.told_answers import read_answers
from cae_core.errors import CaeError, ModelError, first_line
from cae_core.foreign_text import visible
from cae_core.models import NO_ANSWER, Predictions, Pullback

__all__ = ["BlackBox", "WhiteBox", "black_box"]


def black_box(
    answer: Callable[[Any], object], *, classes: Sequence[str] = (), contract: Contract | None = None
) -> "BlackBox":
    """Return a suspect that is a function.

    Args:
        answer: takes images, uint8 (n, h, w, k), and returns an answer for each: the number of a class, its name, or a
            row of scores (c,). None and -1 are no answer. Rows that sum to 1 are probabilities; of others the largest
            score decides.
        classes: their names in order, for a function that answers names.
        contract: where the function takes a tensor that this describes, and its answers are read by it.

    Example:
        >>> def answer(images):
        ...     return (images.mean(axis=(1, 2, 3)) > 127).astype(int)
        >>> model = black_box(answer)
        >>> model
        BlackBox(answer)
        >>> model.predict(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)).labels.tolist()
        [0, 1]
    """
    name = str(getattr(answer, "__name__", type(answer).__name__))
    task = Task(classes=len(classes), names=tuple(classes)) if classes else None
    return BlackBox(answer, name=name, contract=contract, task=task)


class BlackBox:
    """A function as a black box.

    Args:
        function: takes images, uint8 (n, h, w, k), or what the contract makes of them; returns labels, names or scores.
        name: of the function, for messages.
        contract: of the function; None: it takes the images as they are.
        task: the classes of the data.
    """

    def __init__(
        self,
        function: Callable[[Any], object],
        *,
        name: str,
        contract: Contract | None = None,
        task: Task | None = None,
    ) -> None:
        self.contract = contract
        self._function, self._name, self._task = function, visible(name), task

    def __repr__(self) -> str:
        return f"BlackBox({self._name})"

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`.

        Raises:
            ModelError: the function raises, or answers what no classifier answers.
        """
        check_images(images)
        given = images.copy() if self.contract is None else self.contract.to_input(images)
        try:
            told = self._function(given)
        except CaeError:
            raise
        except Exception as exc:
            # the user's code runs here
            raise ModelError(f"{self._name}: it fails ({type(exc).__name__}: {first_line(exc)}).") from exc
        return read_answers(told, len(images), contract=self.contract, task=self._task, origin=self._name)


class WhiteBox:
    """A white box made of two callables.

    Args:
        logits: takes float32 images (n, h, w, k) in [0, 1] to logits (n, c).
        pull_back: takes the images and a cotangent (n, c) to a gradient (n, h, w, k).

    Attributes:
        calls: how often the logits were computed.

    Example:
        >>> model = WhiteBox(lambda x: x.reshape(len(x), -1), lambda x, g: g.reshape(x.shape))
        >>> model.predict(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)).labels.tolist()
        [1]
    """

    def __init__(
        self,
        logits: Callable[[Floats32], NDArray[np.floating[Any]]],
        pull_back: Callable[[Floats32, Floats32], Floats32],
    ) -> None:
        self._logits = logits
        self._pull_back = pull_back
        self.calls = 0

    def predict(self, images: Images) -> Predictions:
        """Answer by the largest logit; see `Model.predict`."""
        scores = self._evaluate(as_unit_float(images))
        finite = np.isfinite(scores.sum(axis=1, dtype=np.float64))  # 64 bits: a sum of finite scores stays finite
        safe = np.where(finite[:, None], scores, 0)
        exponentials = np.exp(safe - safe.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        labels = np.where(finite, scores.argmax(axis=1), NO_ANSWER).astype(np.int64)
        return Predictions(labels, np.where(finite[:, None], probabilities, np.float32(np.nan)))

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """See `DifferentiableModel.vjp`."""
        point = as_unit_float(images).copy()  # the caller may go on changing its own array
        return self._evaluate(point), lambda gradient: np.array(
            self._pull_back(point, gradient), np.float32, order="C"
        ).reshape(point.shape)

    def _evaluate(self, images: Floats32) -> Floats32:
        self.calls += 1
        return np.array(self._logits(images), np.float32, order="C")
