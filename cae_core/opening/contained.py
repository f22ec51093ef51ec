"""Models that answer from a child process: what the core sees of a foreign file.

Nothing that the child says is believed: labels are those of the probabilities beside them, shapes are the parent's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, as_unit_float, check_images
from cae_core.containment.child import Answer, Child
from cae_core.containment.frames import MOST_CLASSES, BadFrame
from cae_core.containment.limits import Limits
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import NO_ANSWER, Predictions, Pullback

__all__ = ["Connection", "ContainedModel", "ContainedWhiteBox", "ContainedWitness", "possible_labels"]

_LARGEST_LABEL = 2**31

_SENT_TOGETHER = 256 << 20
"""Bytes of images in one question at most."""

_HANDLES = count()


@dataclass(eq=False)
class Connection:
    """One open model in a child process.

    Attributes:
        child: the process.
        number: of the model there.
        spec: what it is called in messages.
        size: of its files, in bytes; its time grows with it.
        limits: of the user.
    """

    child: Child
    number: int
    spec: str
    size: int
    limits: Limits

    def __del__(self) -> None:
        self.child.forget("close", self.number)

    def ask(
        self,
        what: Mapping[str, Any],
        images: NDArray[Any],
        read: Any,  # noqa: ANN401 - see `Child.ask`
        *,
        gradients: bool = False,
    ) -> Any:  # noqa: ANN401 - what ``read`` makes of it
        """Ask about ``images``; see `Child.ask`."""
        seconds = self.limits.question_seconds(self.size, len(images), gradients=gradients)
        header = {**what, "id": self.number, "spec": self.spec}
        return self.child.ask(header, [images], seconds=seconds, origin=self.spec, read=read)


class ContainedModel:
    """A black box in a child process.

    Attributes:
        contract: what it takes and answers, as the child says; None: it does not say.
        connection: to the process.
        runtime: what answers there, as the child says; None: it does not say.
    """

    def __init__(self, connection: Connection, contract: Contract | None, runtime: str | None = None) -> None:
        self.connection, self.contract, self.runtime = connection, contract, runtime

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k).

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the model.
            ModelError: the model fails, or its process ends or answers what no model answers.
        """
        check_images(images)
        each = max(1, images[:1].nbytes)
        step = max(1, _SENT_TOGETHER // each)
        if len(images) <= step:
            return self._predicted(images)
        parts = [self._predicted(images[start : start + step]) for start in range(0, len(images), step)]
        told = [part.probabilities for part in parts]
        labels = np.concatenate([part.labels for part in parts])
        known = [scores for scores in told if scores is not None]
        return Predictions(labels, np.concatenate(known) if len(known) == len(told) else None)

    def _predicted(self, images: Images) -> Predictions:
        def read(answer: Answer) -> Predictions:
            classes = answer.number("classes", least=0, most=MOST_CLASSES)
            labels = answer.array(np.int64, (len(images),))
            scores = answer.array(np.float32, (len(images), classes)) if classes else None
            return Predictions(possible_labels(labels, scores), scores)

        found: Predictions = self.connection.ask({"do": "predict"}, images, read)
        return found


class ContainedWitness:
    """Another implementation of a white box's file, in the same child process; see `cae_core.models.Witness`."""

    def __init__(self, connection: Connection, name: str, resolution: float) -> None:
        self.name, self.resolution = name, resolution
        self._connection = connection

    def logits(self, images: Floats32, *, plain: bool = False) -> Floats32:
        """See `cae_core.models.Witness.logits`.

        Raises:
            ModelError: it cannot be asked.
        """
        taken = as_unit_float(check_images(images))
        read = _reader_of_logits(len(images))
        told: Floats32 = self._connection.ask({"do": "witness", "plain": plain}, taken, read)
        return told


class ContainedWhiteBox(ContainedModel):
    """A white box in a child process, where it was held against its file.

    Attributes:
        contract: what it takes and answers, as the child says.
        image_shape: (h, w, k) of the canonical images that it takes; None: any.
        witness: answers for the same file; None where there is none.
    """

    def __init__(
        self,
        connection: Connection,
        contract: Contract | None,
        *,
        image_shape: tuple[int | None, int | None, int | None] = (None, None, None),
        witness: ContainedWitness | None = None,
        runtime: str | None = None,
    ) -> None:
        super().__init__(connection, contract, runtime)
        self.image_shape, self.witness = image_shape, witness

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        """Return logits (n, c) and their pullback, (n, c) -> (n, h, w, k); see `DifferentiableModel.vjp`.

        Raises:
            DataError: the images are not canonical.
            ContractError: they do not fit the model.
            ModelError: as of `predict`, or it cannot be differentiated.
        """
        taken = as_unit_float(check_images(images))
        handle = next(_HANDLES)
        asked = {"do": "vjp", "handle": handle}
        logits: Floats32 = self.connection.ask(asked, taken, _reader_of_logits(len(taken)), gradients=True)
        return logits, _Pullback(self.connection, handle, logits.shape, taken.shape)


class _Pullback:
    """What a child process keeps for a gradient, until nobody holds this any more."""

    def __init__(self, connection: Connection, handle: int, taken: tuple[int, ...], given: tuple[int, ...]) -> None:
        self._connection, self._handle, self._taken, self._given = connection, handle, taken, given

    def __call__(self, gradient: Floats32) -> Floats32:
        """Return the gradient with respect to the images.

        Raises:
            ModelError: another shape than the logits', or the model fails.
        """
        if gradient.shape != self._taken:
            raise ModelError(f"The gradient must have the logits' shape {self._taken}; found {gradient.shape}.")
        upstream = np.ascontiguousarray(gradient, np.float32)
        asked = {"do": "pull", "handle": self._handle}

        def read(answer: Answer) -> NDArray[Any]:
            return answer.array(np.float32, self._given)

        pulled: Floats32 = self._connection.ask(asked, upstream, read, gradients=True)
        return pulled

    def __del__(self) -> None:
        self._connection.child.forget("free", self._handle)


def _reader_of_logits(images: int) -> Any:  # noqa: ANN401 - a reader, see `Child.ask`
    def read(answer: Answer) -> NDArray[Any]:
        return answer.array(np.float32, (images, answer.number("classes", least=1, most=MOST_CLASSES)))

    return read


def possible_labels(labels: NDArray[np.int64], scores: NDArray[np.float32] | None) -> NDArray[np.int64]:
    """Return the labels, if a model of ours can have answered them.

    Raises:
        BadFrame: a label is none, or is not that of the largest probability beside it.
    """
    if len(labels) and not -_LARGEST_LABEL <= labels.min() <= labels.max() <= _LARGEST_LABEL:
        raise BadFrame(f"label {labels[np.abs(labels).argmax()]}")
    if scores is None:
        return labels
    answered = np.flatnonzero(labels != NO_ANSWER)
    own = labels[answered]
    if len(own) and not 0 <= own.min() <= own.max() < scores.shape[1]:
        raise BadFrame(f"a label outside of its {scores.shape[1]} classes")
    if not (scores[answered, own] >= scores[answered].max(axis=1, initial=-np.inf)).all():  # NaN is never larger
        raise BadFrame("a label that is not that of its largest probability")
    return labels
