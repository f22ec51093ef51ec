"""Examples from a query log: a rule that treats all sources alike, what is recorded, and what is refused."""

import dataclasses
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core import clock
from cae_core.arrays import Floats64
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.dataset import ImageSet
from cae_core.disputes.sealing import seal_file
from cae_core.errors import FingerprintError, GenerationError, OptionError, VerdictError
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.fingerprint.query_log import QueryLog
from cae_core.generation.controls import with_controls
from cae_core.generation.query_log import choose_from_log, distinct, fingerprint_from_log, log_of
from cae_core.pool.roles import CalibrationMembers
from tests.core.sources import answering, calibrated_by
from tests.core.suspects import ask
from tests.core.toys import quick_settings

SOURCES = NullHypothesis.SOURCES


def told(sources: int, n: int, classes: int = 4, seed: int = 0) -> Floats64:
    """Return probabilities of sources that mostly agree and err each by itself."""
    random = np.random.default_rng(seed)
    common = random.normal(0, 1.5, (1, n, classes))
    logits = common + random.normal(0, 0.7, (sources, n, classes))
    return np.asarray(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), np.float64)


def by_hand(given: Floats64, j: int) -> list[int]:
    """Another implementation of the rule, image by image."""
    sources, n, classes = given.shape
    scored = []
    for i in range(n):
        labels = [max(range(classes), key=lambda y: given[k, i, y]) for k in range(sources)]
        votes = [labels.count(y) for y in range(classes)]
        if labels[j] != votes.index(max(votes)):
            others = [given[k, i, labels[j]] for k in range(sources) if k != j]
            scored.append((-round(given[j, i, labels[j]] - sum(others) / len(others), 9), i))
    return [i for _, i in sorted(scored)]


class TestTheRule:
    def test_it_is_the_one_that_is_documented(self) -> None:
        given = told(5, 300)
        chosen = choose_from_log(given, 1000)
        full = [by_hand(given, j) for j in range(5)]
        n = min(map(len, full))
        assert n >= 10
        for j, own in enumerate(chosen):
            assert own.index.tolist() == full[j][:n]
            np.testing.assert_array_equal(own.labels, given[j, own.index].argmax(axis=1))
            assert (own.labels != own.majority).all()
        assert [len(own.index) for own in choose_from_log(given, 12)] == [12] * 5

    def test_permuted_sources_have_permuted_examples(self) -> None:
        """So that the claimed source is one of m + 1 and in no way another."""
        given, order = told(6, 400, seed=1), np.random.default_rng(2).permutation(6)
        straight, permuted = choose_from_log(given, 20), choose_from_log(given[order], 20)
        for place, source in enumerate(order):
            np.testing.assert_array_equal(permuted[place].index, straight[source].index)

    def test_a_log_with_too_few_errors_of_some_source_cannot_judge(self) -> None:
        given = told(3, 200)
        given[2] = given[:2].mean(axis=0)  # it hardly ever stands alone
        given[2, :, :] = np.eye(4)[given[:2].sum(axis=0).argmax(axis=1)]
        with pytest.raises(GenerationError, match="cannot judge"):
            choose_from_log(given, 20)

    def test_an_innocent_suspect_is_accused_at_the_rate(self) -> None:
        """Sources and a suspect that learned from none of them: the rank over 20 sources, at 5 %, 400 worlds."""
        accused = judged = 0
        for world in range(400):
            given = told(21, 120, seed=world)
            suspect = given[-1].argmax(axis=1)
            try:
                chosen = choose_from_log(given[:20], 15)
            except GenerationError:
                continue
            rates = [(suspect[own.index] == own.labels).mean() for own in chosen]
            judged += 1
            accused += not any(rate >= rates[0] for rate in rates[1:])
        assert judged > 350
        assert 0.005 < accused / judged <= 0.05 + 3 * (0.05 * 0.95 / judged) ** 0.5


def test_repeated_queries_count_once() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
    np.testing.assert_array_equal(distinct(images[[0, 1, 0, 2, 1, 3]]), images[[0, 1, 2, 3]])


class TestWhatIsRecorded:
    @pytest.fixture(autouse=True)
    def today(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 6, 1, tzinfo=UTC))

    def test_digest_number_date_and_logs(self) -> None:
        images = np.zeros((7, 4, 4, 1), np.uint8)
        log = log_of(images, date="2026-05-31", logs_tried=2)
        assert (log.count, log.date, log.logs_tried, len(log.sha256)) == (7, date(2026, 5, 31), 2, 64)
        assert QueryLog.of({"queries": log.described()}) == log

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"date": "2026-06-02"}, "in the future"),
            ({"date": "yesterday"}, "such as 2026-05-31"),
            ({"date": ""}, "such as 2026-05-31"),
            ({"logs_tried": 0}, "counts this log as well"),
        ],
    )
    def test_what_is_none_is_refused(self, changes: dict[str, Any], message: str) -> None:
        given: dict[str, Any] = {"date": "2026-05-31", "logs_tried": 1}
        with pytest.raises(OptionError, match=message):
            log_of(np.zeros((1, 4, 4, 1), np.uint8), **given | changes)


def of_a_log(controls: int = 4, logs_tried: int = 1) -> Fingerprint:
    """Return a fingerprint of a toy log, of so many control sources."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (400, 4, 4, 1)).astype(np.uint8)
    data = ImageSet(images[:60], random.integers(0, 10, 60), tuple(f"class {j}" for j in range(10)), "toy")
    log = QueryLog(sha256="0" * 64, count=400, date=date(2026, 5, 31), logs_tried=logs_tried)
    made = [
        fingerprint_from_log(
            images,
            own,
            data,
            log=log,
            settings=quick_settings(),
            provenance={
                "source": {"name": f"source-{number}", "sha256": str(number)},
                "surrogates": [],
                "references": [],
            },
            accuracy=0.9,
        )
        for number, own in enumerate(choose_from_log(told(controls + 1, 400, classes=10), 20))
    ]
    return with_controls(made[0], made[1:])


class TestTheFile:
    def test_it_comes_back_whole(self, tmp_path: Path) -> None:
        made = of_a_log()
        save_fingerprint(made, tmp_path / "f.safetensors")
        found = load_fingerprint(tmp_path / "f.safetensors")
        assert (found.id, found.controls, found.query_log) == (made.id, 4, made.query_log)

    @pytest.mark.parametrize(
        "queries", [[], "x", {"sha256": 1}, {"sha256": "0", "count": 1, "date": "x", "logs_tried": 1}]
    )
    def test_a_log_that_is_none_is_refused(self, tmp_path: Path, queries: object) -> None:
        made = of_a_log()
        hostile = dataclasses.replace(made, generation={**made.generation, "queries": queries})
        save_fingerprint(hostile, tmp_path / "f.safetensors")
        with pytest.raises(FingerprintError):
            load_fingerprint(tmp_path / "f.safetensors")

    def test_it_is_calibrated_by_sources_alone(self) -> None:
        for null in (NullHypothesis.REFERENCES, NullHypothesis.TWO_WAY):
            with pytest.raises(OptionError, match="takes --null sources"):
                calibrate(
                    of_a_log(),
                    CalibrationMembers(references=[], surrogates=[], screen=[], generation=[]),
                    settings=CalibrationSettings(null=null, fpr=0.5, parametric=False),
                )

    def test_it_is_not_sealed(self, tmp_path: Path) -> None:
        save_fingerprint(of_a_log(), tmp_path / "f.safetensors")
        with pytest.raises(VerdictError, match="query log cannot be sealed"):
            seal_file(tmp_path / "f.safetensors", tmp_path / "seal.json")


class TestTheVerdict:
    def test_p_is_multiplied_by_the_logs_tried(self) -> None:
        for logs, outcome in ((1, "surrogate"), (2, "inconclusive")):
            fingerprint = of_a_log(logs_tried=logs)
            n = len(fingerprint)
            calibration = calibrated_by(fingerprint, SOURCES, np.zeros((0, 5)), fpr=0.2)
            verdict = ask(answering(fingerprint, [n, 1, 1, 1, 1]), fingerprint, calibration=calibration)
            assert verdict.decision.p_value == pytest.approx(logs / 5)
            assert verdict.decision.verdict == outcome
            assert ("the number of logs that were tried" in " ".join(verdict.warnings)) == (logs > 1)

    def test_what_it_takes_for_granted_is_said(self) -> None:
        fingerprint = of_a_log()
        calibration = calibrated_by(fingerprint, SOURCES, np.zeros((0, 5)), fpr=0.2)
        verdict = ask(answering(fingerprint, [5, 1, 1, 1, 1]), fingerprint, calibration=calibration)
        (warning,) = (warning for warning in verdict.warnings if "query log" in warning)
        assert "2026-05-31" in warning
        assert "first accessed later" in warning

    def test_without_a_calibration_by_sources_it_cannot_judge(self) -> None:
        fingerprint = of_a_log()
        n = len(fingerprint)
        verdict = ask(answering(fingerprint, [n, n, n, n, n]), fingerprint)
        assert verdict.decision.verdict == "inconclusive"
        assert verdict.decision.remedy == "Calibrate with --null sources."
