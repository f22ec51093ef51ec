"""What a suspect answers while it is verified, kept: so that a model is known again by its scores, whatever its file.

A file that was converted, renamed or saved again has another digest and the same scores. Labels tell nothing of the
kind: honest models share them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cae_core.arrays import Floats32, Images
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question
from cae_core.fingerprint.scores import label_scores, same_scores
from cae_core.models import Model, Predictions

__all__ = ["Recorder", "alike", "rows_of", "scores_told"]


class Recorder:
    """A black box that remembers the probabilities that it gave.

    Attributes:
        asked: how many images it was asked, answered or not.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._outputs: list[Floats32 | None] = []
        self.asked = 0

    def predict(self, images: Images) -> Predictions:
        """See `Model.predict`."""
        self.asked += len(images)
        answers = self._model.predict(images)
        self._outputs.append(answers.probabilities)
        return answers

    def outputs(self) -> Floats32 | None:
        """Return all of them, float32 (n, c), in the order asked; None where some were not told."""
        told = [output for output in self._outputs if output is not None]
        return np.concatenate(told) if told and len(told) == len(self._outputs) else None


def rows_of(fingerprint: Fingerprint, questions: Sequence[Question]) -> list[int]:
    """Return of each question its row among all images of the fingerprint."""
    return [fingerprint.rows(question.kind).start + question.index for question in questions]


def scores_told(fingerprint: Fingerprint, questions: Sequence[Question], outputs: Floats32 | None) -> dict[int, float]:
    """Return by its row the score of each image, see `label_scores`, the first time it was asked; six digits.

    Args:
        fingerprint: whose images were asked.
        questions: those that were answered, in their order, or some more.
        outputs: float32 (answered, c); None: labels only were told, and so are no scores.
    """
    if outputs is None:
        return {}
    rows = rows_of(fingerprint, questions[: len(outputs)])
    scores = label_scores(outputs, fingerprint.all_labels()[rows])
    told: dict[int, float] = {}
    for row, score in zip(rows, scores.tolist(), strict=True):
        told.setdefault(row, round(score, 6))
    return told


def alike(first: Mapping[int, float], second: Mapping[int, float]) -> bool:
    """Return whether these scores, by the image's row, are one model's over what both were asked, see `same_scores`."""
    both = sorted(first.keys() & second.keys())
    return same_scores(*(np.array([scores[row] for row in both], np.float32) for scores in (first, second)))
