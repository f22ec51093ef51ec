"""Asking a suspect and judging its answers."""

import secrets
from collections.abc import Callable

import numpy as np

from cae_core.arrays import Labels
from cae_core.benign import check_benign
from cae_core.caeacc import cae_accuracy
from cae_core.errors import DataError, ModelError
from cae_core.fingerprint import Fingerprint
from cae_core.models import Model
from cae_core.questions import Question, plan_questions, question_images
from cae_core.verdict import Answer, Verdict, decide_uncalibrated

__all__ = ["judge_answers", "verify"]

_ASKED_TOGETHER = 1024


def verify(
    suspect: Model,
    fingerprint: Fingerprint,
    *,
    suspect_name: str,
    suspect_sha256: str,
    fingerprint_sha256: str = "",
    nonce: bytes | None = None,
    max_queries: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Verdict:
    """Ask the suspect the fingerprint's examples and some benign probes, in one random order, and decide.

    Args:
        suspect: any `Model`; labels are enough.
        fingerprint: see `cae_core.fingerprint`.
        suspect_name: for the verdict.
        suspect_sha256: of its file, else of its name; it decides the order together with the nonce.
        fingerprint_sha256: of the fingerprint's file, for the verdict.
        nonce: 16 random bytes where None.
        max_queries: budget, see `plan_questions`.
        progress: called with the queries done and in total.

    Raises:
        ModelError: the suspect answers another number of labels than it was asked, classes that do not exist, or
            scores in the place of labels.
    """
    nonce = secrets.token_bytes(16) if nonce is None else nonce
    questions = plan_questions(fingerprint, suspect_id=suspect_sha256, nonce=nonce, max_queries=max_queries)
    images = question_images(fingerprint, questions)
    labels = np.empty(len(questions), np.int64)
    for start in range(0, len(images), _ASKED_TOGETHER):
        part = images[start : start + _ASKED_TOGETHER]
        predictions = suspect.predict(part)
        if predictions.labels.shape != (len(part),):
            raise ModelError(f"{suspect_name}: asked {len(part)} images and got answers {predictions.labels.shape}.")
        if predictions.labels.dtype.kind != "i":  # scores would be cut to integers, in silence
            raise ModelError(f"{suspect_name}: answers must be integer labels (n,); found {predictions.labels.dtype}.")
        if predictions.probabilities is not None:
            _check_classes(predictions.probabilities.shape[1], fingerprint, suspect_name)
        labels[start : start + len(part)] = predictions.labels
        progress(start + len(part), len(images))
    return judge_answers(
        fingerprint,
        questions,
        labels,
        suspect={"name": suspect_name, "sha256": suspect_sha256},
        fingerprint_sha256=fingerprint_sha256,
        nonce=nonce,
    )


def judge_answers(
    fingerprint: Fingerprint,
    questions: tuple[Question, ...],
    labels: Labels,
    *,
    suspect: dict[str, str],
    fingerprint_sha256: str,
    nonce: bytes,
) -> Verdict:
    """Judge recorded answers: ``labels`` (queries,) in the order of ``questions``. The first answer counts.

    Raises:
        DataError: not as many answers as questions.
        ModelError: an answer is a class that does not exist.
    """
    if labels.shape != (len(questions),):
        raise DataError(
            f"{len(questions)} questions need as many answers; found {labels.shape}. Take the whole record."
        )
    if labels.max(initial=-1) >= len(fingerprint.class_names):
        _check_classes(int(labels.max()) + 1, fingerprint, suspect["name"])
    first: dict[str, dict[int, int]] = {"fingerprint": {}, "benign": {}}
    changed = 0
    for question, label in zip(questions, labels.tolist(), strict=True):
        if question.repeat:
            changed += first[question.kind][question.index] != label
        else:
            first[question.kind][question.index] = label
    asked, given = (np.array(list(x), np.int64) for x in (first["fingerprint"], first["fingerprint"].values()))
    probes, said = (np.array(list(x), np.int64) for x in (first["benign"], first["benign"].values()))
    caeacc = cae_accuracy(given, fingerprint.labels[asked])
    benign = check_benign(
        said,
        fingerprint.probe_labels[probes],
        classes=len(fingerprint.class_names),
        source_accuracy=fingerprint.source_accuracy,
    )
    return Verdict(
        decision=decide_uncalibrated(caeacc, benign_reason=benign.reason),
        caeacc=caeacc,
        benign_accuracy=benign.accuracy,
        queries={kind: sum(question.kind == kind for question in questions) for kind in first},
        nondeterministic=changed,
        unanswered=int((labels < 0).sum()),
        suspect=suspect,
        fingerprint={"id": fingerprint.id, "sha256": fingerprint_sha256},
        nonce=nonce.hex(),
        answers=tuple(Answer(question, label) for question, label in zip(questions, labels.tolist(), strict=True)),
    )


def _check_classes(found: int, fingerprint: Fingerprint, name: str) -> None:
    expected = len(fingerprint.class_names)
    if found != expected:
        raise ModelError(
            f"{name}: answers with {found} classes and the fingerprint has {expected}. "
            "If it is a model of the same task, name the classes in its contract (classes = [...])."
        )
