"""The sequential mode by path ranks: one order, few probes, half as many references."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.record import Calibration
from cae_core.errors import OptionError, VerdictError
from cae_core.files.records import as_json
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.path_order import LEAST_BENIGN, path_order
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit
from cae_core.verification.beacon import beacon_nonce
from cae_core.verification.options import VerificationOptions
from cae_core.verification.remembered import verify_remembered
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import plan_verification, verify
from tests.core.suspects import Scripted, ask, matching, table
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=100, probes=60)
REFERENCES = [10 + i for i in range(19)]  # 10 .. 28
SURROGATES = [80 + i % 20 for i in range(19)]
CALIBRATION = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)
BEACON: dict[str, Any] = {"beacon": "0af1" * 16, "beacon_time": "2026-05-01T12:00Z"}


def judged(suspect: Scripted, calibration: Calibration | None = CALIBRATION, **options: Any) -> Verdict:  # noqa: ANN401 - of different types
    given = VerificationOptions(**{"sequential": True, **BEACON, **options})
    return ask(suspect, FINGERPRINT, calibration=calibration, options=given, nonce=None)


def asked(verdict: Verdict, kind: object) -> int:
    return sum(q.kind == kind and not q.repeat for q in verdict.examination.transcript.questions)


class TestTheVerdict:
    def test_a_copy_takes_few_queries(self) -> None:
        verdict = judged(matching(FINGERPRINT, 94))
        assert verdict.decision.verdict == "surrogate"
        assert verdict.path is not None
        assert verdict.sequential is None
        assert verdict.decision.origin == "path"
        assert verdict.decision.p_value == 0.05
        assert sum(verdict.queries.values()) <= 30
        assert asked(verdict, BENIGN) == LEAST_BENIGN

    def test_19_references_are_too_few_for_the_e_process(self) -> None:
        plan = {"options": VerificationOptions(sequential=True), "suspect_sha256": "ab"}
        with pytest.raises(OptionError, match="at least 39 references"):
            plan_verification(paired(FINGERPRINT, CALIBRATION), **plan)  # type: ignore[arg-type]

    def test_a_stranger_is_independent(self) -> None:
        verdict = judged(matching(FINGERPRINT, 12))
        assert verdict.decision.verdict == "independent"
        assert verdict.decision.p_value_surrogate == 0.05
        assert "does not prove independence" in verdict.decision.reason
        assert asked(verdict, EXAMPLE) < 30

    def test_neither(self) -> None:
        verdict = judged(matching(FINGERPRINT, 50), toy_calibration(FINGERPRINT, [60] * 19, [40] * 19))
        assert verdict.decision.verdict == "inconclusive"
        assert asked(verdict, EXAMPLE) == 100
        assert "is enough for neither outcome" in verdict.decision.reason
        assert verdict.decision.remedy.startswith("Ask all images at once")

    def test_above_the_references_and_below_every_copy(self) -> None:
        verdict = judged(matching(FINGERPRINT, 60), toy_calibration(FINGERPRINT, REFERENCES, [98] * 19))
        assert verdict.decision.verdict == "inconclusive"
        assert verdict.decision.reason.endswith("so the suspect fits neither kind")

    @pytest.mark.parametrize("matches", [0, 12, 25, 40, 60, 75, 92, 100])
    def test_ranks_and_scores_are_those_of_an_independent_replay(self, matches: int) -> None:
        """The recorded answers of all models, replayed in the order asked, and their scores by the formula."""
        verdict = judged(matching(FINGERPRINT, matches))
        path = verdict.path
        assert path is not None
        nonce = bytes.fromhex(verdict.nonce)
        first = path_order(FINGERPRINT, suspect_sha256="ab", nonce=nonce).first
        order = [question.index for question in first if question.kind == EXAMPLE]

        def scores(hits: np.ndarray) -> np.ndarray:
            t, s = np.arange(1, hits.shape[1] + 1), hits.cumsum(axis=1)
            return np.asarray(((s + 2 - 2 * np.sqrt(s * (t - s) / t + 1)) / (t + 4))[:, 4:].max(axis=1))

        references = scores(CALIBRATION.references.matches(FINGERPRINT)[:, order])
        surrogates = scores(~CALIBRATION.surrogates.matches(FINGERPRINT)[:, order])
        seen = verdict.examination.matches[np.newaxis]
        high, low = scores(seen)[0], scores(~seen)[0]
        assert (path.score, path.score_independent) == pytest.approx((high, low), abs=1e-15)
        assert path.high.p_value == verdict.decision.p_value == rank_p_value(references, high)
        assert path.low.p_value == verdict.decision.p_value_surrogate == rank_p_value(surrogates, low)
        assert (path.threshold, path.threshold_independent) == pytest.approx((references.max(), surrogates.max()))
        accused, acquitted = high > references.max(), low > surrogates.max()
        assert path.outcome == ("surrogate" if accused else "independent" if acquitted else None)
        assert verdict.decision.sides is not None
        assert verdict.decision.sides.as_high == (references >= high).sum()
        assert verdict.decision.sides.as_low == (surrogates >= low).sum()


class TestExposureGroups:
    """References that saw the seeds match seldom, those that did not match often: he has to stand out in both."""

    def verdict(self, matches: int, unexposed: int, rule: ExposureRule) -> Verdict:
        calibration = toy_calibration(FINGERPRINT, [*REFERENCES, *([70] * unexposed)], SURROGATES, exposure=rule)
        exposures = [Exposure.ALL] * 19 + [Exposure.NONE] * unexposed
        group = calibration.references
        models = tuple(dataclasses.replace(m, exposure=e) for m, e in zip(group.models, exposures, strict=True))
        return judged(
            matching(FINGERPRINT, matches),
            dataclasses.replace(calibration, references=dataclasses.replace(group, models=models)),
        )

    def test_among_the_exposed_alone_he_is_accused(self) -> None:
        assert self.verdict(60, 19, ExposureRule.ALL).decision.verdict == "surrogate"

    def test_the_largest_p_counts(self) -> None:
        verdict = self.verdict(60, 19, ExposureRule.LARGEST)
        assert verdict.decision.verdict != "surrogate"
        assert verdict.path is not None
        assert verdict.path.high.models == 19
        assert verdict.path.high.p_value > 0.5
        assert verdict.decision.p_value == verdict.path.high.p_value
        assert self.verdict(100, 19, ExposureRule.LARGEST).decision.verdict == "surrogate"

    def test_a_group_that_is_too_small_accuses_nobody(self) -> None:
        verdict = self.verdict(100, 18, ExposureRule.LARGEST)
        assert verdict.decision.verdict == "inconclusive"
        said = "it takes at least 19 references in each group, and there are 18"
        assert any(said in warning for warning in verdict.warnings)


class TestTheOrder:
    def test_it_follows_from_calibration_suspect_and_beacon(self) -> None:
        subject, first = paired(FINGERPRINT, CALIBRATION), judged(matching(FINGERPRINT, 94))
        nonce = beacon_nonce(BEACON["beacon"], calibration=subject.content_sha256, suspect="ab")
        assert first.nonce == nonce.hex()
        assert judged(matching(FINGERPRINT, 94), beacon="1af1" * 16).nonce != first.nonce
        other = dataclasses.replace(CALIBRATION, fpr=0.06)
        assert judged(matching(FINGERPRINT, 94), other).nonce != first.nonce

    def test_a_budget_is_a_part_of_the_one_order(self) -> None:
        suspect = matching(FINGERPRINT, 50)
        calibration = toy_calibration(FINGERPRINT, [60] * 19, [40] * 19)
        whole, part = judged(suspect, calibration), judged(suspect, calibration, max_queries=40)
        assert sum(part.queries.values()) == 40
        assert part.decision.remedy == "Raise --max-queries."
        once = [[q for q in v.examination.transcript.questions if not q.repeat] for v in (whole, part)]
        assert once[0][: len(once[1])] == once[1]

    def test_a_plan_without_a_nonce_has_it_too(self) -> None:
        """Else a record that names none would have an order that follows from no beacon."""
        subject, options = paired(FINGERPRINT, CALIBRATION), VerificationOptions(sequential=True, **BEACON)
        nonce = beacon_nonce(BEACON["beacon"], calibration=subject.content_sha256, suspect="ab")
        plans = [
            plan_verification(subject, suspect_sha256="ab", options=options, nonce=given) for given in (b"", nonce)
        ]
        assert plans[0].questions == plans[1].questions
        with pytest.raises(OptionError, match="The nonce does not follow from this beacon"):
            plan_verification(subject, suspect_sha256="ab", options=options, nonce=b"1" * 16)

    def test_a_nonce_beside_it_is_refused(self) -> None:
        subject = paired(FINGERPRINT, CALIBRATION)
        options = VerificationOptions(sequential=True, **BEACON)
        named = Suspect(name="x", sha256="ab")
        with pytest.raises(OptionError, match="A nonce and a beacon cannot both decide the order"):
            verify(matching(FINGERPRINT, 94), subject, named=named, options=options, nonce=b"1" * 16)

    def test_one_that_is_not_out_yet_is_refused(self) -> None:
        suspect = matching(FINGERPRINT, 94)
        with pytest.raises(OptionError, match="is later than the verification"):
            judged(suspect, beacon_time="2999-01-01")
        assert suspect.batches == []

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"score": Score.LLR, "weights": np.zeros((2, 100))}, "the score llr decides"),
            ({"parametric": True}, "a parametric p-value decides"),
        ],
    )
    def test_another_score_cannot_stop_early(self, changes: dict[str, Any], what: str) -> None:
        with pytest.raises(OptionError, match=f"in this calibration {what}, which takes all answers"):
            judged(matching(FINGERPRINT, 94), dataclasses.replace(CALIBRATION, **changes))

    def test_ranks_of_recipes_have_no_path(self) -> None:
        with pytest.raises(OptionError, match="counts all models of one recipe as one"):
            judged(matching(FINGERPRINT, 94), dataclasses.replace(CALIBRATION, unit=Unit.RECIPE))

    def test_in_the_place_of_the_adjusted_score_caeacc_decides(self) -> None:
        verdict = judged(matching(FINGERPRINT, 94), dataclasses.replace(CALIBRATION, score=Score.ADJUSTED))
        assert verdict.decision.verdict == "surrogate"
        assert verdict.decision.score == Score.CAEACC
        assert any(warning.startswith("in sequential mode CAEAcc decides") for warning in verdict.warnings)

    def test_uncalibrated_there_are_no_paths(self) -> None:
        with pytest.raises(OptionError, match="need calibrated references"):
            judged(matching(FINGERPRINT, 94), None)

    def test_where_nothing_can_be_decided_nothing_is_asked(self) -> None:
        suspect, few = matching(FINGERPRINT, 94), toy_calibration(FINGERPRINT, REFERENCES[:18], SURROGATES[:18])
        with pytest.raises(OptionError, match="at least 19 references, and there are 18"):
            judged(suspect, few)
        assert suspect.batches == []

    def test_where_one_side_can_it_says_so(self) -> None:
        verdict = judged(matching(FINGERPRINT, 94), toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:9]))
        said = "in sequential mode no answers can lead to the verdict independent: it takes at least 19 surrogates"
        assert any(warning.startswith(said) for warning in verdict.warnings)


class TestProbes:
    def test_as_many_as_the_benign_check_takes(self) -> None:
        sure, unsure = judged(matching(FINGERPRINT, 94)), judged(matching(FINGERPRINT, 94, wrong_probes=24))
        assert asked(sure, BENIGN) == LEAST_BENIGN
        assert LEAST_BENIGN < asked(unsure, BENIGN) <= 50
        assert any("was measured on only 10 benign images" in warning for warning in sure.warnings)

    def test_a_suspect_that_is_asked_wrongly_is_noticed(self) -> None:
        verdict = judged(matching(FINGERPRINT, 94, wrong_probes=60))
        assert verdict.decision.verdict == "inconclusive"
        assert asked(verdict, BENIGN) == LEAST_BENIGN
        assert "benign images" in verdict.decision.reason

    def test_one_class_always(self) -> None:
        answers = table(FINGERPRINT, np.full(100, 3), np.full(60, 3))
        assert "the same class, 3, to all" in judged(Scripted(answers)).decision.reason

    def test_repeats_stay_in_proportion(self) -> None:
        verdict = judged(matching(FINGERPRINT, 94))
        questions = verdict.examination.transcript.questions
        once = sum(not question.repeat for question in questions)
        assert len(questions) - once == -(-once * 5 // 100)


class TestAgain:
    def test_each_verification_before_doubles_p(self, tmp_path: Path) -> None:
        many = toy_calibration(FINGERPRINT, [10 + i % 19 for i in range(79)], [80 + i % 20 for i in range(79)])
        subject, ledger = paired(FINGERPRINT, many), tmp_path / "ledger.jsonl"
        found = [
            verify_remembered(
                matching(FINGERPRINT, 94),
                subject,
                ledger=ledger,
                named=Suspect(name="x.onnx", sha256="ab"),
                options=VerificationOptions(sequential=True, beacon=f"{i:064x}", beacon_time="2026-05-01"),
            )
            for i in range(3)
        ]
        told = [verdict.repeated.factor if verdict.repeated else 1 for verdict in found]
        assert told == [1, 2, 4]
        for verdict, factor in zip(found, told, strict=True):
            assert verdict.decision.verdict == "surrogate"
            assert verdict.path is not None
            assert verdict.decision.p_value == factor * verdict.path.high.p_value <= 0.05
        first = json.loads(ledger.read_text().splitlines()[0])
        assert first["beacon"] == "0" * 64
        assert first["beacon_time"] == "2026-05-01"

    def test_where_they_are_too_many_it_is_refused_and_says_so(self) -> None:
        suspect = matching(FINGERPRINT, 94)
        with pytest.raises(OptionError, match=r"at least 39 references.* Earlier verifications of this suspect have"):
            judged(suspect, verifications=2)
        assert suspect.batches == []

    def test_answers_that_showed_it_was_here_before(self) -> None:
        found = judged(matching(FINGERPRINT, 94), recognised=1).decision
        assert found.verdict == "inconclusive"
        assert "this is not enough after 1 earlier verification of the same model in another file" in found.reason


def test_the_interval_holds_where_only_the_best_examples_match() -> None:
    """They are asked first, so that a part that was asked is no sample of all."""
    order = np.argsort(-FINGERPRINT.conferrability, kind="stable")
    best = np.isin(np.arange(100), order[:40])
    suspect = Scripted(
        table(FINGERPRINT, np.where(best, FINGERPRINT.labels, FINGERPRINT.ground_truth), FINGERPRINT.probe_labels)
    )
    caeacc = judged(suspect).caeacc
    assert caeacc.matches == caeacc.asked < 40
    assert (caeacc.low, caeacc.high) == (caeacc.asked / 100, 1)


class TestReplay:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("beacon", "1af1" * 16),
            ("beacon", ""),
            ("beacon_time", "2999-01-01"),
            ("beacon_time", "noon"),
            ("sequential", False),
        ],
    )
    def test_another_beacon_is_not_that_of_the_record(self, name: str, value: object) -> None:
        told = json.loads(json.dumps(as_json(judged(matching(FINGERPRINT, 94)))))
        assert replay_verdict(told, paired(FINGERPRINT, CALIBRATION)).differences == ()
        told["options"][name] = value
        with pytest.raises(VerdictError):
            replay_verdict(told, paired(FINGERPRINT, CALIBRATION))

    def test_another_stop_is_not_that_of_the_record(self) -> None:
        told = json.loads(json.dumps(as_json(judged(matching(FINGERPRINT, 94)))))
        told["answers"] = told["answers"][:-1]
        with pytest.raises(VerdictError):
            replay_verdict(told, paired(FINGERPRINT, CALIBRATION))
