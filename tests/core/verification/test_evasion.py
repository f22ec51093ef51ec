"""Suspects that do not answer the examiner as they answer their customers: named, and never called independent."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.answers import Answered, FirstAnswers
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.questions import asking_order
from cae_core.verification.evasion import signs_of_evasion
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from tests.core.suspects import Scripted, ask, matching, oracle, table
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=100)
CALIBRATION = toy_calibration(FINGERPRINT, [10 + i for i in range(39)], [60 + i for i in range(39)])
LEVELS = pytest.mark.parametrize("calibration", [None, CALIBRATION], ids=["uncalibrated", "calibrated"])
MODES = pytest.mark.parametrize("sequential", [False, True], ids=["whole", "sequential"])


def judged(
    suspect: Scripted, calibration: Calibration | None, *, sequential: bool = False, claimed: float | None = None
) -> Verdict:
    options = VerificationOptions(sequential=sequential, claimed_accuracy=claimed)
    return ask(suspect, FINGERPRINT, calibration=calibration, options=options)


def with_examples(answer: Callable[[int], Labels]) -> Scripted:
    """Return a suspect that is right about benign images; ``answer`` gives its labels of the n examples."""
    return Scripted(table(FINGERPRINT, answer(len(FINGERPRINT)), FINGERPRINT.probe_labels))


@MODES
@LEVELS
def test_an_honest_independent_suspect_shows_no_sign(calibration: Calibration | None, *, sequential: bool) -> None:
    verdict = judged(matching(FINGERPRINT, 15), calibration, sequential=sequential, claimed=0.95)
    assert (verdict.decision.verdict, verdict.evasion) == ("independent", ())


@MODES
@LEVELS
@pytest.mark.parametrize("seed", range(3))
def test_one_that_answers_the_examples_at_random(
    calibration: Calibration | None, *, sequential: bool, seed: int
) -> None:
    """It knows benign images from the others, and says the same when it is asked again."""
    suspect = with_examples(lambda n: np.random.default_rng(seed).integers(0, 10, n))
    verdict = judged(suspect, calibration, sequential=sequential)
    assert (verdict.decision.verdict, verdict.benign_accuracy) == ("inconclusive", 1.0)
    (sign,) = verdict.evasion
    assert "neither the source's nor the true one" in sign
    assert verdict.decision.reason == f"possible evasion: {sign}"


@MODES
@LEVELS
def test_one_that_refuses_the_examples(calibration: Calibration | None, *, sequential: bool) -> None:
    verdict = judged(with_examples(lambda n: np.full(n, -1)), calibration, sequential=sequential)
    assert (verdict.decision.verdict, verdict.benign_accuracy) == ("inconclusive", 1.0)
    assert verdict.evasion == ("the suspect refuses 100% of the examples and 0% of the benign images",)
    assert verdict.decision.reason == f"possible evasion: {verdict.evasion[0]}"


@MODES
@LEVELS
def test_one_that_refuses_everything(calibration: Calibration | None, *, sequential: bool) -> None:
    verdict = judged(Scripted(lambda images: np.full(len(images), -1)), calibration, sequential=sequential)
    assert verdict.decision.verdict == "inconclusive"
    assert "no usable answer" in verdict.decision.reason
    assert "the suspect refuses 100% of the examples and 100% of the benign images" in verdict.evasion


@MODES
@LEVELS
def test_one_that_answers_differently_when_asked_again(calibration: Calibration | None, *, sequential: bool) -> None:
    honest, seen = matching(FINGERPRINT, 15).answer, set[bytes]()

    def fickle(images: NDArray[np.uint8]) -> Labels:
        said: Labels = honest(images)
        for i, image in enumerate(images):
            said[i] = (said[i] + (image.tobytes() in seen)) % 10
            seen.add(image.tobytes())
        return said

    verdict = judged(Scripted(fickle), calibration, sequential=sequential)
    assert verdict.decision.verdict == "inconclusive"
    (sign,) = verdict.evasion
    repeats = sum(answer.question.repeat for answer in verdict.answers)
    assert repeats > 0
    assert (
        sign == f"nondeterministic: {repeats} of {repeats} images got another answer when the suspect was asked again"
    )
    assert verdict.nondeterministic == repeats


@MODES
@LEVELS
def test_one_that_fails_the_probes_on_purpose(calibration: Calibration | None, *, sequential: bool) -> None:
    """So as to look as if it were asked wrongly. Its owner's claim shows it."""
    wrong = (FINGERPRINT.probe_labels + 1) % 10
    suspect = Scripted(table(FINGERPRINT, FINGERPRINT.labels, wrong))
    verdict = judged(suspect, calibration, sequential=sequential, claimed=0.9)
    assert verdict.decision.verdict == "inconclusive"
    asked = 50 if sequential else 60
    assert f"right on 0% of {asked} benign images" in verdict.decision.reason
    assert (
        f"the suspect is right on 0% of {asked} benign images, and its owner claims an accuracy of 90%"
        in verdict.evasion
    )


@MODES
@LEVELS
def test_one_that_is_worse_than_its_owner_claims(calibration: Calibration | None, *, sequential: bool) -> None:
    """Good enough for the benign check, and far from what customers get."""
    n, q = len(FINGERPRINT), len(FINGERPRINT.probe_labels)
    half = np.where(np.arange(q) % 10 < 3, (FINGERPRINT.probe_labels + 1) % 10, FINGERPRINT.probe_labels)
    suspect = Scripted(table(FINGERPRINT, FINGERPRINT.ground_truth[:n], half))
    allowed = VerificationOptions(sequential=sequential, claimed_accuracy=0.95, allow_extrapolation=True)
    verdict = ask(suspect, FINGERPRINT, calibration=calibration, options=allowed)
    assert verdict.decision.verdict == "inconclusive"
    (sign,) = verdict.evasion
    assert sign.endswith(f"of {50 if sequential else 60} benign images, and its owner claims an accuracy of 95%")
    assert verdict.decision.reason == f"possible evasion: {sign}"


@LEVELS
def test_signs_never_accuse_and_never_clear(calibration: Calibration | None) -> None:
    """One that matches nearly all and refuses the rest is a surrogate all the same."""
    labels = np.where(np.arange(100) % 7 == 0, -1, FINGERPRINT.labels)
    verdict = judged(with_examples(lambda _n: labels), calibration)
    assert verdict.decision.verdict == "surrogate"
    assert verdict.evasion[0].startswith("the suspect refuses 15%")


def answers(given: Labels, *, changed: int = 0, right: int = 50) -> FirstAnswers:
    examples, probes = np.arange(len(given)), np.arange(50)
    said = np.where(probes < right, FINGERPRINT.probe_labels[:50], -1)
    by_kind = {EXAMPLE.name: Answered(examples, given), BENIGN.name: Answered(probes, said)}
    return FirstAnswers(by_kind, repeats=8, changed=changed)


def third(share: int, fingerprint: Fingerprint = FINGERPRINT) -> Labels:
    """Return answers of which so many in a hundred are a third label, the others the truth."""
    other = (fingerprint.ground_truth + 5) % 10
    return np.where(np.arange(100) < share, other, fingerprint.ground_truth)


def signs(
    given: Labels, calibration: Calibration | None = None, claimed: float | None = None, **more: int
) -> list[str]:
    found = signs_of_evasion(paired(FINGERPRINT, calibration), answers(given, **more), claimed_accuracy=claimed)
    return list(found)


@pytest.mark.parametrize(("refused", "named"), [(0, False), (10, False), (11, True)])
def test_a_few_refusals_are_no_sign(refused: int, *, named: bool) -> None:
    given = np.where(np.arange(100) < refused, -1, FINGERPRINT.ground_truth)
    assert bool(signs(given)) == named


@pytest.mark.parametrize(("share", "named"), [(0, False), (50, False), (51, True)])
def test_third_labels_without_a_calibration(share: int, *, named: bool) -> None:
    assert bool(signs(third(share))) == named


def test_third_labels_are_compared_with_the_references_on_the_same_examples() -> None:
    """References that give many third labels themselves are no measure of dishonesty."""
    assert len(signs(third(11), CALIBRATION)) == 1
    assert signs(third(10), CALIBRATION) == []
    group = CALIBRATION.references
    strange = np.where(np.arange(39)[:, np.newaxis] == 3, third(30), group.answers)
    drifting = toy_calibration(FINGERPRINT, [1])
    drifting = Calibration(
        **{**vars(drifting), "references": type(group)(models=group.models, answers=strange, right=group.right)}
    )
    assert signs(third(40), drifting) == []
    assert "41% of the examples a label" in signs(third(41), drifting)[0]
    assert "no reference does so for more than 30%" in signs(third(41), drifting)[0]
    assert len(signs(third(41)[:30], drifting)) == 0  # all of both are third labels there


@pytest.mark.parametrize(("claimed", "named"), [(None, False), (0.5, False), (0.85, False), (0.86, True), (0.95, True)])
def test_a_claim_is_compared_with_the_upper_limit(claimed: float | None, *, named: bool) -> None:
    """35 of 50: the two-sided 99 % interval ends at 0.851."""
    found = signs(FINGERPRINT.ground_truth, claimed=claimed, right=35)
    assert bool(found) == named
    if claimed and named:
        assert found == [
            f"the suspect is right on 70% of 50 benign images, and its owner claims an accuracy of {claimed:.0%}"
        ]


def test_every_change_is_a_sign() -> None:
    assert signs(FINGERPRINT.ground_truth, changed=1)[0].startswith("nondeterministic: 1 of 8 images")


def test_the_source_shows_none() -> None:
    assert judged(Scripted(oracle(FINGERPRINT)), CALIBRATION, claimed=1.0).evasion == ()


@LEVELS
def test_one_whose_answers_depend_on_the_other_images_of_the_batch(calibration: Calibration | None) -> None:
    """It says the class by an image's rank in brightness among those asked at once: a repeat has other neighbours."""

    def by_rank(images: NDArray[np.uint8]) -> Labels:
        brightness = images.reshape(len(images), -1).mean(axis=1)
        return np.asarray(np.argsort(np.argsort(brightness, kind="stable")) * 10 // len(images), np.int64)

    for number in range(50):
        named, nonce = Suspect(name="x", sha256="ab"), number.to_bytes(2)
        verdict = verify(Scripted(by_rank), paired(FINGERPRINT, calibration), named=named, nonce=nonce)
        assert verdict.nondeterministic > 0
        assert any("another answer when the suspect was asked again" in sign for sign in verdict.evasion)


def test_repeats_are_asked_by_themselves_and_in_another_order() -> None:
    suspect = Scripted(oracle(FINGERPRINT))
    verdict = ask(suspect, FINGERPRINT, calibration=CALIBRATION)
    questions = [answer.question for answer in verdict.answers]
    repeats = [place for place, question in enumerate(questions) if question.repeat]
    assert len(repeats) > 1
    assert suspect.batches == [len(questions) - len(repeats), 1, 1, 1, 1, len(repeats) - 4]
    assert asking_order(questions)[-len(repeats) :] == repeats[::-1]
    assert sorted(asking_order(questions)) == list(range(len(questions)))
