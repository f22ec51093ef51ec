"""What a suspect is asked, and in which order: it must not learn which images are the fingerprint's.

Benign probes and the fingerprint's images come in one order, that of SHA-256(fingerprint id | suspect id | nonce |
image's index). With a free order an accuser who tries 200 of them convicts a borderline innocent model three times in
four; so the nonce is recorded, and in a dispute it is the judge's.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, CONTROL, FURTHER, KINDS, ImageKind

__all__ = [
    "MIN_BENIGN",
    "MIN_EXAMPLES",
    "Question",
    "asking_order",
    "best_places",
    "count_queries",
    "draws",
    "plan_questions",
    "queries_for",
    "queries_for_all",
    "queries_for_examples",
    "question_images",
    "repeats_of",
]

MIN_BENIGN = 50
"""Benign probes that each verification asks at least (fewer only where the fingerprint carries fewer).

Where nobody counts queries all are asked: the accuracy that they show limits what a verdict can say.
"""

MIN_EXAMPLES = 10
"""Examples that a query budget must leave room for."""


@dataclass(frozen=True)
class Question:
    """One query.

    Attributes:
        kind: of image, see `cae_core.fingerprint.kinds`.
        index: in the fingerprint's images of this kind.
        repeat: whether the image has been asked before in this verification.
    """

    kind: ImageKind
    index: int
    repeat: bool


def plan_questions(
    fingerprint: Fingerprint,
    *,
    suspect_sha256: str,
    nonce: bytes,
    max_queries: int | None = None,
    chosen: NDArray[np.bool_] | None = None,
    all_probes: bool = True,
    further: bool = True,
    controls: bool = False,
    by_lot: bool = False,
    repeats: bool = True,
) -> tuple[Question, ...]:
    """Return the questions in the order in which they are asked; the same arguments give the same plan.

    Args:
        fingerprint: whose examples and probes are asked.
        suspect_sha256: SHA-256 of the suspect's file, else of its name.
        nonce: random, recorded in the verdict.
        max_queries: budget; images that only inform, then benign probes beyond 50, and then examples, are left out
            until it is met: at random, decided by the nonce as well, but of mixed kinds of examples the best are kept,
            unless control sources are asked as well, or ``by_lot``.
        chosen: bool (n,), the examples that may be asked, at least one; None: all.
        all_probes: whether every benign probe is asked, as far as the budget goes; else 50.
        further: whether images that only inform are asked, where the fingerprint has any.
        controls: whether the control sources' examples are asked as well, of each source as many as of the claimed one.
        by_lot: whether a budget keeps examples at random, whatever their kinds: who speaks of all examples after some
            has to draw these at random.
        repeats: whether some images are asked twice, to notice answers that change.

    Raises:
        OptionError: the budget leaves fewer than 10 examples (or all, where there are fewer) beside
            the benign probes and the repeats.
    """
    key = draws(fingerprint, suspect_sha256=suspect_sha256, nonce=nonce)

    def lot(index: int) -> bytes:  # another draw than the order's: else all chosen probes would come early
        return key(index, "|chosen")

    places = fingerprint.places
    examples = list(range(len(fingerprint))) if chosen is None else np.flatnonzero(chosen).tolist()
    drawn = sorted(_rows(fingerprint, BENIGN), key=lot)
    probes, more = drawn[:MIN_BENIGN], drawn[MIN_BENIGN:] if all_probes else []
    informing = [sorted(_rows(fingerprint, kind), key=lot) for kind in FURTHER if further and kind.role == "informs"]
    sources = [examples, *(_of_each_control(fingerprint) if controls else ())]
    if max_queries is not None:
        affordable = [
            k for k in range(len(examples) + 1) if queries_for_examples(len(sources) * k, len(probes)) <= max_queries
        ]
        room = affordable[-1] if affordable else 0
        least = min(MIN_EXAMPLES, len(examples))
        if room < least:
            need = queries_for_examples(len(sources) * least, len(probes))
            raise OptionError(f"--max-queries {max_queries} is too few: a verification takes at least {need} queries.")
        best = best_places(fingerprint) if _keeps_best(fingerprint, alone=len(sources) == 1, by_lot=by_lot) else None
        sources = [_kept(fingerprint, rows, room, lot, best) for rows in sources]
        more = _affordable(more, len(sources) * room + len(probes), max_queries)
    once = [row for rows in sources for row in rows] + probes + more
    for rows in informing:
        once += rows if max_queries is None else _affordable(rows, len(once), max_queries)
    twice = sorted(once, key=lambda index: key(index, "|again"))[: repeats_of(len(once)) if repeats else 0]
    order = sorted([(key(i), i) for i in once] + [(key(i, "|repeat"), i) for i in twice])
    seen: set[int] = set()
    questions: list[Question] = []
    for _, index in order:
        kind, place = places[index]
        questions.append(Question(kind, place, index in seen))
        seen.add(index)
    return tuple(questions)


def draws(fingerprint: Fingerprint, *, suspect_sha256: str, nonce: bytes) -> Callable[..., bytes]:
    """Return the draw of an image, by its row among all images, and for what it is drawn; see `plan_questions`."""
    common = hashlib.sha256(f"{fingerprint.id}|{suspect_sha256}|{nonce.hex()}|".encode())

    def key(index: int, mark: str = "") -> bytes:
        draw = common.copy()
        draw.update(f"{index}{mark}".encode())
        return draw.digest()

    return key


def asking_order(questions: Sequence[Question]) -> list[int]:
    """Return in which order questions that are asked at once are put: the repeats by themselves, after all others.

    So a repeated image stands in another batch and beside other images than the first time, and an answer that depends
    on its neighbours is noticed. As a record the questions keep their own order.

    Example:
        >>> asking_order([Question(KINDS[0], 1, False), Question(KINDS[0], 1, True), Question(KINDS[0], 0, False)])
        [0, 2, 1]
    """
    places = range(len(questions))
    again = [place for place in places if questions[place].repeat]
    return [place for place in places if not questions[place].repeat] + again[::-1]


def question_images(fingerprint: Fingerprint, questions: Sequence[Question]) -> NDArray[np.uint8]:
    """Return the images to ask, uint8 (queries, h, w, k), in order."""
    source = {kind.name: fingerprint.of(kind).images for kind in KINDS}
    images = np.empty((len(questions), *fingerprint.images.shape[1:]), np.uint8)
    for place, question in enumerate(questions):
        images[place] = source[question.kind.name][question.index]
    return images


def count_queries(questions: Sequence[Question]) -> dict[str, int]:
    """Return how many there are of each kind, by its name, repeats included; of the further kinds only where any."""
    counts = Counter(question.kind.name for question in questions)
    return {kind.name: counts[kind.name] for kind in KINDS if counts[kind.name] or kind not in FURTHER}


def queries_for(fingerprint: Fingerprint, examples: int) -> int:
    """Return the queries that so many examples take, with the least number of benign probes and the repeats."""
    return queries_for_examples(examples, min(MIN_BENIGN, len(fingerprint.probe_images)))


def queries_for_all(fingerprint: Fingerprint, examples: int) -> int:
    """Return the queries that so many examples, of all sources, take with all benign probes and the repeats."""
    return queries_for_examples(examples, len(fingerprint.probe_images))


def queries_for_examples(examples: int, probes: int) -> int:
    """Return the queries that so many examples, of all sources, and benign probes take, with the repeats."""
    return examples + probes + repeats_of(examples + probes)


def _affordable(images: list[int], others: int, max_queries: int) -> list[int]:
    """Return as many of ``images`` as the budget allows beside ``others``, repeats included."""
    return images[: [k for k in range(len(images) + 1) if queries_for_examples(others, k) <= max_queries][-1]]


def _keeps_best(fingerprint: Fingerprint, *, alone: bool, by_lot: bool) -> bool:
    """Return whether a budget keeps the best examples.

    Beside control sources it does not, unless all are of a query log, where each source has the best first: the file
    tells the kinds of the claimed source's examples only, and the sources are to be treated alike.
    """
    return not by_lot and (alone or fingerprint.query_log is not None)


def _kept(
    fingerprint: Fingerprint,
    rows: Sequence[int],
    room: int,
    lot: Callable[[int], bytes],
    best: Sequence[float] | None,
) -> list[int]:
    """Return the examples of one source that a budget keeps: by lot, or those of the places that are ``best``.

    What a control source's examples are worth at each place is what the claimed source's are.
    """
    if best is None:
        return sorted(rows, key=lot)[:room]
    n, start = len(fingerprint), _rows(fingerprint, CONTROL).start

    def place(row: int) -> int:
        return row if row < n else (row - start) % n

    return sorted(rows, key=lambda row: (best[place(row)], row))[:room]


def best_places(fingerprint: Fingerprint) -> list[float] | None:
    """Return of each example how far down it stands within its kind, 0 to 1; None where all are of one kind.

    Within each kind of `cae_core.fingerprint.example_kinds` the file has the better examples first.
    """
    kinds = fingerprint.example_kinds
    if not kinds.any():
        return None
    share = np.empty(len(kinds))
    for kind in set(kinds.tolist()):
        own = np.flatnonzero(kinds == kind)
        share[own] = (np.arange(len(own)) + 0.5) / len(own)
    return share.tolist()


def _rows(fingerprint: Fingerprint, kind: ImageKind) -> range:
    rows = fingerprint.rows(kind)
    return range(rows.start, rows.stop)


def _of_each_control(fingerprint: Fingerprint) -> list[list[int]]:
    """Return the rows of each control source's examples."""
    rows, n = list(_rows(fingerprint, CONTROL)), len(fingerprint)
    return [rows[start : start + n] for start in range(0, len(rows), n)]


def repeats_of(images: int) -> int:
    """Return how many of ``images`` are asked twice, 5 %, to notice answers that change."""
    return -(-images * 5 // 100)
