"""A simulated defence: asked through it in every mode, recorded as an option, and told to be a what-if."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cae_cli.verdict_facts import verdict_facts
from cae_core.arrays import Images, as_unit_float
from cae_core.errors import OptionError
from cae_core.files.records import as_json
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.models import Predictions
from cae_core.verification.options import VerificationOptions
from cae_core.verification.remembered import verify_remembered
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from tests.core.suspects import NONCE, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=40)
SUBJECT = paired(
    FINGERPRINT, toy_calibration(FINGERPRINT, [i % 19 for i in range(60)], [21 + i % 20 for i in range(60)])
)
NAMED = Suspect(name="m.onnx", sha256="ab")


@dataclass
class Copy:
    """Answers as the source does, and labels only; a blind one also other images than the fingerprint's."""

    blind: bool = False
    asked: list[Images] = field(default_factory=list)

    def predict(self, images: Images) -> Predictions:
        self.asked.append(images)
        return Predictions(np.zeros(len(images), np.int64)) if self.blind else matching(FINGERPRINT, 40).predict(images)


def judged(defence: str, **options: object) -> Verdict:
    given = VerificationOptions(defence=defence, **options)  # type: ignore[arg-type]
    return verify(Copy(), SUBJECT, named=NAMED, nonce=NONCE, options=given)


@pytest.mark.parametrize("options", [{}, {"sequential": True}, {"max_queries": 70}])
def test_the_suspect_is_asked_through_it_in_every_mode(options: dict[str, object]) -> None:
    """Random answers alone: hardly one of ten classes matches, though the suspect is a perfect copy."""
    plain, defended = judged("", **options), judged("random:1", **options)
    assert plain.decision.verdict == "surrogate"
    assert defended.decision.verdict != "surrogate"
    assert defended.caeacc.value < 0.6 < plain.caeacc.value
    assert defended.benign_accuracy < plain.benign_accuracy


def test_it_is_told_as_a_what_if_and_only_where_it_is_one() -> None:
    plain, defended = judged(""), judged("random:1")
    told = [{fact.name: fact.value for fact in verdict_facts(verdict)} for verdict in (plain, defended)]
    assert "simulated defence" not in told[0]
    assert told[1]["simulated defence"] == "random:1"
    assert defended.warnings[0].startswith("what if: the defence random:1 was simulated in front of the suspect;")
    assert plain.warnings == defended.warnings[1:]
    options = [as_json(verdict)["options"] for verdict in (plain, defended)]
    assert "defence" not in options[0]
    assert options[1]["defence"] == "random:1"


def test_its_record_is_derived_again_without_it() -> None:
    verdict = judged("random:0.5")
    replayed = replay_verdict(as_json(verdict), SUBJECT)
    assert replayed.verdict.decision == verdict.decision
    assert replayed.verdict.warnings == verdict.warnings


def test_a_rival_contract_is_asked_through_it_too() -> None:
    rivals = [Copy()]
    options = VerificationOptions(defence="random:1")
    assert verify(Copy(), SUBJECT, named=NAMED, nonce=NONCE, options=options, rivals=rivals).caeacc.value < 0.6


def test_images_are_changed_on_their_way(tmp_path: Path) -> None:
    suspect = Copy(blind=True)
    options = VerificationOptions(defence="noise:0.3")
    verify_remembered(suspect, SUBJECT, ledger=tmp_path / "ledger.jsonl", named=NAMED, nonce=NONCE, options=options)
    asked = np.concatenate(suspect.asked)
    own = {image.tobytes() for image in FINGERPRINT.of(EXAMPLE).images}
    assert asked.dtype == np.uint8
    assert not own & {image.tobytes() for image in asked}


def test_refuses() -> None:
    with pytest.raises(OptionError, match="Unknown defence 'blur:1'"):
        judged("blur:1")
    with pytest.raises(OptionError, match="Recorded answers were given without a defence"):
        VerificationOptions(defence="bits:4", recorded=True)
    record = as_json(judged("random:1"))
    record["options"]["defence"] = "x" * 10_000
    with pytest.raises(Exception, match="at most 500 characters") as caught:
        replay_verdict(record, SUBJECT)
    assert "Error" in type(caught.value).__name__


class Told:
    """Answers any image with probabilities that follow its mean."""

    def predict(self, images: Images) -> Predictions:
        level = as_unit_float(images).mean(axis=(1, 2, 3))[:, None]
        scores = np.cos(np.arange(1, len(FINGERPRINT.class_names) + 1) * level * 40) + 1.01
        probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        return Predictions(probabilities.argmax(axis=1).astype(np.int64), probabilities)


def test_refusals_are_counted_and_the_ledger_stays_readable(tmp_path: Path) -> None:
    ledger, options = tmp_path / "ledger.jsonl", VerificationOptions(defence="squeeze:0")
    first = verify_remembered(Told(), SUBJECT, ledger=ledger, named=NAMED, nonce=NONCE, options=options)
    assert first.unanswered > 0.5 * len(first.answers)
    assert first.decision.verdict == "inconclusive"
    again = verify_remembered(Told(), SUBJECT, ledger=ledger, named=NAMED, nonce=NONCE)
    assert again.unanswered == 0
    assert again.earlier is not None
    assert (again.earlier.verifications, again.earlier.otherwise) == (1, 1)
