"""Verification of honest, broken and dishonest suspects."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core import clock
from cae_core.arrays import Floats32, Labels
from cae_core.errors import DataError, ModelError, OptionError
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.fingerprint.questions import plan_questions
from cae_core.generation.generate import GenerationResult
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions
from cae_core.verification.transcript import Transcript
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import conclude, plan_verification, verify
from tests.core.suspects import NONCE, Scripted, ask, matching, oracle
from tests.core.toys import World, make_world, paired, toy_calibration, toy_fingerprint


def test_the_source_itself_matches_every_example(world: World, generated: GenerationResult) -> None:
    verdict = verify(
        world.white_boxes.source, paired(generated.fingerprint), named=Suspect(name="s", sha256="00"), nonce=NONCE
    )
    assert verdict.caeacc.value == 1.0
    assert verdict.decision.verdict == "surrogate"
    assert verdict.benign_accuracy > 0.9
    assert (verdict.nondeterministic, verdict.unanswered) == (0, 0)


def test_surrogates_match_more_than_models_that_were_never_searched_on(generated: GenerationResult) -> None:
    """The world's generator makes the same pools again, and then further references."""
    world = make_world()
    for surrogate in world.white_boxes.surrogates:
        found = verify(surrogate, paired(generated.fingerprint), named=Suspect(name="s", sha256="05"), nonce=NONCE)
        assert found.caeacc.value >= 0.9
    stranger = make_world(seed=8).white_boxes.source
    verdict = verify(stranger, paired(generated.fingerprint), named=Suspect(name="r", sha256="06"), nonce=NONCE)
    assert verdict.decision.verdict == "inconclusive"  # it knows other classes altogether
    assert "is its input range right?" in verdict.decision.reason


def test_the_truth_on_everything_is_independent(fingerprint: Fingerprint) -> None:
    answer = oracle(fingerprint)

    def honest(images: NDArray[np.uint8]) -> Labels:
        truth = dict(zip((x.tobytes() for x in fingerprint.images), fingerprint.ground_truth.tolist(), strict=True))
        said = answer(images)
        return np.array([truth.get(x.tobytes(), y) for x, y in zip(images, said.tolist(), strict=True)], np.int64)

    verdict = ask(Scripted(honest), fingerprint)
    assert (verdict.caeacc.value, verdict.decision.verdict, verdict.benign_accuracy) == (0, "independent", 1)


def test_the_queries_are_counted_apart_and_recorded_in_order(fingerprint: Fingerprint) -> None:
    suspect = Scripted(oracle(fingerprint))
    told: list[tuple[int, int]] = []
    verdict = ask(suspect, fingerprint, progress=lambda *done: told.append(done))
    questions = plan_questions(fingerprint, suspect_sha256="ab", nonce=NONCE)
    assert [answer.question for answer in verdict.answers] == list(questions)
    assert sum(verdict.queries.values()) == len(questions) == sum(suspect.batches)
    assert verdict.queries["fingerprint"] == sum(q.kind == EXAMPLE for q in questions)
    assert verdict.nonce == NONCE.hex()
    assert told[-1] == (len(questions), len(questions))


def test_without_a_nonce_each_verification_draws_its_own(fingerprint: Fingerprint) -> None:
    suspect = Scripted(oracle(fingerprint))
    nonces = {verify(suspect, paired(fingerprint), named=Suspect(name="x", sha256="ab")).nonce for _ in range(3)}
    assert len(nonces) == 3
    assert {len(nonce) for nonce in nonces} == {32}


@pytest.mark.parametrize("label", [0, 9])
def test_a_constant_suspect_is_inconclusive(fingerprint: Fingerprint, label: int) -> None:
    verdict = ask(Scripted(lambda images: np.full(len(images), label)), fingerprint)
    assert verdict.decision.verdict == "inconclusive"
    assert f"the same class, {label}, to all" in verdict.decision.reason


def test_a_suspect_that_refuses_everything_is_inconclusive(fingerprint: Fingerprint) -> None:
    verdict = ask(Scripted(lambda images: np.full(len(images), -1)), fingerprint)
    assert (verdict.decision.verdict, verdict.caeacc.matches) == ("inconclusive", 0)
    assert verdict.unanswered == len(verdict.answers)


def test_refusals_count_as_asked_and_not_as_matches(fingerprint: Fingerprint) -> None:
    """A suspect may not refuse the images that it fears."""
    answer, feared = oracle(fingerprint), {image.tobytes() for image in fingerprint.images[:5]}

    def wary(images: NDArray[np.uint8]) -> Labels:
        return np.where([image.tobytes() in feared for image in images], -1, answer(images))

    verdict = ask(Scripted(wary), fingerprint)
    assert (verdict.caeacc.matches, verdict.caeacc.asked) == (15, 20)
    assert verdict.unanswered >= 5


def test_another_number_of_classes_is_refused(fingerprint: Fingerprint) -> None:
    def probabilities(n: int) -> Floats32:
        return np.full((n, 7), 1 / 7, np.float32)

    with pytest.raises(ModelError, match=r"x\.onnx: answers with 7 classes and the fingerprint has 10"):
        ask(Scripted(oracle(fingerprint), probabilities), fingerprint)


def test_a_label_that_does_not_exist_is_refused(fingerprint: Fingerprint) -> None:
    with pytest.raises(ModelError, match="answers with 11 classes and the fingerprint has 10"):
        ask(Scripted(lambda images: np.full(len(images), 10)), fingerprint)


@pytest.mark.parametrize("answer", [
    lambda images: np.zeros(len(images) + 1, np.int64),
    lambda images: np.zeros(len(images) - 1, np.int64),
    lambda images: np.zeros((len(images), 10), np.int64),
    lambda _images: np.zeros(0, np.int64),
    lambda _images: np.int64(3),
])  # fmt: skip
def test_another_number_of_answers_is_refused(
    fingerprint: Fingerprint, answer: Callable[[NDArray[np.uint8]], Any]
) -> None:
    with pytest.raises(ModelError, match=r"x\.onnx: asked \d+ images and got answers"):
        ask(Scripted(answer), fingerprint)


@pytest.mark.parametrize("value", [0.7, np.nan])
def test_scores_in_the_place_of_labels_are_refused(fingerprint: Fingerprint, value: float) -> None:
    """Rounded silently to integers they would be somebody's answers."""
    with pytest.raises(ModelError, match=r"x\.onnx: answers must be integer labels \(n,\); found float64"):
        ask(Scripted(lambda images: np.full(len(images), value)), fingerprint)


def test_changing_answers_are_counted_and_the_first_one_counts(fingerprint: Fingerprint) -> None:
    """Asked again, the suspect says something else, every time."""
    answer, seen = oracle(fingerprint), set[bytes]()

    def fickle(images: NDArray[np.uint8]) -> Labels:
        said = answer(images)
        for i, image in enumerate(images):
            said[i] = (said[i] + (image.tobytes() in seen)) % 10
            seen.add(image.tobytes())
        return said

    verdict = ask(Scripted(fickle), fingerprint)
    assert verdict.nondeterministic == sum(a.question.repeat for a in verdict.answers) == 4
    assert verdict.caeacc.value == 1.0
    assert verdict.benign_accuracy == 1.0


def test_the_budget_limits_what_is_asked() -> None:
    fingerprint = toy_fingerprint(n=100)
    suspect = Scripted(oracle(fingerprint))
    verdict = ask(suspect, fingerprint, options=VerificationOptions(max_queries=100))
    assert sum(suspect.batches) <= 100
    assert verdict.caeacc.asked == sum(a.question.kind == EXAMPLE and not a.question.repeat for a in verdict.answers)
    assert verdict.caeacc.asked < 100


def test_large_fingerprints_are_asked_in_parts(monkeypatch: pytest.MonkeyPatch, fingerprint: Fingerprint) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 5, 1, tzinfo=UTC))
    whole = ask(Scripted(oracle(fingerprint)), fingerprint)
    monkeypatch.setattr("cae_core.verification.verify._ASKED_TOGETHER", 7)
    suspect = Scripted(oracle(fingerprint))
    assert as_json(ask(suspect, fingerprint)) == as_json(whole)
    assert max(suspect.batches) == 7


def test_recorded_answers_are_judged_alike_and_must_be_complete(fingerprint: Fingerprint) -> None:
    asked = ask(Scripted(oracle(fingerprint)), fingerprint)
    questions = plan_questions(fingerprint, suspect_sha256="ab", nonce=NONCE)
    labels = np.array([answer.label for answer in asked.answers], np.int64)
    subject, named, transcript = paired(fingerprint), Suspect(name="x.onnx", sha256="ab"), Transcript()
    plan = plan_verification(subject, suspect_sha256="ab", nonce=NONCE)
    with pytest.raises(DataError, match="84 questions need as many answers; found"):
        transcript.record(questions, labels[:-1])
    assert len(transcript) == 0
    transcript.record(questions, labels)
    again = conclude(subject, transcript, plan, named=named, options=VerificationOptions(), nonce=NONCE)
    assert as_json(again) == as_json(dataclasses.replace(asked, occasion=None, containment=None))


class TestCalibrated:
    def test_only_chosen_examples_are_asked(self, fingerprint: Fingerprint) -> None:
        chosen = np.arange(20) % 3 == 0
        calibration = toy_calibration(fingerprint, [1] * 19, [6] * 19, chosen=chosen)
        verdict = ask(Scripted(oracle(fingerprint)), fingerprint, calibration=calibration)
        asked = {a.question.index for a in verdict.answers if a.question.kind == EXAMPLE}
        assert asked == set(np.flatnonzero(chosen))
        assert (verdict.caeacc.matches, verdict.caeacc.asked) == (7, 7)
        assert verdict.behind is not None
        assert verdict.behind.examples_chosen == 7

    def test_the_verdict_carries_its_evidence(self, fingerprint: Fingerprint) -> None:
        calibration = toy_calibration(fingerprint, [1] * 19, [16] * 19)
        verdict = ask(matching(fingerprint, 2), fingerprint, calibration=calibration)
        told = json.loads(json.dumps(as_json(verdict), allow_nan=False))
        assert told["threshold"] == {"value": 0.1, "provenance": "rank"}
        assert (told["p_value"], told["p_value_surrogate"]) == (0.05, 0.05)
        assert told["score"] == {"name": "caeacc", "value": 0.1}
        assert told["benign_range"] == [1, 1]
        assert told["calibration"]["kinds"] == {
            "references": {"kind of reference": 19},
            "surrogates": {"kind of surrogate": 19},
        }
        assert (told["sequential"], told["earlier"], told["warnings"]) == (None, None, [])

    @pytest.mark.parametrize(("score", "other"), [(Score.CAEACC, "llr"), (Score.LLR, "caeacc")])
    def test_the_other_score_is_shown_and_decides_nothing(
        self, fingerprint: Fingerprint, score: Score, other: str
    ) -> None:
        """Both are fixed: by the one a suspect is accused, by the other it is not."""
        weights = np.stack([np.where(np.arange(20) < 5, 1.0, -1.0), np.zeros(20)])
        references = np.tile(np.arange(20) < 4, (19, 1))
        calibration = toy_calibration(fingerprint, references, score=score, weights=weights)
        verdict = ask(Scripted(oracle(fingerprint)), fingerprint, calibration=calibration)
        values = {"caeacc": (1.0, 1 / 20), "llr": ((5 - 15) / 20, 1.0)}
        assert verdict.finding("other_scores") == {other: dict(zip(("value", "p_value"), values[other], strict=True))}
        assert (verdict.decision.score, verdict.decision.value, verdict.decision.p_value) == (score, *values[score])
        assert verdict.decision.verdict == ("surrogate" if score == Score.CAEACC else "inconclusive")

    def test_without_weights_there_is_no_other_score(self, fingerprint: Fingerprint) -> None:
        calibration = toy_calibration(fingerprint, [1])
        assert ask(Scripted(oracle(fingerprint)), fingerprint, calibration=calibration).finding("other_scores") == {}

    @pytest.mark.parametrize(("third", "warned"), [(2, False), (3, True)])
    def test_much_label_drift_is_a_warning(self, fingerprint: Fingerprint, third: int, *, warned: bool) -> None:
        calibration = toy_calibration(fingerprint, [0] * 5)
        strange = np.where(np.arange(20) < third, (fingerprint.ground_truth + 5) % 10, fingerprint.ground_truth)
        references = dataclasses.replace(calibration.references, answers=np.tile(strange, (5, 1)))
        drifting = dataclasses.replace(calibration, references=references)
        warnings = ask(matching(fingerprint, 20), fingerprint, calibration=drifting).warnings
        assert bool(warnings) == warned
        if warned:
            assert warnings[0].startswith("label drift: the references give 15% of the examples")

    def test_without_a_calibration_it_is_said(self, fingerprint: Fingerprint) -> None:
        verdict = ask(matching(fingerprint, 20), fingerprint)
        assert (verdict.behind, verdict.benign_range) == (None, None)
        assert as_json(verdict)["calibration"] is None
        assert verdict.warnings[0].startswith("uncalibrated")

    @pytest.mark.parametrize("claim", [0, -0.1, 1.1, float("nan")])
    def test_a_claim_that_is_no_accuracy(self, claim: float) -> None:
        with pytest.raises(OptionError, match=r"The claimed accuracy must lie in \(0, 1\]"):
            VerificationOptions(claimed_accuracy=claim)
