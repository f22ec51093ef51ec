"""What a suspect answers while it is verified, kept: so that a model is known again by its scores, whatever its file.

A file that was converted, renamed or saved again has another digest and the same scores. Labels tell nothing of the
kind: honest models share them.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from cae_core.arrays import Floats32, Images
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question
from cae_core.fingerprint.scores import SAME_MODEL, same_scores, scores_of
from cae_core.models import Model, Predictions

__all__ = ["Recorder", "Scores", "alike", "as_array", "rows_of", "scores_told"]

_GLANCE = 8

Scores: TypeAlias = Mapping[int, tuple[float, float]]
"""See `scores_of`, by the image's row among all images of the fingerprint."""


class Recorder:
    """A black box that remembers the probabilities that it gave.

    Attributes:
        asked: how many images it was asked, answered or not.
        contract: the model's, where it says one; None otherwise, as for the next.
        runtime: the model's.
        at_once: how many images it is given together; None: it does not matter.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.contract, self.runtime = getattr(model, "contract", None), getattr(model, "runtime", None)
        self.at_once: int | None = getattr(model, "at_once", None)
        self._outputs: list[Floats32 | None] = []
        self.asked = 0

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`."""
        self.asked += len(images)
        answers = self._model.predict(images)
        self._outputs.append(answers.probabilities if self._fits(answers.probabilities, len(images)) else None)
        return answers

    def _fits(self, told: Floats32 | None, images: int) -> bool:
        """Return whether these are a row an image, of as many classes as before; the verification refuses others."""
        classes = next((output.shape[1] for output in self._outputs if output is not None), None)
        return told is not None and told.ndim == 2 and len(told) == images and classes in (None, told.shape[1])

    def outputs(self) -> Floats32 | None:
        """Return all of them, float32 (n, c), in the order asked; None where some were not told."""
        told = [output for output in self._outputs if output is not None]
        return np.concatenate(told) if told and len(told) == len(self._outputs) else None


def rows_of(fingerprint: Fingerprint, questions: Sequence[Question]) -> list[int]:
    """Return of each question its row among all images of the fingerprint."""
    return [fingerprint.rows(question.kind).start + question.index for question in questions]


def scores_told(fingerprint: Fingerprint, questions: Sequence[Question], outputs: Floats32 | None) -> Scores:
    """Return the scores of each image, by its row, the first time it was asked; six digits.

    Args:
        fingerprint: whose images were asked.
        questions: those that were answered, in their order, or some more.
        outputs: float32 (answered, c); None: labels only were told, and so are no scores.
    """
    if outputs is None:
        return {}
    told: dict[int, tuple[float, float]] = {}
    rows = rows_of(fingerprint, questions[: len(outputs)])
    for row, (largest, weighted) in zip(rows, scores_of(outputs).tolist(), strict=True):
        told.setdefault(row, (round(largest, 6), round(weighted, 6)))
    return told


def alike(first: Scores, second: Scores) -> bool:
    """Return whether these scores are one model's over what both were asked, see `same_scores`."""
    both = sorted(first.keys() & second.keys())
    if any(abs(first[row][1] - second[row][1]) > 2 * SAME_MODEL for row in both[:_GLANCE]):  # most are another's
        return False
    return same_scores(*(as_array(scores, both) for scores in (first, second)))


def as_array(scores: Scores, rows: Sequence[int]) -> Floats32:
    """Return the scores of these rows, float32 (n, 2)."""
    return np.array([scores[row] for row in rows], np.float32).reshape(len(rows), 2)
