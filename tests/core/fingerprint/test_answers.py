"""The first answer to each image counts; a repeat only shows a change."""

import numpy as np
import pytest

from cae_core.fingerprint.answers import first_answers
from cae_core.fingerprint.questions import Question


def q(kind: str, index: int, *, repeat: bool = False) -> Question:
    assert kind in ("fingerprint", "benign")
    return Question("fingerprint" if kind == "fingerprint" else "benign", index, repeat)


def test_answers_are_sorted_by_kind_in_the_order_asked() -> None:
    questions = [q("fingerprint", 7), q("benign", 2), q("benign", 7), q("fingerprint", 2)]
    found = first_answers(questions, np.array([5, 6, -1, 8]))
    assert (found.examples.tolist(), found.given.tolist()) == ([7, 2], [5, 8])
    assert (found.probes.tolist(), found.said.tolist()) == ([2, 7], [6, -1])
    assert (found.repeats, found.changed) == (0, 0)
    assert {array.dtype for array in (found.examples, found.given, found.probes, found.said)} == {np.dtype(np.int64)}


def test_a_repeat_changes_no_answer_and_is_compared_with_the_first() -> None:
    questions = [
        *(q("fingerprint", 1), q("benign", 1), q("fingerprint", 1, repeat=True)),
        *(q("benign", 1, repeat=True), q("fingerprint", 3), q("fingerprint", 3, repeat=True)),
    ]
    found = first_answers(questions, np.array([4, 2, 5, 2, -1, 0]))
    assert (found.given.tolist(), found.said.tolist()) == ([4, -1], [2])
    assert (found.repeats, found.changed) == (3, 2)


def test_refusing_twice_is_the_same_answer() -> None:
    assert first_answers([q("benign", 0), q("benign", 0, repeat=True)], np.array([-1, -1])).changed == 0


def test_as_many_answers_as_questions() -> None:
    with pytest.raises(ValueError, match="shorter"):
        first_answers([q("benign", 0), q("benign", 1)], np.array([1]))
