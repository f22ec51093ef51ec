"""The answers that count: the first to each image. A repeat only shows whether the suspect answers the same again."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cae_core.arrays import Labels
from cae_core.fingerprint.questions import Question

__all__ = ["FirstAnswers", "first_answers"]


@dataclass(frozen=True)
class FirstAnswers:
    """What a suspect answered, each image once, in the order asked.

    Attributes:
        examples: int64 (a,), indices of the fingerprint's examples.
        given: int64 (a,), the answers to them, -1 for none.
        probes: int64 (b,), indices of the benign probes.
        said: int64 (b,), the answers to them.
        repeats: how many images were asked twice.
        changed: how many of these got another answer.
        akh: int64 (e,), indices of the images that the source gets wrong.
        akh_given: int64 (e,), the answers to them.
    """

    examples: Labels
    given: Labels
    probes: Labels
    said: Labels
    repeats: int
    changed: int
    akh: Labels = field(default_factory=lambda: np.zeros(0, np.int64))
    akh_given: Labels = field(default_factory=lambda: np.zeros(0, np.int64))


def first_answers(questions: Sequence[Question], labels: Labels) -> FirstAnswers:
    """Sort the answers ``labels`` (queries,), in the order of ``questions``, by what they answer."""
    first: dict[str, dict[int, int]] = {"fingerprint": {}, "benign": {}, "akh": {}}
    changed = 0
    for question, label in zip(questions, labels.tolist(), strict=True):
        if question.repeat:
            changed += first[question.kind][question.index] != label
        else:
            first[question.kind][question.index] = label
    examples, probes, akh = first["fingerprint"], first["benign"], first["akh"]
    return FirstAnswers(
        np.array(list(examples), np.int64),
        np.array(list(examples.values()), np.int64),
        np.array(list(probes), np.int64),
        np.array(list(probes.values()), np.int64),
        repeats=sum(question.repeat for question in questions),
        changed=changed,
        akh=np.array(list(akh), np.int64),
        akh_given=np.array(list(akh.values()), np.int64),
    )
