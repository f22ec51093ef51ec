"""The answers that count: the first to each image. A repeat only shows whether the suspect answers the same again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cae_core.arrays import Labels
from cae_core.fingerprint.kinds import KINDS, ImageKind
from cae_core.fingerprint.questions import Question

__all__ = ["Answered", "FirstAnswers", "first_answers"]


@dataclass(frozen=True)
class Answered:
    """The first answers to the images of one kind, in the order asked.

    Attributes:
        index: int64 (a,), which images of this kind were asked.
        labels: int64 (a,), the answers to them, -1 for none.
    """

    index: Labels
    labels: Labels

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class FirstAnswers:
    """What a suspect answered, each image once.

    Attributes:
        by_kind: the answers, by the kind's name.
        repeats: how many images were asked twice.
        changed: how many of these got another answer.
    """

    by_kind: Mapping[str, Answered]
    repeats: int
    changed: int

    def to(self, kind: ImageKind) -> Answered:
        """Return the answers to the images of one kind."""
        return self.by_kind[kind.name]


def first_answers(questions: Sequence[Question], labels: Labels) -> FirstAnswers:
    """Sort the answers ``labels`` (queries,), in the order of ``questions``, by what they answer."""
    first: dict[str, dict[int, int]] = {kind.name: {} for kind in KINDS}
    changed = 0
    for question, label in zip(questions, labels.tolist(), strict=True):
        answers = first[question.kind.name]
        if question.repeat:
            changed += answers[question.index] != label
        else:
            answers[question.index] = label
    return FirstAnswers(
        {
            name: Answered(np.array(list(answers), np.int64), np.array(list(answers.values()), np.int64))
            for name, answers in first.items()
        },
        repeats=sum(question.repeat for question in questions),
        changed=changed,
    )
