"""The first answer to each image counts; a repeat only shows a change."""

import numpy as np
import pytest

from cae_core.fingerprint.answers import first_answers
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, ImageKind
from cae_core.fingerprint.questions import Question


def q(kind: ImageKind, index: int, *, repeat: bool = False) -> Question:
    return Question(kind, index, repeat)


def test_answers_are_sorted_by_kind_in_the_order_asked() -> None:
    questions = [q(EXAMPLE, 7), q(BENIGN, 2), q(BENIGN, 7), q(EXAMPLE, 2)]
    found = first_answers(questions, np.array([5, 6, -1, 8]))
    examples, probes = found.to(EXAMPLE), found.to(BENIGN)
    assert (examples.index.tolist(), examples.labels.tolist()) == ([7, 2], [5, 8])
    assert (probes.index.tolist(), probes.labels.tolist()) == ([2, 7], [6, -1])
    assert (found.repeats, found.changed) == (0, 0)
    arrays = (examples.index, examples.labels, probes.index, probes.labels)
    assert {array.dtype for array in arrays} == {np.dtype(np.int64)}


def test_a_repeat_changes_no_answer_and_is_compared_with_the_first() -> None:
    questions = [
        *(q(EXAMPLE, 1), q(BENIGN, 1), q(EXAMPLE, 1, repeat=True)),
        *(q(BENIGN, 1, repeat=True), q(EXAMPLE, 3), q(EXAMPLE, 3, repeat=True)),
    ]
    found = first_answers(questions, np.array([4, 2, 5, 2, -1, 0]))
    assert (found.to(EXAMPLE).labels.tolist(), found.to(BENIGN).labels.tolist()) == ([4, -1], [2])
    assert (found.repeats, found.changed) == (3, 2)


def test_refusing_twice_is_the_same_answer() -> None:
    assert first_answers([q(BENIGN, 0), q(BENIGN, 0, repeat=True)], np.array([-1, -1])).changed == 0


def test_as_many_answers_as_questions() -> None:
    with pytest.raises(ValueError, match="shorter"):
        first_answers([q(BENIGN, 0), q(BENIGN, 1)], np.array([1]))
