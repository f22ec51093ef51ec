"""A suspect by which suspects are judged is refused, by its file and by its scores; the source is judged and named."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.calibration.file import calibration_digest
from cae_core.calibration.groups import CalibrationModel, KnownModel, KnownModels
from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.scores import scores_of
from cae_core.verification.known_models import check_self, refuse_known_file, source_by_file
from cae_core.verification.options import DEFAULT, VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from tests.core.suspects import NONCE, Telling, oracle
from tests.core.toys import toy_calibration, toy_fingerprint

GENERATION = {
    "source": {"name": "mine", "accuracy": 0.9, "sha256": "00"},
    "surrogates": [{"name": "copy", "sha256": "01"}],
    "references": [{"name": "other", "sha256": "02"}],
}
FINGERPRINT = dataclasses.replace(toy_fingerprint(), generation={**toy_fingerprint().generation, **GENERATION})
ANSWER = oracle(FINGERPRINT)


def calibrated(*known: tuple[str, str, str, int]) -> CalibratedFingerprint:
    """Return a calibration that keeps the scores of models, each with name, relation, role and weights."""
    told = [Telling(ANSWER, weights=weights).predict(FINGERPRINT.all_images()).probabilities for *_, weights in known]
    calibration = toy_calibration(
        FINGERPRINT,
        [1] * 19,
        [16] * 3,
        screen=(CalibrationModel(name="screening", sha256="03"),),
        known=KnownModels(
            models=tuple(
                KnownModel(name=name, relation=relation, role=role, sha256=f"file of {name}")
                for name, relation, role, _ in known
            ),
            scores=np.array([scores_of(x) for x in told if x is not None], np.float32).reshape(len(known), 80, 2),
        ),
    )
    return CalibratedFingerprint(fingerprint=FINGERPRINT, calibration=calibration)


MANY = calibrated(
    ("mine", "source", "source", 0),
    ("copy", "surrogate", "generate", 1),
    ("thief", "surrogate", "calibrate", 2),
    ("honest", "reference", "screen", 3),
)


@pytest.mark.parametrize(
    ("sha256", "words"),
    [
        ("01", "is the surrogate copy that the fingerprint was made with: it is the same file"),
        ("02", "is the reference other that the fingerprint was made with"),
        ("03", r"is the model screening of the calibration \(role screen\)"),
        ("reference0004", r"is the reference reference-4 of the calibration \(role calibrate\)"),
        ("surrogate0002", r"is the surrogate surrogate-2 of the calibration \(role calibrate\)"),
        ("file of honest", r"is the reference honest of the calibration \(role screen\)"),
    ],
)
def test_by_its_file_before_anything_is_asked(sha256: str, words: str) -> None:
    suspect = Telling(ANSWER, weights=99)
    with pytest.raises(PoolError, match=f"x.onnx: the suspect {words}.* Verify a model that had no part in "):
        verify(suspect, MANY, named=Suspect(name="x.onnx", sha256=sha256))
    assert suspect.asked == 0


def asked(weights: int, *, options: VerificationOptions = DEFAULT, moved: float = 0) -> Verdict:
    suspect = Telling(ANSWER, weights=weights, moved=moved)
    return verify(suspect, MANY, named=Suspect(name="x.onnx", sha256="new"), options=options, nonce=NONCE)


@pytest.mark.parametrize("options", [VerificationOptions(), VerificationOptions(max_queries=65)])
@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (1, "like the surrogate copy that the fingerprint was made with"),
        (2, r"like the surrogate thief of the calibration \(role calibrate\)"),
        (3, r"like the reference honest of the calibration \(role screen\)"),
    ],
)
def test_by_its_scores(weights: int, words: str, options: VerificationOptions) -> None:
    with pytest.raises(PoolError, match=f"answers every image {words}.*renamed, saved again or converted"):
        asked(weights, options=options, moved=5e-5)


def test_one_that_answers_like_the_source_is_judged_and_named() -> None:
    verdict = asked(0, moved=-5e-5)
    assert verdict.occasion is not None
    assert (verdict.occasion.is_source, verdict.decision.verdict) == ("scores", "surrogate")


def test_the_same_labels_and_other_scores_are_another_models() -> None:
    for suspect in (asked(7), asked(0, moved=3e-4)):
        assert suspect.occasion is not None
        assert suspect.occasion.is_source is None


def test_the_sources_own_file_is_judged_and_named() -> None:
    verdict = verify(Telling(ANSWER, weights=5), MANY, named=Suspect(name="mine.onnx", sha256="00"))
    assert verdict.occasion is not None
    assert verdict.occasion.is_source == "file"


def test_a_self_check_takes_the_sources_file_only() -> None:
    check_self(MANY, "mine.onnx", "00")
    with pytest.raises(OptionError, match=r"other\.onnx: --self-check verifies the very file"):
        check_self(MANY, "other.onnx", "01")


def test_a_fingerprint_without_digests_knows_nobody() -> None:
    unknown = CalibratedFingerprint(fingerprint=toy_fingerprint())
    for sha256 in ("", "00", "01"):
        refuse_known_file(unknown, "x", sha256)
        assert source_by_file(unknown, sha256) is None


@pytest.mark.parametrize("rows", [None, 3, "text", ["text", 4, None], [{"sha256": 5}], [{"name": "no digest"}], [{}]])
def test_whatever_stands_in_somebody_elses_metadata(rows: object) -> None:
    generation: dict[str, Any] = {**FINGERPRINT.generation, "surrogates": rows, "references": rows, "source": rows}
    strange = CalibratedFingerprint(fingerprint=dataclasses.replace(FINGERPRINT, generation=generation))
    refuse_known_file(strange, "x", "01")
    refuse_known_file(strange, "x", "")
    assert source_by_file(strange, "00") is None


class TestFile:
    def test_the_scores_are_kept(self, tmp_path: Path) -> None:
        save_calibrated(MANY, tmp_path / "f")
        kept = load_calibrated(tmp_path / "f").calibration
        assert kept is not None
        assert MANY.calibration is not None
        assert kept.known.models == MANY.calibration.known.models
        assert np.array_equal(kept.known.scores, MANY.calibration.known.scores)
        assert calibration_digest(kept) == MANY.content_sha256

    def test_a_calibration_of_before_has_none_and_keeps_its_digest(self, tmp_path: Path) -> None:
        """Its metadata and tensors are those that an earlier release wrote."""
        before = calibrated()
        save_calibrated(before, tmp_path / "f")
        metadata, tensors = read_tensors(tmp_path / "f")
        assert "known" not in metadata["cae"]
        assert "calibration.known.scores" not in tensors

    @pytest.mark.parametrize(
        "change",
        [
            lambda scores: scores[:2],
            lambda scores: scores[:, :-1],
            lambda scores: scores[..., :1],
            lambda scores: scores.astype(np.float64),
        ],
    )
    def test_scores_of_another_shape_are_refused(self, change: Callable[[Any], Any], tmp_path: Path) -> None:
        assert MANY.calibration is not None
        known = dataclasses.replace(MANY.calibration.known, scores=change(MANY.calibration.known.scores))
        wrong = dataclasses.replace(MANY.calibration, known=known)
        save_calibrated(dataclasses.replace(MANY, calibration=wrong), tmp_path / "f")
        with pytest.raises(FingerprintError, match="incomplete or malformed"):
            load_calibrated(tmp_path / "f")

    def test_an_edited_one_is_noticed(self, tmp_path: Path) -> None:
        save_calibrated(MANY, tmp_path / "f")
        metadata, tensors = read_tensors(tmp_path / "f")
        tensors["calibration.known.scores"] = tensors["calibration.known.scores"] + np.float32(0.1)
        (tmp_path / "f").write_bytes(pack_tensors(tensors, metadata))
        with pytest.raises(FingerprintError, match="its calibration was edited"):
            load_calibrated(tmp_path / "f")
