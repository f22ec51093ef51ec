"""The order of the questions: reproducible from the nonce, and telling nothing to the suspect."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, ImageKind
from cae_core.fingerprint.questions import MIN_BENIGN, Question, plan_questions, queries_for, question_images
from tests.core.toys import toy_fingerprint

BIG = toy_fingerprint(n=100, probes=200)
NONCES = [hashlib.sha256(bytes([i])).digest()[:16] for i in range(40)]


def plan(
    nonce: bytes = b"n", *, fingerprint: Fingerprint = BIG, suspect: str = "ab", budget: int | None = None
) -> tuple[Question, ...]:
    return plan_questions(fingerprint, suspect_sha256=suspect, nonce=nonce, max_queries=budget)


def test_the_same_arguments_give_the_same_order_and_others_another() -> None:
    other = toy_fingerprint(n=100, probes=200, seed=6)
    assert plan() == plan()
    assert len({plan(), plan(b"m"), plan(suspect="ac"), plan(fingerprint=other)}) == 4


def few(nonce: bytes = b"n", *, budget: int | None = None) -> tuple[Question, ...]:
    return plan_questions(BIG, suspect_sha256="ab", nonce=nonce, max_queries=budget, all_probes=False)


def test_every_example_and_every_probe_is_asked_and_one_in_twenty_again() -> None:
    for nonce in NONCES:
        for questions, probes in ((plan(nonce), 200), (few(nonce), MIN_BENIGN)):
            counts = Counter((q.kind, q.repeat) for q in questions)
            assert counts[EXAMPLE, False] == 100
            assert counts[BENIGN, False] == probes
            repeats = -(-(100 + probes) // 20)  # 5 %, rounded up
            assert counts[EXAMPLE, True] + counts[BENIGN, True] == repeats
            first = [(q.kind, q.index) for q in questions if not q.repeat]
            assert len(set(first)) == 100 + probes


def test_fifty_probes_are_the_first_that_a_budget_keeps() -> None:
    """So that the least budgets ask what they asked before there was a choice."""
    for nonce in NONCES:
        assert plan(nonce, budget=100) == few(nonce, budget=100)
        asked = [
            {q.index for q in questions if q.kind == BENIGN} for questions in (few(nonce), plan(nonce, budget=200))
        ]
        assert asked[0] < asked[1]
    assert queries_for(BIG, 100) == len(few())


def test_a_repeat_comes_after_its_first_question() -> None:
    for nonce in NONCES:
        seen: set[tuple[ImageKind, int]] = set()
        for question in plan(nonce):
            assert question.repeat == ((question.kind, question.index) in seen)
            seen.add((question.kind, question.index))


def test_both_kinds_are_repeated_and_the_repeats_are_not_the_same_ones() -> None:
    repeated = [frozenset((q.kind, q.index) for q in plan(nonce) if q.repeat) for nonce in NONCES]
    assert {kind for chosen in repeated for kind, _ in chosen} == {EXAMPLE, BENIGN}
    assert len(set(repeated)) == len(NONCES)


@pytest.mark.parametrize("budget", [None, 100])
def test_a_questions_place_does_not_tell_its_kind(budget: int | None) -> None:
    """In each quarter of the order, the share of benign questions is that of the whole."""
    quarters = np.zeros((4, 2))
    for nonce in NONCES:
        questions = plan(nonce, budget=budget)
        for place, question in enumerate(questions):
            quarters[4 * place // len(questions), int(question.kind == BENIGN)] += 1
    shares = quarters[:, 1] / quarters.sum(axis=1)
    overall = quarters[:, 1].sum() / quarters.sum()
    np.testing.assert_allclose(shares, overall, atol=0.05)


def test_every_probe_and_every_example_of_a_budget_has_its_turn() -> None:
    """The choice does not always fall on the same images."""
    chosen = Counter((q.kind, q.index) for nonce in NONCES for q in plan(nonce, budget=100) if not q.repeat)
    assert sum(kind == BENIGN for kind, _ in chosen) > 190
    assert sum(kind == EXAMPLE for kind, _ in chosen) > 95


@given(n=st.integers(1, 40), probes=st.integers(1, 80), budget=st.integers(0, 180))
@settings(max_examples=60)
def test_a_budget_is_kept_or_refused(n: int, probes: int, budget: int) -> None:
    fingerprint = toy_fingerprint(n=n, probes=probes)
    least = min(n, 10) + min(probes, 50)
    least += -(-least * 5 // 100)
    if budget < least:
        with pytest.raises(
            OptionError, match=f"--max-queries {budget} is too few: a verification takes at least {least}"
        ):
            plan(fingerprint=fingerprint, budget=budget)
        return
    questions = plan(fingerprint=fingerprint, budget=budget)
    asked = sum(q.kind == EXAMPLE and not q.repeat for q in questions)
    assert len(questions) <= budget
    assert min(n, 10) <= asked <= n
    benign = sum(q.kind == BENIGN and not q.repeat for q in questions)
    assert min(probes, 50) <= benign <= probes
    if asked < n:  # examples come before further probes
        assert benign == min(probes, 50)
    if (asked, benign) != (n, probes):  # one more image, and perhaps its repeat, would not fit
        assert len(questions) + 2 > budget


def test_a_large_budget_changes_nothing() -> None:
    assert plan(budget=10_000) == plan()


def test_the_images_are_those_of_the_questions() -> None:
    questions = plan()
    images = question_images(BIG, questions)
    assert images.dtype == np.uint8
    for image, question in zip(images, questions, strict=True):
        source = BIG.images if question.kind == EXAMPLE else BIG.probe_images
        np.testing.assert_array_equal(image, source[question.index])


@pytest.mark.parametrize("counts", [{2: 100}, {0: 60, 2: 40}, {0: 1, 1: 9, 3: 90}])
def test_a_budget_keeps_the_best_of_each_kind_in_proportion(counts: dict[int, int]) -> None:
    kinds = np.repeat(list(counts), list(counts.values())).astype(np.uint8)
    mixed = dataclasses.replace(BIG, example_kind=kinds)
    for nonce in NONCES[:5]:
        asked = {q.index for q in plan(nonce, fingerprint=mixed, budget=100) if q.kind == EXAMPLE}
        assert len(asked) == 45  # beside 50 probes and 5 repeats
        for kind, count in counts.items():
            rows = np.flatnonzero(kinds == kind)
            own = asked & set(rows.tolist())
            assert own == set(rows[: len(own)].tolist())  # the first of the file are the best
            assert abs(len(own) - 0.45 * count) <= 1
        everything = {q.index for q in plan(nonce, fingerprint=mixed) if q.kind == EXAMPLE}
        assert len(everything) == 100
