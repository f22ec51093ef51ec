"""What a suspect is asked, and in which order: it must not learn which images are the fingerprint's.

Benign probes and the fingerprint's images come in one order, that of SHA-256(fingerprint id | suspect id | nonce |
image's index). With a free order an accuser who tries 200 of them convicts a borderline innocent model three times in
four; so the nonce is recorded, and in a dispute it is the judge's.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.fingerprint import Fingerprint

__all__ = ["MIN_BENIGN", "Question", "plan_questions", "question_images"]

MIN_BENIGN = 50
"""Benign probes that each verification asks at least (fewer only where the fingerprint carries fewer)."""

MIN_EXAMPLES = 10
"""Examples that a query budget must leave room for."""


@dataclass(frozen=True)
class Question:
    """One query.

    Attributes:
        kind: ``"fingerprint"`` or ``"benign"``.
        index: in the fingerprint's images, or in its probes.
        repeat: whether the image has been asked before in this verification.
    """

    kind: Literal["fingerprint", "benign"]
    index: int
    repeat: bool


def plan_questions(
    fingerprint: Fingerprint,
    *,
    suspect_id: str,
    nonce: bytes,
    max_queries: int | None = None,
    chosen: NDArray[np.bool_] | None = None,
) -> tuple[Question, ...]:
    """Return the questions in the order in which they are asked; the same arguments give the same plan.

    Args:
        fingerprint: whose examples and probes are asked.
        suspect_id: SHA-256 of the suspect's file, else of its name.
        nonce: random, recorded in the verdict.
        max_queries: budget; examples are left out at random, decided by the nonce as well, until it is met.
        chosen: bool (n,), the examples that may be asked, at least one; None: all.

    Raises:
        OptionError: the budget leaves fewer than 10 examples (or all, where there are fewer) beside
            the benign probes and the repeats.
    """
    n, q = len(fingerprint), len(fingerprint.probe_images)
    common = hashlib.sha256(f"{fingerprint.id}|{suspect_id}|{nonce.hex()}|".encode())

    def key(index: int, mark: str = "") -> bytes:
        draw = common.copy()
        draw.update(f"{index}{mark}".encode())
        return draw.digest()

    def lot(index: int) -> bytes:  # another draw than the order's: else all chosen probes would come early
        return key(index, "|chosen")

    examples = list(range(n)) if chosen is None else np.flatnonzero(chosen).tolist()
    probes = sorted(range(n, n + q), key=lot)[:MIN_BENIGN]
    if max_queries is not None:
        affordable = [k for k in range(len(examples) + 1) if _total(k, len(probes)) <= max_queries]
        room = affordable[-1] if affordable else 0
        least = min(MIN_EXAMPLES, len(examples))
        if room < least:
            need = _total(least, len(probes))
            raise OptionError(f"max_queries is {max_queries} and a verification takes at least {need} queries.")
        examples = sorted(examples, key=lot)[:room]
    once = examples + probes
    twice = sorted(once, key=lambda index: key(index, "|again"))[: _repeats(len(once))]
    order = sorted([(key(i), i) for i in once] + [(key(i, "|repeat"), i) for i in twice])
    seen: set[int] = set()
    questions: list[Question] = []
    for _, index in order:
        kind: Literal["fingerprint", "benign"] = "fingerprint" if index < n else "benign"
        questions.append(Question(kind, index if index < n else index - n, index in seen))
        seen.add(index)
    return tuple(questions)


def question_images(fingerprint: Fingerprint, questions: Sequence[Question]) -> NDArray[np.uint8]:
    """Return the images to ask, uint8 (queries, h, w, k), in order."""
    source = {"fingerprint": fingerprint.images, "benign": fingerprint.probe_images}
    images = np.empty((len(questions), *fingerprint.images.shape[1:]), np.uint8)
    for place, question in enumerate(questions):
        images[place] = source[question.kind][question.index]
    return images


def _repeats(images: int) -> int:
    """Return how many of ``images`` are asked twice, 5 %, to notice answers that change."""
    return -(-images * 5 // 100)


def _total(examples: int, probes: int) -> int:
    return examples + probes + _repeats(examples + probes)
