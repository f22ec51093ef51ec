"""What a suspect was asked and what it answered: one record, only ever appended to.

The same record is judged, printed, written into the ledger's line and derived again from a verdict's file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cae_core.arrays import Labels
from cae_core.errors import DataError
from cae_core.fingerprint.kinds import ImageKind
from cae_core.fingerprint.questions import Question

__all__ = ["Answer", "Transcript"]


@dataclass(frozen=True)
class Answer:
    """A question and the label that the suspect gave, -1 for none."""

    question: Question
    label: int

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        question = self.question
        return {"kind": question.kind.name, "index": question.index, "repeat": question.repeat, "label": self.label}


class Transcript:
    """Questions and answers in the order asked."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def record(self, questions: Sequence[Question], labels: Labels) -> None:
        """Append the answers ``labels`` (queries,) to ``questions``.

        Raises:
            DataError: there are not as many answers as questions.
        """
        if labels.shape != (len(questions),):
            raise DataError(
                f"{len(questions)} questions need as many answers; found {labels.shape}. Take the whole record."
            )
        self._answers += [Answer(question, label) for question, label in zip(questions, labels.tolist(), strict=True)]

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._answers)

    @property
    def questions(self) -> tuple[Question, ...]:
        """What was asked."""
        return tuple(answer.question for answer in self)

    @property
    def labels(self) -> Labels:
        """What was answered, int64 (queries,), -1 for none."""
        return np.array([answer.label for answer in self], np.int64)

    @property
    def unanswered(self) -> int:
        """How many answers are refusals or no number, repeats included."""
        return sum(answer.label < 0 for answer in self)

    def asked(self, kind: ImageKind) -> frozenset[int]:
        """Return which images of ``kind`` were asked."""
        return frozenset(answer.question.index for answer in self if answer.question.kind == kind)
