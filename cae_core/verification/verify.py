"""Asking a suspect and judging its answers."""

import dataclasses
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cae_core import clock
from cae_core.arrays import Floats32, Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.record import Calibration
from cae_core.containment.record import UNCONTAINED, Containment
from cae_core.errors import ModelError, OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import (
    Question,
    asking_order,
    count_queries,
    plan_questions,
    queries_for_all,
    question_images,
)
from cae_core.models import Model
from cae_core.progress import StageProgress, silent
from cae_core.verification.beacon import beacon_nonce, check_beacon_time
from cae_core.verification.deciding_score import of_another_score
from cae_core.verification.decision import decide
from cae_core.verification.evidence import evidence_of
from cae_core.verification.examination import examine
from cae_core.verification.findings.table import findings_of
from cae_core.verification.known_models import refuse_known_file, source_by_file, source_by_scores
from cae_core.verification.occasion import Occasion
from cae_core.verification.options import DEFAULT, VerificationOptions, factor_of
from cae_core.verification.path_evidence import PathEvidence
from cae_core.verification.recorder import Recorder, Scores, scores_told
from cae_core.verification.rivals import that_says_least
from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_core.verification.served import Service
from cae_core.verification.transcript import Transcript
from cae_core.verification.verdict import SeenBefore, Suspect, Verdict

if TYPE_CHECKING:  # each is loaded where it is asked for
    from cae_core.verification.path import PathRun
    from cae_core.verification.sequential import SequentialRun

__all__ = [
    "Memory",
    "VerificationPlan",
    "ask_all",
    "check_labels",
    "conclude",
    "draw_nonce",
    "interrogate",
    "order_matters",
    "plan_verification",
    "verify",
]

_ASKED_TOGETHER = 1024
_ASKED_ALONE = 4
"""Of the repeats; a model with a fixed batch runs a whole one for each."""

_MUCH_DRIFT = 0.1

_SIMULATED = (
    "what if: the defence {} was simulated in front of the suspect; this verdict is about a service with that defence "
    "and is no evidence about this suspect"
)

_UNATTESTED = (
    "recorded answers: only whoever recorded them can vouch that the suspect gave them, and that it answers its "
    "customers in the same way"
)


@dataclass(frozen=True, kw_only=True)
class VerificationPlan:
    """What a verification will ask, known before anything is asked.

    Attributes:
        questions: questions in their order; in sequential mode the most that can be asked.
        run: run of the sequential mode, before its first question; None if everything is asked at once.
        out_of_reach: what this verification cannot say whatever the answers are, in sentences.
    """

    questions: tuple[Question, ...]
    run: "SequentialRun | PathRun | None" = None
    out_of_reach: tuple[str, ...] = ()

    @property
    def queries(self) -> dict[str, int]:
        """How many of each kind, repeats included."""
        return count_queries(self.questions)

    @property
    def repeats(self) -> int:
        """How many of the questions repeat an earlier one."""
        return sum(question.repeat for question in self.questions)


def plan_verification(
    subject: CalibratedFingerprint,
    *,
    suspect_sha256: str,
    options: VerificationOptions = DEFAULT,
    nonce: bytes = b"",
) -> VerificationPlan:
    """Plan the questions, and refuse what cannot be asked so, or could decide nothing.

    Args:
        subject: whose examples and probes are asked.
        suspect_sha256: of the suspect's file, else of its name.
        options: see `VerificationOptions`.
        nonce: decides the order; how many questions there are does not depend on it. Empty: unknown as yet; with a
            beacon it follows.

    Raises:
        OptionError: the budget is too small, or the sequential mode is asked for where another score decides, or
            where it could decide nothing whatever the answers are; or the nonce does not follow from the beacon.
    """
    if options.sequential and subject.asks_controls:
        raise OptionError(
            "This calibration ranks control sources, and that takes the same questions about every source, so "
            "--sequential cannot stop early. Leave it out, or limit the queries with --max-queries."
        )
    if options.beacon:
        return _along_a_path(subject, suspect_sha256, options, nonce)
    questions = plan_questions(
        subject.fingerprint,
        suspect_sha256=suspect_sha256,
        nonce=nonce,
        max_queries=options.max_queries,
        chosen=subject.chosen,
        all_probes=options.all_probes,
        further=not options.sequential,
        controls=subject.asks_controls,
        by_lot=options.sequential,  # an e-process of all examples takes a part that is drawn at random
        repeats=not options.recorded,
    )
    if not options.sequential:
        return VerificationPlan(questions=questions)
    from cae_core.verification.sequential import out_of_reach, start_sequential

    run = start_sequential(subject, factor=factor_of(options.verifications))
    beyond = out_of_reach(run, subject.fingerprint, questions) if options.rule > 1 else ()
    return VerificationPlan(questions=questions, run=run, out_of_reach=beyond)


def _along_a_path(
    subject: CalibratedFingerprint, suspect_sha256: str, options: VerificationOptions, nonce: bytes
) -> VerificationPlan:
    from cae_core.verification.path import start_path

    follows = beacon_nonce(options.beacon, calibration=subject.content_sha256, suspect=suspect_sha256)
    if nonce not in (b"", follows):
        raise OptionError("The nonce does not follow from this beacon, this calibration and this suspect.")
    run, beyond = start_path(subject, suspect_sha256=suspect_sha256, nonce=follows, options=options)
    return VerificationPlan(questions=run.order.questions, run=run, out_of_reach=beyond)


def order_matters(subject: CalibratedFingerprint, options: VerificationOptions) -> bool:
    """Return whether another nonce could ask other images, or stop at another one: whether an order can be chosen.

    Where every example and every benign probe is asked, only what is asked again follows from the nonce.
    """
    if options.sequential or not options.all_probes:
        return True
    sources = 1 + subject.fingerprint.controls if subject.asks_controls else 1
    everything = queries_for_all(subject.fingerprint, sources * int(subject.chosen.sum()))
    return options.max_queries is not None and options.max_queries < everything


class Memory(Protocol):
    """What is told of a verification as it goes on, such as a ledger's entry."""

    def asking(self, nonce: bytes, plan: VerificationPlan) -> None:
        """Take down what is going to be asked, before the first question."""
        ...

    def told(self, scores: Scores) -> None:
        """Take down what was told, see `scores_told`: once, whether all was asked or not."""
        ...

    def earlier(self, transcript: Transcript) -> SeenBefore:
        """Return what is remembered of the suspect that gave these answers."""
        ...


def verify(
    suspect: Model,
    subject: CalibratedFingerprint,
    *,
    named: Suspect,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    drawn: bytes | None = None,
    case: str = "",
    self_check: bool = False,
    refuse_known: bool = True,
    memory: Memory | None = None,
    containment: Containment | None = UNCONTAINED,
    rivals: Sequence[Model] = (),
    progress: StageProgress = silent,
) -> Verdict:
    """Ask the suspect the fingerprint's examples and benign probes, in one random order, and decide.

    Args:
        suspect: any `Model`; labels are enough.
        subject: the fingerprint, and its calibration where it has one; without one the literature's threshold applies.
        named: who the suspect is.
        options: see `VerificationOptions`.
        nonce: 16 random bytes where None; the verdict says whether it was given. With a beacon it follows.
        drawn: the nonce where it was drawn before, of a verification that goes on; None otherwise.
        case: a name for the case, which the verdict bears.
        self_check: whether the suspect is meant to be the source itself.
        refuse_known: whether a model by which suspects are judged is refused, see `cae_core.verification.known_models`.
        memory: what is told of the verification as it goes on.
        containment: what stands around the suspect; None where nobody is asked. It is recorded and decides nothing.
        rivals: the suspect as it is asked by other contracts that may be its own, see `that_says_least`.
        progress: called with the queries done and the most that there can be.

    Raises:
        OptionError: see `plan_verification`; or a nonce is given beside a beacon, or the beacon is not out yet; or
            there are rivals and not everything is asked at once.
        VerdictError: by one contract the suspect is accused, and by another it is independent.
        PoolError: the suspect is a model that made the fingerprint or its calibration.
        ModelError: the suspect answers another number of labels than it was asked, classes that do not exist, or
            scores in the place of labels.
    """
    if refuse_known:
        refuse_known_file(subject, named.name, named.sha256)
    if rivals and options.sequential:
        raise OptionError(
            f"{named.name}: {1 + len(rivals)} contracts fit it about equally well, and --sequential asks by one. "
            "State its contract (--contract), or leave --sequential out."
        )
    given, nonce = nonce is not None, drawn or _nonce(subject, named.sha256, options, nonce)
    plan = plan_verification(subject, suspect_sha256=named.sha256, options=options, nonce=nonce)
    served_by = suspect
    if options.defence:
        suspect, *rivals = (_behind(each, options.defence, subject) for each in (suspect, *rivals))
    if memory is not None:
        memory.asking(nonce, plan)
    transcript, scores = _heard(suspect, subject, plan, name=named.name, memory=memory, progress=progress)
    source = source_by_file(subject, named.sha256)
    if refuse_known and source is None:
        source = source_by_scores(subject, named.name, scores)
    earlier = None if memory is None else memory.earlier(transcript)
    if earlier is not None and order_matters(subject, options):
        options = dataclasses.replace(options, recognised=max(0, earlier.verifications + 1 - options.verifications))
    served = served_by.served() if isinstance(served_by, Service) else None
    if served is not None:
        options = dataclasses.replace(options, versions=served.count)
    concluded = partial(conclude, subject, plan=plan, named=named, options=options, nonce=nonce)
    models, others = [suspect, *rivals], [ask_all(one, subject.fingerprint, plan, name=named.name) for one in rivals]
    verdicts = [concluded(each) for each in (transcript, *others)]
    place = that_says_least(verdicts, named.name)
    verdict, least = verdicts[place], models.pop(place)
    occasion = Occasion.of(least, nonce_given=given, case=case, is_source=source, self_check=self_check, rivals=models)
    return dataclasses.replace(verdict, earlier=earlier, occasion=occasion, containment=containment, service=served)


def _behind(model: Model, defence: str, subject: CalibratedFingerprint) -> Model:
    from cae_core.defences.table import defended

    return defended(model, defence, classes=len(subject.fingerprint.class_names))


def draw_nonce() -> bytes:
    """Return 16 random bytes."""
    return secrets.token_bytes(16)


def _nonce(
    subject: CalibratedFingerprint, suspect_sha256: str, options: VerificationOptions, given: bytes | None
) -> bytes:
    if not options.beacon:
        return draw_nonce() if given is None else given
    if given is not None:
        raise OptionError("A nonce and a beacon cannot both decide the order. Leave the nonce out.")
    check_beacon_time(options.beacon_time, clock.utc_now())
    return beacon_nonce(options.beacon, calibration=subject.content_sha256, suspect=suspect_sha256)


def _heard(
    suspect: Model,
    subject: CalibratedFingerprint,
    plan: VerificationPlan,
    *,
    name: str,
    memory: Memory | None,
    progress: StageProgress,
) -> tuple[Transcript, Scores]:
    """Ask everything, and return the answers and the scores; the latter are taken down whatever interrupts it."""
    recorder, asked = Recorder(suspect), list[Question]()
    try:
        transcript = ask_all(recorder, subject.fingerprint, plan, name=name, asked=asked, progress=progress)
    finally:
        scores = scores_told(subject.fingerprint, asked, recorder.outputs())
        if memory is not None and recorder.asked:
            memory.told(scores)
    return transcript, scores


def ask_all(
    suspect: Model,
    fingerprint: Fingerprint,
    plan: VerificationPlan,
    *,
    name: str,
    asked: list[Question] | None = None,
    progress: StageProgress = silent,
) -> Transcript:
    """Ask what is planned, or until it is decided, and return what was answered.

    Args:
        suspect: any `Model`.
        fingerprint: whose images are asked.
        plan: its run observes the answers.
        name: of the suspect, for messages.
        asked: takes the questions before they are asked, in the order in which their images are put, for whoever has to
            know them where the suspect fails.
        progress: see `verify`.

    Raises:
        ModelError: see `verify`.
    """
    total = len(plan.questions)

    def put(block: Sequence[Question], done: int) -> Labels:
        if asked is not None:
            asked.extend(block[place] for place in asking_order(block))
        return _ask(suspect, fingerprint, block, name, lambda n: progress(done + n, total))

    return interrogate(plan, put)


def interrogate(plan: VerificationPlan, put: Callable[[Sequence[Question], int], Labels]) -> Transcript:
    """Put the questions of a plan, all at once or one by one until its run has decided, and record the answers.

    Args:
        plan: of the questions; its run observes the answers.
        put: given questions, and how many were put before, returns the labels, int64, in the order of the questions.
    """
    transcript = Transcript()
    for block in [plan.questions] if plan.run is None else plan.run.blocks(plan.questions):
        given = put(block, len(transcript))
        transcript.record(block, given)
        if plan.run is not None:
            plan.run.observe(block, given)
    return transcript


def conclude(
    subject: CalibratedFingerprint,
    transcript: Transcript,
    plan: VerificationPlan,
    *,
    named: Suspect,
    options: VerificationOptions,
    nonce: bytes,
) -> Verdict:
    """Decide by the answers.

    Args:
        subject: whose questions were asked.
        transcript: what was asked and answered.
        plan: of the questions; its run has observed the answers.
        named: who the suspect is.
        options: with which it was asked.
        nonce: that decided the order.
    """
    run = plan.run
    seen = None if run is None else run.evidence()
    path = seen if isinstance(seen, PathEvidence) else None
    sequential = seen if isinstance(seen, SequentialEvidence) else None
    examination = examine(subject, transcript, options, sequential=sequential, path=path)
    evidence, warnings = evidence_of(examination), _warnings(subject, options) + plan.out_of_reach
    if path is not None:
        from cae_core.verification.path_decision import decide_path, of_few_probes

        decision, warnings = decide_path(examination, evidence), warnings + of_few_probes(examination)
    elif sequential is not None:
        from cae_core.verification.sequential import decide_sequential

        decision = decide_sequential(examination, evidence)
    else:
        decision = decide(examination, evidence)
    return Verdict(
        suspect=named,
        nonce=nonce.hex(),
        examination=examination,
        evidence=evidence,
        decision=decision,
        findings=findings_of(examination),
        warnings=warnings,
    )


def _ask(
    suspect: Model,
    fingerprint: Fingerprint,
    questions: Sequence[Question],
    name: str,
    progress: Callable[[int], None],
) -> Labels:
    labels = np.empty(len(questions), np.int64)
    done = 0
    for places in _batches(questions, min(_ASKED_TOGETHER, getattr(suspect, "at_once", None) or _ASKED_TOGETHER)):
        part = question_images(fingerprint, [questions[place] for place in places])
        predictions = suspect.predict(part)
        if predictions.labels.shape != (len(part),):
            raise ModelError(f"{name}: asked {len(part)} images and got answers {predictions.labels.shape}.")
        if predictions.labels.dtype.kind != "i":  # scores would be cut to integers, in silence
            raise ModelError(f"{name}: answers must be integer labels (n,); found {predictions.labels.dtype}.")
        if predictions.probabilities is not None:
            _check_rows(predictions.probabilities, len(part), name)
            _check_classes(predictions.probabilities.shape[1], fingerprint, name)
        check_labels(predictions.labels, fingerprint, name)
        labels[places] = predictions.labels
        done += len(part)
        progress(done)
    return labels


def _batches(questions: Sequence[Question], together: int) -> Iterator[list[int]]:
    """Yield the places of the questions that are asked together; a repeat is never asked beside what it repeats.

    Some repeats are asked alone: whatever an answer takes from its neighbours is missing there.
    """
    order = asking_order(questions)
    first = sum(not question.repeat for question in questions)
    alone = order[first : first + _ASKED_ALONE]
    yield from _parts(order[:first], together)
    yield from ([place] for place in alone)
    yield from _parts(order[first + len(alone) :], together)


def _parts(places: Sequence[int], together: int) -> Iterator[list[int]]:
    for start in range(0, len(places), together):
        yield list(places[start : start + together])


def _warnings(subject: CalibratedFingerprint, options: VerificationOptions) -> tuple[str, ...]:
    if options.recorded:
        return (_UNATTESTED, *_warnings(subject, dataclasses.replace(options, recorded=False)))
    if options.defence:
        told = _warnings(subject, dataclasses.replace(options, defence=""))
        return (_SIMULATED.format(options.defence), *told)
    if subject.calibration is None:
        return ("uncalibrated: the threshold is the literature's, and its error rate is unknown",)
    told = of_another_score(subject.calibration, options) + _assumed(subject.calibration) + _of_the_log(subject)
    drifted = subject.label_drift()
    if drifted is not None and drifted.third > _MUCH_DRIFT:
        drift = (
            f"label drift: the references give {drifted.third:.0%} of the examples a label that is neither the true "
            "one nor the source's, so a missing match says less"
        )
        return (*told, drift)
    return told


def _assumed(calibration: Calibration) -> tuple[str, ...]:
    exposure = calibration.exposure.assumed
    if exposure is None:
        return ()
    trained = exposure.words.replace("its", "the fingerprint's")
    return (f"assumption that the accuser has to support: the suspect, if independent, was {trained}",)


def _of_the_log(subject: CalibratedFingerprint) -> tuple[str, ...]:
    """Return in a sentence what a verdict by a query log takes for granted; none where there is no log."""
    log = subject.fingerprint.query_log
    if log is None:
        return ()
    tried = f"; p is multiplied by {log.logs_tried}, the number of logs that were tried" if log.logs_tried > 1 else ""
    sentence = (
        f"the examples come from a query log whose digest is said to date from {log.date}: the verdict holds only if "
        f"the suspect was first accessed later, and if the source's answers did not influence the choice of the "
        f"log{tried}"
    )
    return (sentence,)


def check_labels(labels: Labels, fingerprint: Fingerprint, name: str) -> None:
    """Refuse answers that name a class which the fingerprint does not have; ``name`` begins the message.

    Raises:
        ModelError: they do.
    """
    if labels.max(initial=-1) >= len(fingerprint.class_names):
        _check_classes(int(labels.max()) + 1, fingerprint, name)


def _check_rows(probabilities: Floats32, images: int, name: str) -> None:
    if probabilities.ndim != 2 or len(probabilities) != images:
        raise ModelError(f"{name}: asked {images} images and got probabilities {probabilities.shape}.")


def _check_classes(found: int, fingerprint: Fingerprint, name: str) -> None:
    expected = len(fingerprint.class_names)
    if found != expected:
        raise ModelError(
            f"{name}: answers with {found} classes and the fingerprint has {expected}. "
            "If it is a model of the same task, name the classes in its contract (classes = [...])."
        )
