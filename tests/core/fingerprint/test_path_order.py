"""The one order of a verification by path ranks."""

import dataclasses
import functools
import hashlib

import numpy as np
import pytest

from cae_core.errors import OptionError
from cae_core.fingerprint.benign import benign_settled, check_benign
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.path_order import LEAST_BENIGN, PathOrder, path_order
from cae_core.fingerprint.questions import repeats_of
from tests.core.toys import toy_fingerprint

FINGERPRINT = toy_fingerprint(n=100, probes=60)


def order(nonce: bytes = b"1", **given: int | None) -> PathOrder:
    return path_order(FINGERPRINT, suspect_sha256="ab", nonce=nonce, **given)  # type: ignore[arg-type]


class TestOrder:
    def test_the_best_examples_first_and_equals_by_the_hash_that_the_documents_name(self) -> None:
        coarse = dataclasses.replace(FINGERPRINT, conferrability=FINGERPRINT.conferrability.round(1))

        def key(row: int) -> tuple[float, bytes]:
            told = f"{coarse.id}|ab|{b'1'.hex()}|{row}".encode()
            return 1 - coarse.conferrability[row], hashlib.sha256(told).digest()

        first = path_order(coarse, suspect_sha256="ab", nonce=b"1").first
        found = [question.index for question in first if question.kind == EXAMPLE]
        assert len(set(coarse.conferrability.tolist())) == 6
        assert found == sorted(range(100), key=key)

    def test_mixed_kinds_in_proportion_as_the_file_has_them(self) -> None:
        kinds = np.repeat([0, 1], [80, 20]).astype(np.uint8)
        mixed = dataclasses.replace(FINGERPRINT, example_kind=kinds)
        first = path_order(mixed, suspect_sha256="ab", nonce=b"1").first
        found = [question.index for question in first if question.kind == EXAMPLE]
        assert [row for row in found if row < 80] == list(range(80))
        assert [row for row in found if row >= 80] == list(range(80, 100))
        assert all(0.6 <= np.mean([row < 80 for row in found[:n]]) <= 1 for n in range(5, 100, 5))

    def test_a_probe_beside_each_example_while_there_are_any(self) -> None:
        first = order().first
        assert sum(question.kind == BENIGN for question in first) == 50
        pairs = [first[i : i + 2] for i in range(0, 100, 2)]
        assert all({a.kind.name, b.kind.name} == {"fingerprint", "benign"} for a, b in pairs)
        assert 10 < sum(a.kind == BENIGN for a, _ in pairs) < 40  # in an order of its own
        assert all(question.kind == EXAMPLE for question in first[100:])
        assert len(set(first)) == len(first) == 150

    def test_another_nonce_is_another_order(self) -> None:
        assert order().first != order(b"2").first

    def test_only_chosen_examples(self) -> None:
        chosen = np.arange(100) % 3 == 0
        found = path_order(FINGERPRINT, suspect_sha256="ab", nonce=b"1", chosen=chosen)
        assert {q.index for q in found.first if q.kind == EXAMPLE} == set(np.flatnonzero(chosen).tolist())


class TestBudget:
    def test_the_order_stays(self) -> None:
        assert order(max_queries=60).first == order().first

    @pytest.mark.parametrize("budget", [21, 22, 41, 60, 100, 157])
    def test_it_is_kept(self, budget: int) -> None:
        found = order(max_queries=budget)
        assert len(found.questions) == found.room + repeats_of(found.room) <= budget
        assert found.room + 1 + repeats_of(found.room + 1) > budget
        examples = sum(q.kind == EXAMPLE and not q.repeat for q in found.questions)
        assert examples == min(100, found.room - min(LEAST_BENIGN, found.room // 2))  # as many as there can be

    def test_the_least(self) -> None:
        with pytest.raises(OptionError, match="--max-queries 20 is too few: a verification takes at least 21 queries"):
            order(max_queries=20)


class TestRepeats:
    @pytest.mark.parametrize("asked", [0, 1, 20, 21, 150])
    def test_five_in_a_hundred_of_what_was_asked(self, asked: int) -> None:
        found = order()
        again = found.repeats(found.first[:asked])
        assert len(again) == -(-asked * 5 // 100)
        assert all(question.repeat for question in again)
        assert {dataclasses.replace(question, repeat=False) for question in again} <= set(found.first[:asked])


def right_about(right: int, asked: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(asked) % 10
    return np.where(np.arange(asked) < right, labels, (labels + 1) % 10), labels


class TestSettled:
    @pytest.mark.parametrize(
        ("right", "asked", "settled"),
        [
            (10, 10, True),
            (9, 10, True),
            (8, 10, False),
            (9, 11, True),
            (1, 10, False),
            (0, 10, True),
            (25, 50, False),
        ],
    )
    def test_once_the_interval_has_left_halfway(self, right: int, asked: int, settled: bool) -> None:  # noqa: FBT001 - one of a table
        # halfway between a tenth and 0.95 is 0.525
        answers, labels = right_about(right, asked)
        assert benign_settled(answers, labels, classes=10, source_accuracy=0.95) == settled

    def test_then_further_probes_do_not_turn_it(self) -> None:
        """A model settled as fit has to be worse than halfway by the 99 % limit to fail later: hardly one is."""
        random, turned, trials = np.random.default_rng(3), 0, 2000
        for _ in range(trials):
            right = (random.random(50) < 0.525).cumsum().tolist()  # at halfway, the worst case
            asked = next((t for t in range(10, 51) if _settled(right[t - 1], t)), 50)
            turned += _fails(right[asked - 1], asked) != _fails(right[49], 50)
        assert turned / trials < 0.06

    def test_always_the_same_answer_is_asked_further(self) -> None:
        labels = np.array([0] * 11 + [1])
        assert not benign_settled(np.zeros(12, np.int64), labels, classes=2, source_accuracy=0.9)


@functools.cache
def _settled(right: int, asked: int) -> bool:
    return benign_settled(*right_about(right, asked), classes=10, source_accuracy=0.95)


@functools.cache
def _fails(right: int, asked: int) -> bool:
    return check_benign(*right_about(right, asked), classes=10, source_accuracy=0.95) is not None
