"""Suspects that answer as a test tells them to, honest or not."""

import dataclasses
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, SOURCE_ERROR
from cae_core.fingerprint.questions import Question
from cae_core.models import Predictions
from cae_core.verification.circumstances import Circumstances, of_evasion, of_extrapolation, of_the_benign_check
from cae_core.verification.decision import Decision, decide
from cae_core.verification.evidence import evidence_of
from cae_core.verification.examination import Examination, examine
from cae_core.verification.options import RULE, VerificationOptions
from cae_core.verification.transcript import Transcript
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from tests.core.toys import paired

NONCE = bytes(range(16))

Answer: TypeAlias = Callable[[NDArray[np.uint8]], Labels]


@dataclass
class Scripted:
    """A black box that answers by a function, and remembers how many images it was asked at a time."""

    answer: Callable[[NDArray[np.uint8]], Any]
    probabilities: Callable[[int], Floats32 | None] = lambda _n: None
    batches: list[int] = field(default_factory=list)

    def predict(self, images: Images) -> Predictions:
        assert images.dtype == np.uint8
        self.batches.append(len(images))
        return Predictions(self.answer(images.astype(np.uint8)), self.probabilities(len(images)))


@dataclass
class Telling:
    """A black box that answers by a function and tells probabilities, which follow from the image and its weights.

    Attributes:
        answer: of the labels.
        weights: two models of other weights tell other probabilities.
        moved: added to each probability of the answered label.
        stops_after: images, after which it is interrupted; None: never.
    """

    answer: Answer
    weights: int = 0
    moved: float = 0.0
    classes: int = 10
    stops_after: int | None = None
    asked: int = 0

    def predict(self, images: Images) -> Predictions:
        self.asked += len(images)
        if self.stops_after is not None and self.asked > self.stops_after:
            raise KeyboardInterrupt
        labels = self.answer(images.astype(np.uint8))
        drawn = [zlib.crc32(image.tobytes(), self.weights) / 2**32 for image in images]
        sure = np.array([0.5 + 0.4 * share for share in drawn], np.float32) + np.float32(self.moved)
        told = np.empty((len(labels), self.classes), np.float32)
        told[:] = ((1 - sure) / (self.classes - 1))[:, np.newaxis]
        told[np.arange(len(labels)), labels] = sure
        return Predictions(labels, told)


def table(fingerprint: Fingerprint, examples: Labels, probes: Labels, akh: Labels | None = None) -> Answer:
    """Return a function that answers these labels: (n,) to the examples, (q,) to the probes.

    ``akh``: (a,) to the images that the source gets wrong; by default its own wrong labels.
    """
    known = dict(zip((x.tobytes() for x in fingerprint.images), examples.tolist(), strict=True))
    known |= dict(zip((x.tobytes() for x in fingerprint.probe_images), probes.tolist(), strict=True))
    wrong = fingerprint.of(SOURCE_ERROR)
    errors = wrong.labels if akh is None else akh
    known |= dict(zip((x.tobytes() for x in wrong.images), errors.tolist(), strict=True))
    return lambda images: np.array([known[image.tobytes()] for image in images], np.int64)


def oracle(fingerprint: Fingerprint) -> Answer:
    """Return the answers of the source itself: the fingerprint's labels, and the truth on the probes."""
    return table(fingerprint, fingerprint.labels, fingerprint.probe_labels)


def matching(fingerprint: Fingerprint, matches: int, *, wrong_probes: int = 0) -> Scripted:
    """Return a suspect with the source's label on so many examples, chosen at random, and the truth on the others.

    It errs on the first ``wrong_probes`` probes.
    """
    n, q = len(fingerprint), len(fingerprint.probe_images)
    chosen = np.random.default_rng(matches).permutation(n) < matches
    examples = np.where(chosen, fingerprint.labels, fingerprint.ground_truth)
    classes = len(fingerprint.class_names)
    wrong = (fingerprint.probe_labels + 1) % classes
    return Scripted(
        table(fingerprint, examples, np.where(np.arange(q) < wrong_probes, wrong, fingerprint.probe_labels))
    )


def ask(
    suspect: Scripted,
    fingerprint: Fingerprint,
    *,
    calibration: Calibration | None = None,
    **options: Any,  # noqa: ANN401 - of different types
) -> Verdict:
    """Verify ``suspect``, in a fixed order unless there is a nonce."""
    given = {"nonce": NONCE, **options}
    return verify(suspect, paired(fingerprint, calibration), named=Suspect(name="x.onnx", sha256="ab"), **given)


def examined(
    subject: CalibratedFingerprint,
    matches: NDArray[np.bool_],
    *,
    asked: Labels | None = None,
    circumstances: Circumstances | None = None,
    rule: int = RULE,
) -> Examination:
    """Examine a suspect that was asked the examples ``asked`` (a,), and is right about every benign probe.

    Args:
        subject: by what.
        matches: bool (a,), where it gives the source's label; elsewhere it gives the truth.
        asked: int64 (a,); the first a examples where None.
        circumstances: in the place of those that such answers have.
        rule: of which release.
    """
    fingerprint = subject.fingerprint
    examples = np.arange(len(matches)) if asked is None else asked
    given = np.where(matches, fingerprint.labels[examples], fingerprint.ground_truth[examples])
    transcript = Transcript()
    transcript.record([Question(EXAMPLE, index, repeat=False) for index in examples.tolist()], given)
    benign = [Question(BENIGN, index, repeat=False) for index in range(len(fingerprint.probe_labels))]
    transcript.record(benign, fingerprint.probe_labels)
    found = examine(subject, transcript, VerificationOptions(rule=rule))
    return found if circumstances is None else dataclasses.replace(found, circumstances=circumstances)


def ruled(examination: Examination) -> Decision:
    """Return what the rule says of ``examination``."""
    return decide(examination, evidence_of(examination))


def circumstances(
    *,
    benign: str | None = None,
    extrapolation: str | None = None,
    allowed: bool = False,
    evasion: tuple[str, ...] = (),
    shared_ancestor: str = "",
) -> Circumstances:
    """Return circumstances with the doubts that follow from these findings."""
    found = (of_the_benign_check(benign), None if allowed else of_extrapolation(extrapolation), of_evasion(evasion))
    return Circumstances(
        doubts=tuple(doubt for doubt in found if doubt is not None),
        evasion=evasion,
        extrapolation=extrapolation,
        shared_ancestor=shared_ancestor,
    )
