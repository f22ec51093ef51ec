"""A suspect ranked among sources: every source is asked alike, the declared null decides, the others only inform."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_cli.verdict_facts import verdict_facts
from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.files.records import as_json
from cae_core.fingerprint.kinds import CONTROL, EXAMPLE
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.verification.options import VerificationOptions
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import order_matters, plan_verification, verify
from tests.core.sources import answering, calibrated_by, toy_sources
from tests.core.suspects import NONCE, ask
from tests.core.toys import paired, toy_calibration, toy_fingerprint

SOURCES, TWO_WAY, REFERENCES = NullHypothesis.SOURCES, NullHypothesis.TWO_WAY, NullHypothesis.REFERENCES
BOTH = NullHypothesis.BOTH
NINETEEN = toy_sources(19)
FOUR = toy_sources(4)
NONE = np.zeros((0, 20))


def two_way_by_hand(table: list[list[float]]) -> float:
    """Another implementation, cell by cell."""
    grown = [[np.arcsin(rate**0.5) for rate in row] for row in table]
    rows, columns = len(grown), len(grown[0])
    of_row = [sum(row) / columns for row in grown]
    of_column = [sum(row[j] for row in grown) / rows for j in range(columns)]
    left = [[grown[i][j] - of_row[i] - of_column[j] for j in range(columns)] for i in range(rows)]
    as_high = [cell >= left[0][0] - 1e-12 for row in left for cell in row]
    return float(np.mean(as_high))


class TestBySources:
    def test_nineteen_controls_and_no_reference_accuse_at_5_percent(self) -> None:
        calibration = calibrated_by(NINETEEN, SOURCES, NONE)
        verdict = ask(answering(NINETEEN, [9, *[8] * 19]), NINETEEN, calibration=calibration)
        assert (verdict.decision.verdict, verdict.decision.p_value) == ("surrogate", 1 / 20)
        reached = (
            "is reached with 0 of 19 control sources in the source's place (p = 0.0500; the "
            "error rate is an average over sources)"
        )
        assert reached in verdict.decision.reason
        assert verdict.decision.threshold == pytest.approx(9 / 20)

    def test_a_tie_goes_against_the_accuser(self) -> None:
        calibration = calibrated_by(NINETEEN, SOURCES, NONE)
        verdict = ask(answering(NINETEEN, [9, *[8] * 18, 9]), NINETEEN, calibration=calibration)
        assert (verdict.decision.verdict, verdict.decision.p_value) == ("inconclusive", 2 / 20)

    def test_references_are_shown_and_decide_nothing(self) -> None:
        """Every reference matches the claimed source always, and none of them is asked about."""
        rates = np.hstack([np.ones((30, 1)), np.zeros((30, 19))])
        calibration = calibrated_by(NINETEEN, SOURCES, rates)
        verdict = ask(answering(NINETEEN, [9, *[8] * 19]), NINETEEN, calibration=calibration)
        assert verdict.decision.verdict == "surrogate"
        found = as_json(verdict)["findings"]["controls"]
        assert (found["p_sources"], found["p_references"]) == (1 / 20, 1.0)

    def test_copies_that_score_higher_do_not_keep_from_accusing(self) -> None:
        """The suspect may be of any kind, so that it is none that the references lack."""
        calibration = calibrated_by(NINETEEN, SOURCES, NONE, surrogates=[18] * 19)
        assert (
            ask(answering(NINETEEN, [9, *[8] * 19]), NINETEEN, calibration=calibration).decision.verdict == "surrogate"
        )

    def test_the_independent_side_is_by_surrogates(self) -> None:
        calibration = calibrated_by(NINETEEN, SOURCES, NONE, surrogates=[18] * 19)
        verdict = ask(answering(NINETEEN, [4, *[8] * 19]), NINETEEN, calibration=calibration)
        assert (verdict.decision.verdict, verdict.decision.p_value_surrogate) == ("independent", 1 / 20)

    def test_too_few_controls_are_told_of(self) -> None:
        calibration = calibrated_by(FOUR, SOURCES, np.zeros((0, 5)))
        verdict = ask(answering(FOUR, [20, 0, 0, 0, 0]), FOUR, calibration=calibration)
        assert verdict.decision.verdict == "inconclusive"
        assert "4 control sources are too few for an error rate of 0.05" in verdict.decision.reason
        assert "at least 19 control sources" in verdict.decision.remedy


class TestTwoWay:
    random = np.random.default_rng(3)
    rates = np.round(random.uniform(0.1, 0.5, (19, 5)) * 20) / 20

    @pytest.mark.parametrize("counts", [[12, 3, 4, 5, 6], [9, 9, 9, 9, 9], [14, 10, 2, 3, 12]])
    def test_it_is_the_rank_of_the_residual(self, counts: list[int]) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, self.rates)
        verdict = ask(answering(FOUR, counts), FOUR, calibration=calibration)
        own = [[count / 20 for count in counts], *self.rates.tolist()]
        assert verdict.decision.p_value == pytest.approx(two_way_by_hand(own))
        assert (two_way_by_hand(own) <= 0.05) == (verdict.decision.verdict == "surrogate")

    def test_nineteen_and_four_support_1_percent(self) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, self.rates, fpr=0.01)
        verdict = ask(answering(FOUR, [20, 1, 1, 1, 1]), FOUR, calibration=calibration)
        assert (verdict.decision.verdict, verdict.decision.p_value) == ("surrogate", 1 / 100)
        assert (
            "is reached by 0 of 99 other pairs of a model and a source, once the average of each model and of each "
            "source is subtracted (p = 0.0100; the error rate is an average over sources)"
        ) in verdict.decision.reason

    def test_a_pair_that_stands_out_below_every_copy_fits_neither_kind(self) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, self.rates, fpr=0.01, surrogates=[19] * 19)
        decision = ask(answering(FOUR, [18, 1, 1, 1, 1]), FOUR, calibration=calibration).decision
        assert decision.verdict == "inconclusive"
        assert decision.reason == (
            "CAEAcc 0.90 is high (0 of 99 other pairs of a model and a source stand as high) and below all 19 known "
            "copies, so the suspect fits neither kind (p = 0.0100 for an independent model and 0.0500 for a copy)"
        )

    def test_too_few_pairs_are_told_of(self) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, self.rates, fpr=0.002)
        decision = ask(answering(FOUR, [20, 1, 1, 1, 1]), FOUR, calibration=calibration).decision
        assert decision.verdict == "inconclusive"
        assert "; 99 other pairs of a model and a source are too few for an error rate of 0.002 and " in decision.reason
        assert decision.remedy.startswith(
            "Generate and calibrate with at least 499 other pairs of a model and a source and at least 19 surrogates"
        )

    def test_the_threshold_is_the_least_that_accuses(self) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, self.rates)
        for counts in ([12, 3, 4, 5, 6], [5, 4, 4, 4, 4]):
            threshold = ask(answering(FOUR, counts), FOUR, calibration=calibration).decision.threshold
            assert threshold is not None
            least = round(threshold * 20)
            for own, outcome in ((least, True), (least - 1, False)):
                verdict = ask(answering(FOUR, [own, *counts[1:]]), FOUR, calibration=calibration)
                assert (verdict.decision.p_value or 1) <= 0.05 or not outcome
                assert (verdict.decision.verdict == "surrogate") == outcome

    def test_of_references_of_several_exposures_the_largest_p_counts(self) -> None:
        """The last nine match the claimed source far more often than any other, so that no residual stands out."""
        rates = self.rates.copy()
        rates[10:, 0] = 0.95
        counts = [12, 3, 4, 5, 6]
        calibration = calibrated_by(FOUR, TWO_WAY, rates, exposure=ExposureRule.LARGEST)
        models = [
            dataclasses.replace(model, exposure=Exposure.ALL if row < 10 else Exposure.NONE)
            for row, model in enumerate(calibration.references.models)
        ]
        references = dataclasses.replace(calibration.references, models=tuple(models))
        calibration = dataclasses.replace(calibration, references=references)
        own = [count / 20 for count in counts]
        by_group = [two_way_by_hand([own, *rates[rows].tolist()]) for rows in (slice(0, 10), slice(10, 19))]
        assert by_group[0] < by_group[1]
        verdict = ask(answering(FOUR, counts), FOUR, calibration=calibration)
        assert verdict.decision.p_value == pytest.approx(by_group[1])


class TestBoth:
    """The larger of the rank among references and the rank among sources."""

    @staticmethod
    def verdict(counts: list[int], references: list[int], **changes: Any) -> Verdict:  # noqa: ANN401
        """Return the verdict on a suspect beside references that match the claimed source so often, and no control."""
        rates = np.zeros((len(references), 20))
        rates[:, 0] = np.array(references) / 20
        calibration = calibrated_by(NINETEEN, BOTH, rates, **changes)
        return ask(answering(NINETEEN, counts), NINETEEN, calibration=calibration)

    @pytest.mark.parametrize(
        ("controls_as_often", "references_as_high", "told"),
        [
            (
                0,
                0,
                (
                    "reached by 0 of 19 independent models and with 0 of 19 control sources in the "
                    "source's place (p = 0.0500"
                ),
            ),
            (
                3,
                0,
                (
                    "reached with 3 of 19 control sources in the source's place, whose p is the "
                    "larger and counts, and by 0 of 19 independent models (p = "
                ),
            ),
            (
                0,
                2,
                (
                    "reached by 2 of 19 independent models, whose p is the larger and counts, and "
                    "with 0 of 19 control sources in the source's place (p = "
                ),
            ),
            (
                1,
                2,
                (
                    "reached by 2 of 19 independent models, whose p is the larger and counts, and "
                    "with 1 of 19 control sources in the source's place (p = "
                ),
            ),
        ],
    )
    def test_the_larger_p_decides_and_is_named(
        self, controls_as_often: int, references_as_high: int, told: str
    ) -> None:
        counts = [9, *[9] * controls_as_often, *[8] * (19 - controls_as_often)]
        references = [9] * references_as_high + [8] * (19 - references_as_high)
        by_hand = max(1 + controls_as_often, 1 + references_as_high) / 20
        decision = self.verdict(counts, references, fpr=0.2).decision
        assert decision.verdict == "surrogate"
        assert decision.p_value == pytest.approx(by_hand)
        assert told in decision.reason
        assert "average over sources" in decision.reason
        assert (self.verdict(counts, references).decision.verdict == "surrogate") == (by_hand <= 0.05)

    def test_the_threshold_is_the_larger_one_and_none_where_one_is_none(self) -> None:
        assert self.verdict([9, *[8] * 19], [4] * 19).decision.threshold == pytest.approx(9 / 20)
        assert self.verdict([9, *[4] * 19], [8] * 19).decision.threshold == pytest.approx(9 / 20)
        assert self.verdict([9, *[8] * 19], [20] * 19).decision.threshold is None
        assert self.verdict([9, *[20] * 19], [8] * 19).decision.threshold is None

    def test_too_few_of_either_are_told_of(self) -> None:
        few = self.verdict([20, *[0] * 19], [0] * 6).decision
        assert "6 references are too few for an error rate of 0.05" in few.reason
        assert "control sources are too few" not in few.reason
        rates = np.zeros((19, 5))
        few = ask(answering(FOUR, [20, 0, 0, 0, 0]), FOUR, calibration=calibrated_by(FOUR, BOTH, rates)).decision
        assert "4 control sources are too few for an error rate of 0.05" in few.reason
        assert "at least 19 control sources" in few.remedy

    def test_a_group_of_references_is_named_and_sources_have_none(self) -> None:
        calibration = calibrated_by(FOUR, BOTH, np.zeros((8, 5)), exposure=ExposureRule.LARGEST)
        models = [
            dataclasses.replace(model, exposure=Exposure.ALL if row < 5 else Exposure.NONE)
            for row, model in enumerate(calibration.references.models)
        ]
        references = dataclasses.replace(calibration.references, models=tuple(models))
        calibration = dataclasses.replace(calibration, references=references)
        reason = ask(answering(FOUR, [20, 0, 0, 0, 0]), FOUR, calibration=calibration).decision.reason
        assert "; 3 references trained on none of its images are too few for an error rate of 0.05" in reason
        assert " and 4 control sources are too few for an error rate of 0.05" in reason

    def test_no_kind_is_missing_among_sources_but_an_accuracy_is_among_references(self) -> None:
        """It lies below every known copy and above every reference; and then it is right about nothing they are."""
        counts = [9, *[8] * 19]
        assert self.verdict(counts, [4] * 19, surrogates=[18] * 19).decision.verdict == "surrogate"
        rates = np.zeros((19, 20))
        calibration = calibrated_by(NINETEEN, BOTH, rates)
        wrong = np.zeros_like(calibration.references.right)
        references = dataclasses.replace(calibration.references, right=wrong)
        calibration = dataclasses.replace(calibration, references=references)
        decision = ask(answering(NINETEEN, counts), NINETEEN, calibration=calibration).decision
        assert (decision.verdict, decision.extrapolated) == ("inconclusive", True)

    def test_of_references_of_several_exposures_the_largest_p_counts(self) -> None:
        rates = np.zeros((38, 20))
        rates[19:, 0] = 0.4
        calibration = calibrated_by(NINETEEN, BOTH, rates, exposure=ExposureRule.LARGEST)
        models = [
            dataclasses.replace(model, exposure=Exposure.ALL if row < 19 else Exposure.NONE)
            for row, model in enumerate(calibration.references.models)
        ]
        calibration = dataclasses.replace(
            calibration, references=dataclasses.replace(calibration.references, models=tuple(models))
        )
        verdict = ask(answering(NINETEEN, [8, *[7] * 19]), NINETEEN, calibration=calibration)
        assert verdict.decision.p_value == 1.0
        assert as_json(verdict)["findings"]["controls"]["p_references"] == 1.0
        verdict = ask(answering(NINETEEN, [9, *[8] * 19]), NINETEEN, calibration=calibration)
        assert (verdict.decision.verdict, verdict.decision.p_value) == ("surrogate", 1 / 20)

    @pytest.mark.parametrize("null", [TWO_WAY, BOTH])
    def test_a_file_keeps_them_with_references_of_several_exposures(self, null: NullHypothesis, tmp_path: Path) -> None:
        calibration = calibrated_by(FOUR, null, np.zeros((4, 5)), exposure=ExposureRule.LARGEST)
        save_calibration(calibration, FOUR, tmp_path / "f.safetensors")
        kept = load_calibrated(tmp_path / "f.safetensors").calibrated
        assert (kept.null, kept.exposure) == (null, ExposureRule.LARGEST)
        assumed = dataclasses.replace(calibration, exposure=ExposureRule.PARTLY)
        save_calibration(assumed, FOUR, tmp_path / "f.safetensors")
        with pytest.raises(FingerprintError, match="references are taken as they are"):
            load_calibrated(tmp_path / "f.safetensors")

    def test_it_is_told_which_rank_decides(self) -> None:
        for references, found in (([8] * 19, "the same p"), ([9] * 19, "this decides, as the larger of two p-values")):
            facts = {fact.name: fact.value for fact in verdict_facts(self.verdict([9, *[8] * 19], references))}
            assert found in facts["by references"]
        assert "the smaller of two p-values" in facts["by sources"]
        assert "decides nothing" in facts["by two-way"]
        assert "of the two p-values the larger counts" in facts["p assumes"]
        assert "the references and by rank among sources; the larger value counts" in facts["threshold"]

    @pytest.mark.parametrize("rates", [range(20), [3, 3, 4, 4, 4, 5, 9, *range(6, 19)]])
    def test_it_keeps_its_rate_where_either_hypothesis_holds(self, rates: Iterable[int]) -> None:
        """By enumeration of which one of those alike is the suspect, or the claimed source.

        The other hypothesis is as wrong as can be: the controls are never matched, or no reference matches the source.
        """
        values = list(rates)
        like = [self.verdict([values[i], *[0] * 19], values[:i] + values[i + 1 :]) for i in range(20)]
        odd = [self.verdict([values[i], *values[:i], *values[i + 1 :]], [0] * 19) for i in range(20)]
        for verdicts in (like, odd):
            found = sorted(verdict.decision.p_value or 0.0 for verdict in verdicts)
            assert all(p >= place / 20 - 1e-12 for place, p in enumerate(found, start=1))

    def test_a_thief_is_found_by_both(self) -> None:
        random = np.random.default_rng(11)
        for _ in range(10):
            verdict = self.verdict([16, *random.integers(8, 15, 19).tolist()], random.integers(0, 9, 19).tolist())
            assert verdict.decision.verdict == "surrogate"


class TestWhatIsAsked:
    def test_as_many_of_each_source_whatever_the_budget(self) -> None:
        calibration = calibrated_by(FOUR, SOURCES, np.zeros((0, 5)))
        subject = paired(FOUR, calibration)
        for budget, each in ((None, 20), (130, 14), (111, 11)):
            options = VerificationOptions(max_queries=budget)
            plan = plan_verification(subject, suspect_sha256="ab", options=options, nonce=NONCE)
            first = [question for question in plan.questions if not question.repeat]
            of_source = Counter(q.index // 20 for q in first if q.kind == CONTROL)
            assert of_source == dict.fromkeys(range(4), each)
            assert sum(q.kind == EXAMPLE for q in first) == each
            assert budget is None or len(plan.questions) <= budget
        with pytest.raises(OptionError, match="at least 105 queries"):
            plan_verification(subject, suspect_sha256="ab", options=VerificationOptions(max_queries=104))

    def test_a_budget_treats_all_sources_alike_whatever_the_kinds_of_the_claimed_ones_examples(self) -> None:
        """The file tells no kinds of the control sources' examples, so that no source has its best asked."""
        kinds = np.repeat([0, 2], 10).astype(np.uint8)
        mixed = dataclasses.replace(FOUR, seeds=FOUR.images, steps=np.zeros_like(FOUR.steps), example_kind=kinds)
        calibration = calibrated_by(mixed, SOURCES, np.zeros((0, 5)))
        asked: Counter[int] = Counter()
        for nonce in range(40):
            options = VerificationOptions(max_queries=111)
            plan = plan_verification(
                paired(mixed, calibration), suspect_sha256="ab", options=options, nonce=bytes([nonce])
            )
            asked.update(q.index for q in plan.questions if q.kind == EXAMPLE and not q.repeat)
        assert min(asked[place] for place in range(20)) > 10  # of 40, each in 22 by lot

    def test_they_stand_among_the_others_in_one_order(self) -> None:
        calibration = calibrated_by(FOUR, SOURCES, np.zeros((0, 5)))
        questions = plan_verification(paired(FOUR, calibration), suspect_sha256="ab", nonce=NONCE).questions
        places = [place for place, question in enumerate(questions) if question.kind == CONTROL]
        assert 0.4 < np.mean(places) / len(questions) < 0.6
        assert max(places) - min(places) > 0.9 * len(questions)

    def test_a_budget_is_ranked_by_what_was_asked(self) -> None:
        calibration = calibrated_by(NINETEEN, SOURCES, NONE)
        verdict = ask(
            answering(NINETEEN, [20, *[0] * 19]),
            NINETEEN,
            calibration=calibration,
            options=VerificationOptions(max_queries=350),
        )
        assert verdict.caeacc.asked < 20
        assert verdict.decision.p_value == 1 / 20

    def test_nothing_is_asked_where_references_decide(self) -> None:
        calibration = calibrated_by(FOUR, REFERENCES, np.zeros((19, 5)))
        plan = plan_verification(paired(FOUR, calibration), suspect_sha256="ab", nonce=NONCE)
        assert CONTROL.name not in plan.queries

    def test_sequential_is_refused_in_one_sentence(self) -> None:
        subject = paired(FOUR, calibrated_by(FOUR, SOURCES, np.zeros((0, 5))))
        with pytest.raises(OptionError, match="--sequential"):
            plan_verification(subject, suspect_sha256="ab", options=VerificationOptions(sequential=True))

    def test_an_order_matters_only_below_all_sources_questions(self) -> None:
        subject = paired(FOUR, calibrated_by(FOUR, SOURCES, np.zeros((0, 5))))
        everything = len(plan_verification(subject, suspect_sha256="ab").questions)
        assert not order_matters(subject, VerificationOptions(max_queries=everything))
        assert order_matters(subject, VerificationOptions(max_queries=everything - 1))


class TestWhatIsTold:
    def test_all_ranks_and_which_decides(self) -> None:
        calibration = calibrated_by(FOUR, TWO_WAY, TestTwoWay.rates)
        verdict = ask(answering(FOUR, [12, 3, 4, 5, 6]), FOUR, calibration=calibration)
        found = as_json(verdict)["findings"]["controls"]
        assert (found["null"], found["sources"], found["as_often"]) == ("two-way", 4, 0)
        assert found["rates"] == pytest.approx([0.6, 0.15, 0.2, 0.25, 0.3])
        assert found["p_sources"] == pytest.approx(1 / 5)
        assert found["p_references"] == pytest.approx((1 + (TestTwoWay.rates[:, 0] >= 0.6).sum()) / 20)
        facts = {fact.name: fact.value for fact in verdict_facts(verdict)}
        assert "this decides" in facts["by two-way"]
        assert "decides nothing" in facts["by sources"]
        assert "decides nothing" in facts["by references"]

    def test_files_without_controls_tell_nothing_of_them(self) -> None:
        plain = toy_fingerprint()
        verdict = ask(answering(plain, [12]), plain, calibration=toy_calibration(plain, range(10)))
        assert "controls" not in json.dumps(as_json(verdict))

    @pytest.mark.parametrize("null", [SOURCES, TWO_WAY, BOTH])
    def test_a_record_is_derived_again(self, null: NullHypothesis) -> None:
        calibration = calibrated_by(FOUR, null, TestTwoWay.rates)
        verdict = ask(answering(FOUR, [12, 3, 4, 5, 6]), FOUR, calibration=calibration)
        told = json.loads(json.dumps(as_json(verdict)))
        assert replay_verdict(told, paired(FOUR, calibration)).differences == ()
        place = next(
            i for i, question in enumerate(verdict.examination.transcript.questions) if question.kind == CONTROL
        )
        answer = told["answers"][place]
        own = FOUR.of(CONTROL).labels[answer["index"]]
        answer["label"] = int(own if answer["label"] != own else (own + 1) % 10)
        assert "findings" in replay_verdict(told, paired(FOUR, calibration)).differences

    def test_a_control_source_is_no_suspect(self) -> None:
        subject = paired(FOUR, calibrated_by(FOUR, SOURCES, np.zeros((0, 5))))
        suspect = answering(FOUR, [0, 20, 0, 0, 0])
        for name in ("control-0", "thief of control-0"):
            digest = f"digest of {name}" if name == "control-0" else "digest of a thief of control-0"
            with pytest.raises(PoolError, match="control source"):
                verify(suspect, subject, named=Suspect(name="x.onnx", sha256=digest), nonce=NONCE)


def test_no_accuracy_is_outside_where_references_do_not_decide() -> None:
    rates = np.full((19, 5), 0.3)
    for null, extrapolated in ((SOURCES, False), (TWO_WAY, True)):
        calibration = calibrated_by(FOUR, null, rates)
        wrong = np.zeros_like(calibration.references.right)
        calibration = dataclasses.replace(
            calibration, references=dataclasses.replace(calibration.references, right=wrong)
        )
        verdict = ask(answering(FOUR, [12, 3, 4, 5, 6]), FOUR, calibration=calibration)
        assert verdict.decision.extrapolated == extrapolated
