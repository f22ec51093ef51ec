"""Asking a suspect and judging its answers."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.file import calibration_digest
from cae_core.errors import DataError, ModelError, OptionError
from cae_core.fingerprint.answers import FirstAnswers, first_answers
from cae_core.fingerprint.benign import check_benign
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question, count_queries, plan_questions, question_images
from cae_core.method.caeacc import CAEAcc, cae_accuracy
from cae_core.models import Model
from cae_core.progress import StageProgress, silent
from cae_core.verification.decision import Circumstances, decide, decide_uncalibrated
from cae_core.verification.evasion import signs_of_evasion
from cae_core.verification.exchangeability import benign_range, outside_range, unlike_references, unrepresented_ancestor
from cae_core.verification.repeated_errors import repeated_errors
from cae_core.verification.verdict import Answer, Verdict

if TYPE_CHECKING:
    from cae_core.verification.sequential import SequentialRun  # loaded where it is asked for

__all__ = ["VerificationOptions", "circumstances_of", "judge_answers", "verify"]

_ASKED_TOGETHER = 1024
_MUCH_DRIFT = 0.1


@dataclass(frozen=True, kw_only=True)
class VerificationOptions:
    """How a suspect is asked and judged.

    Attributes:
        sequential: ask one example at a time and stop once the answer is certain enough.
        max_queries: budget, see `plan_questions`.
        allow_extrapolation: let a verdict stand although the references do not cover the suspect's accuracy.
        claimed_accuracy: of the suspect, by its owner, 0 to 1.
        rule: by which the answers are judged. 2: the present one. 1, for records of before: 50 benign probes are asked,
            an accuracy beyond the references' by a single image makes a verdict inconclusive, known copies cannot keep
            a suspect from being accused, and a sequential run that can decide nothing is asked to its end.
    """

    sequential: bool = False
    max_queries: int | None = None
    allow_extrapolation: bool = False
    claimed_accuracy: float | None = None
    rule: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if self.claimed_accuracy is not None and not 0 < self.claimed_accuracy <= 1:
            raise OptionError(f"The claimed accuracy must lie in (0, 1]; found {self.claimed_accuracy}.")
        if self.rule not in (1, 2):
            raise OptionError(f"There are the rules 1 and 2; found {self.rule}. A later release may know it.")

    @property
    def all_probes(self) -> bool:
        """Whether every benign probe is asked that the budget allows: not where few queries are the point."""
        return self.rule > 1 and not self.sequential

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON holds them; ``rule`` only where it is not 1, as before there was any other."""
        return {name: value for name, value in asdict(self).items() if name != "rule" or value != 1}


def verify(
    suspect: Model,
    fingerprint: Fingerprint,
    *,
    suspect_name: str,
    suspect_sha256: str,
    calibration: Calibration | None = None,
    options: VerificationOptions = VerificationOptions(),
    fingerprint_sha256: str = "",
    nonce: bytes | None = None,
    progress: StageProgress = silent,
) -> Verdict:
    """Ask the suspect the fingerprint's examples and benign probes, in one random order, and decide.

    Args:
        suspect: any `Model`; labels are enough.
        fingerprint: see `cae_core.fingerprint.file`.
        suspect_name: for the verdict.
        suspect_sha256: of its file, else of its name; it decides the order together with the nonce.
        calibration: of this fingerprint; without one the literature's threshold applies.
        options: see `VerificationOptions`.
        fingerprint_sha256: of the fingerprint's file, for the verdict.
        nonce: 16 random bytes where None.
        progress: called with the queries done and the most that there can be.

    Raises:
        OptionError: the budget is too small, or the sequential mode is asked for where another score decides, or
            where it could decide nothing whatever the answers are.
        ModelError: the suspect answers another number of labels than it was asked, classes that do not exist, or
            scores in the place of labels.
    """
    nonce = secrets.token_bytes(16) if nonce is None else nonce
    chosen = None if calibration is None else calibration.chosen
    questions = plan_questions(
        fingerprint,
        suspect_id=suspect_sha256,
        nonce=nonce,
        max_queries=options.max_queries,
        chosen=chosen,
        all_probes=options.all_probes,
        akh=not options.sequential,
    )
    if options.sequential:
        from cae_core.verification.sequential import out_of_reach, start_sequential

        run = start_sequential(fingerprint, calibration)
        if options.rule > 1:
            run.out_of_reach = out_of_reach(run, fingerprint, questions)
        blocks = _until_decided(questions, run)
    else:
        run, blocks = None, iter([questions])
    asked: list[Question] = []
    labels: list[int] = []
    for block in blocks:
        given = _ask(suspect, fingerprint, block, suspect_name, lambda n: progress(len(asked) + n, len(questions)))  # noqa: B023 - called at once
        asked += block
        labels += given.tolist()
        if run is not None:
            run.observe(block, given)
    return judge_answers(
        fingerprint,
        tuple(asked),
        np.array(labels, np.int64),
        calibration=calibration,
        options=options,
        run=run,
        suspect={"name": suspect_name, "sha256": suspect_sha256},
        fingerprint_sha256=fingerprint_sha256,
        nonce=nonce,
    )


def _until_decided(questions: Sequence[Question], run: "SequentialRun") -> Iterator[Sequence[Question]]:
    """Yield one question after the other until the run has decided, and then what the other checks need.

    These are the benign probes that are left, and the repeats of what was asked.
    """
    for place, question in enumerate(questions):
        if run.state.outcome is not None:
            asked = {earlier.index for earlier in questions[:place] if earlier.kind == "fingerprint"}
            left = [q for q in questions[place:] if q.kind == "benign" or q.index in asked]
            if left:
                yield left
            return
        yield [question]


def _ask(
    suspect: Model,
    fingerprint: Fingerprint,
    questions: Sequence[Question],
    name: str,
    progress: Callable[[int], None],
) -> Labels:
    images = question_images(fingerprint, questions)
    labels = np.empty(len(questions), np.int64)
    for start in range(0, len(images), _ASKED_TOGETHER):
        part = images[start : start + _ASKED_TOGETHER]
        predictions = suspect.predict(part)
        if predictions.labels.shape != (len(part),):
            raise ModelError(f"{name}: asked {len(part)} images and got answers {predictions.labels.shape}.")
        if predictions.labels.dtype.kind != "i":  # scores would be cut to integers, in silence
            raise ModelError(f"{name}: answers must be integer labels (n,); found {predictions.labels.dtype}.")
        if predictions.probabilities is not None:
            _check_classes(predictions.probabilities.shape[1], fingerprint, name)
        labels[start : start + len(part)] = predictions.labels
        progress(start + len(part))
    return labels


def judge_answers(
    fingerprint: Fingerprint,
    questions: Sequence[Question],
    labels: Labels,
    *,
    calibration: Calibration | None = None,
    options: VerificationOptions = VerificationOptions(),
    run: "SequentialRun | None" = None,
    suspect: dict[str, str],
    fingerprint_sha256: str,
    nonce: bytes,
) -> Verdict:
    """Judge recorded answers: ``labels`` (queries,) in the order of ``questions``. The first answer counts.

    Args:
        fingerprint: that was asked.
        questions: in the order asked.
        labels: int64 (queries,), -1 for none.
        calibration: of this fingerprint.
        options: with which it was asked.
        run: of the sequential mode, once it has observed the answers.
        suspect: ``name`` and ``sha256``.
        fingerprint_sha256: of the file.
        nonce: that decided the order.

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
    answers = first_answers(questions, labels)
    right = answers.said == fingerprint.probe_labels[answers.probes]
    circumstances = circumstances_of(fingerprint, answers, calibration=calibration, options=options)
    matches = answers.given == fingerprint.labels[answers.examples]
    caeacc = cae_accuracy(answers.given, fingerprint.labels[answers.examples])
    evidence, other_scores = None, dict[str, dict[str, float]]()
    if run is not None:
        from cae_core.verification.sequential import decide_sequential

        evidence = run.evidence()
        caeacc = CAEAcc(caeacc.matches, caeacc.asked, *evidence.interval)
        decision = decide_sequential(run, caeacc, circumstances)
    elif calibration is not None:
        standing = calibration.standing(fingerprint, answers.examples, matches)
        decision = decide(calibration, standing, len(matches), circumstances)
        other_scores = _other_scores(calibration, fingerprint, answers.examples, matches)
    else:
        decision = decide_uncalibrated(caeacc, circumstances)
    return Verdict(
        decision=decision,
        caeacc=caeacc,
        other_scores=other_scores,
        akh=repeated_errors(fingerprint, answers, calibration),
        benign_accuracy=float(right.mean()),
        benign_range=circumstances.benign_range,
        queries=count_queries(questions),
        nondeterministic=answers.changed,
        unanswered=int((labels < 0).sum()),
        evasion=circumstances.evasion,
        warnings=_warnings(fingerprint, calibration) + (() if run is None else run.out_of_reach),
        calibration=_provenance(calibration),
        sequential=evidence,
        suspect=suspect,
        fingerprint={"id": fingerprint.id, "sha256": fingerprint_sha256},
        nonce=nonce.hex(),
        options=options.as_dict(),
        answers=tuple(Answer(question, label) for question, label in zip(questions, labels.tolist(), strict=True)),
    )


def circumstances_of(
    fingerprint: Fingerprint, answers: FirstAnswers, *, calibration: Calibration | None, options: VerificationOptions
) -> Circumstances:
    """Return what limits a verdict about these answers, whatever the score.

    Args:
        fingerprint: that was asked.
        answers: of the suspect.
        calibration: of this fingerprint.
        options: with which it was asked.
    """
    labels = fingerprint.probe_labels[answers.probes]
    limits = None if calibration is None else benign_range(calibration, answers.probes)
    right = answers.said == labels
    if options.rule == 1 or calibration is None:
        extrapolated = outside_range(right, limits)
    else:
        extrapolated = unlike_references(right, calibration.references.right[:, answers.probes])
    return Circumstances(
        benign_reason=check_benign(
            answers.said,
            labels,
            classes=len(fingerprint.class_names),
            source_accuracy=fingerprint.source_accuracy,
        ).reason,
        evasion=signs_of_evasion(
            fingerprint, answers, calibration=calibration, claimed_accuracy=options.claimed_accuracy
        ),
        extrapolated=extrapolated,
        benign_range=limits,
        shared_ancestor=unrepresented_ancestor(fingerprint, calibration),
        allow_extrapolation=options.allow_extrapolation,
        two_sided=options.rule > 1,
    )


def _provenance(calibration: Calibration | None) -> dict[str, Any] | None:
    return None if calibration is None else {**calibration.provenance(), "sha256": calibration_digest(calibration)}


def _other_scores(
    calibration: Calibration, fingerprint: Fingerprint, asked: Labels, matches: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Return the scores that do not decide: for information, since choosing among them afterwards has no error rate."""
    found: dict[str, dict[str, float]] = {}
    for name in ("caeacc", "llr"):
        if name != calibration.score and (name == "caeacc" or calibration.weights is not None):
            standing = calibration.standing(fingerprint, asked, matches, name)
            found[name] = {"value": standing.value, "p_value": standing.p_value}
    return found


def _warnings(fingerprint: Fingerprint, calibration: Calibration | None) -> tuple[str, ...]:
    if calibration is None:
        return ("uncalibrated: the threshold is the literature's and no error rate stands behind it",)
    third = calibration.label_drift(fingerprint).third
    if third > _MUCH_DRIFT:
        drift = (
            f"label drift: on {third:.0%} of the examples the references answer neither the truth nor the source's "
            "label, so that a missing match tells less"
        )
        return (drift,)
    return ()


def _check_classes(found: int, fingerprint: Fingerprint, name: str) -> None:
    expected = len(fingerprint.class_names)
    if found != expected:
        raise ModelError(
            f"{name}: answers with {found} classes and the fingerprint has {expected}. "
            "If it is a model of the same task, name the classes in its contract (classes = [...])."
        )
