"""The sequential mode: few queries, the whole count's verdict, and halves of the rates."""

import dataclasses
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.record import Calibration
from cae_core.errors import OptionError
from cae_core.files.records import as_json
from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.questions import plan_questions, queries_for
from cae_core.statistics.e_process import SequentialTest, trace
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.score import Score
from cae_core.verification.evidence import _at_the_stop
from cae_core.verification.examination import Sides
from cae_core.verification.options import VerificationOptions
from cae_core.verification.sequential import SequentialRun, start_sequential
from cae_core.verification.verdict import Verdict
from tests.core.suspects import NONCE, Scripted, ask, matching, oracle, table
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=100, probes=60)
REFERENCES = [10 + i for i in range(39)]  # 10 .. 48: k0 = 48 at 5 %
SURROGATES = [70 + i % 30 for i in range(39)]  # 70 .. 99: k1 = 70
CALIBRATION = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)
SEQUENTIAL = VerificationOptions(sequential=True)


def nonces(count: int) -> list[bytes]:
    return [hashlib.sha256(i.to_bytes(2)).digest()[:16] for i in range(count)]


def judged(suspect: Scripted, calibration: Calibration | None = CALIBRATION, **options: Any) -> Verdict:  # noqa: ANN401 - of different types
    return ask(suspect, FINGERPRINT, calibration=calibration, options=VerificationOptions(sequential=True, **options))


class TestTheQuestion:
    @pytest.mark.parametrize("models", [38, 39, 40, 78, 79, 200])
    @pytest.mark.parametrize("seed", range(3))
    def test_k0_and_k1_are_where_the_ranks_reach_half_of_each_rate(self, models: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        counts = random.integers(5, 60, models).astype(np.float64)
        surrogates = random.integers(40, 95, models).astype(np.float64)
        calibration = toy_calibration(FINGERPRINT, list(map(int, counts)), list(map(int, surrogates)))
        test = start_sequential(paired(FINGERPRINT, calibration)).test
        assert (test.fpr, test.fnr, test.examples) == (0.025, 0.025, 100)
        for total in range(101):
            assert (rank_p_value(counts, total) <= 0.025) == (total > test.k0)
            below = test.k1 is not None and total < test.k1
            assert (rank_p_value(-surrogates, -total) <= 0.025) == below

    def test_counts_are_those_of_the_chosen_examples(self) -> None:
        chosen = np.arange(100) % 2 == 0
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES, chosen=chosen)
        run = start_sequential(paired(FINGERPRINT, calibration))
        assert run.test.examples == 50
        assert run.test.k0 == calibration.references.matches(FINGERPRINT)[:, chosen].sum(axis=1).max()
        assert run.test.k1 == calibration.surrogates.matches(FINGERPRINT)[:, chosen].sum(axis=1).min()

    @pytest.mark.parametrize("n", [1, 3, 4, 10, 20, 77, 100, 101])
    def test_uncalibrated_it_is_the_literatures_threshold(self, n: int) -> None:
        fingerprint = toy_fingerprint(n=n)
        run = start_sequential(paired(fingerprint))
        assert run.test.k0 == math.ceil(0.75 * n) - 1
        assert [count / n >= 0.75 for count in range(n + 1)] == [count > run.test.k0 for count in range(n + 1)]
        assert run.test.k1 == run.test.k0 + 1
        assert run.rates is None
        assert ask(Scripted(oracle(fingerprint)), fingerprint, options=SEQUENTIAL).decision.origin == "literature"

    @pytest.mark.parametrize(
        ("changes", "what"),
        [
            ({"score": Score.LLR, "weights": np.zeros((2, 100))}, "the likelihood-ratio score decides"),
            ({"parametric": True}, "a parametric p-value decides"),
        ],
    )
    def test_where_something_else_decides_it_is_refused(self, changes: dict[str, Any], what: str) -> None:
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES, **changes)
        with pytest.raises(OptionError, match=f"counts matches, and {what}.*leave --sequential out"):
            judged(matching(FINGERPRINT, 90), calibration)
        assert ask(matching(FINGERPRINT, 90), FINGERPRINT, calibration=calibration).sequential is None


class TestVerdicts:
    @pytest.mark.parametrize(("matches", "outcome"), [(95, "surrogate"), (30, "independent")])
    def test_it_stops_early_and_asks_every_benign_probe(self, matches: int, outcome: str) -> None:
        suspect = matching(FINGERPRINT, matches)
        verdict = judged(suspect)
        assert (verdict.decision.verdict, verdict.decision.origin) == (outcome, "rank")
        assert verdict.caeacc.asked < 40
        once = [answer.question for answer in verdict.answers if not answer.question.repeat]
        assert sum(question.kind == BENIGN for question in once) == 50
        assert sum(question.kind == EXAMPLE for question in once) == verdict.caeacc.asked
        assert sum(verdict.queries.values()) == len(verdict.answers) == sum(suspect.batches)
        assert verdict.queries["fingerprint"] == sum(a.question.kind == EXAMPLE for a in verdict.answers)

    def test_nothing_is_asked_after_the_decision_but_probes_and_repeats(self) -> None:
        verdict = judged(matching(FINGERPRINT, 95))
        plan = plan_questions(FINGERPRINT, suspect_sha256="ab", nonce=NONCE, all_probes=False)
        asked = [answer.question for answer in verdict.answers]
        decided = max(i for i, q in enumerate(asked) if q.kind == EXAMPLE and not q.repeat)
        assert asked[: decided + 1] == list(plan[: decided + 1])
        seen = {q.index for q in asked[: decided + 1] if q.kind == EXAMPLE}
        assert asked[decided + 1 :] == [q for q in plan[decided + 1 :] if q.kind == BENIGN or q.index in seen]
        assert verdict.sequential is not None
        assert len(verdict.sequential.trace) == verdict.caeacc.asked

    def test_one_image_at_a_time_until_it_is_decided(self) -> None:
        suspect, told = matching(FINGERPRINT, 95), list[tuple[int, int]]()
        verdict = ask(
            suspect, FINGERPRINT, calibration=CALIBRATION, options=SEQUENTIAL, progress=lambda *done: told.append(done)
        )
        rest = max(suspect.batches)
        assert rest > 10 > sum(suspect.batches[suspect.batches.index(rest) + 1 :])
        assert set(suspect.batches[: suspect.batches.index(rest)]) == {1}
        assert [done for done, _ in told] == np.cumsum(suspect.batches).tolist()
        plan = plan_questions(FINGERPRINT, suspect_sha256="ab", nonce=NONCE, all_probes=False)
        assert {total for _, total in told} == {len(plan)}
        assert told[-1][0] == len(verdict.answers)

    def test_the_evidence_is_that_of_the_sequential_test(self) -> None:
        verdict = judged(matching(FINGERPRINT, 95))
        evidence = verdict.sequential
        assert evidence is not None
        assert (evidence.k0, evidence.k1, evidence.examples) == (48, 70, 100)
        assert (evidence.level_surrogate, evidence.level_independent) == (0.025, 0.025)
        given = [
            bool(a.label == FINGERPRINT.labels[a.question.index])
            for a in verdict.answers
            if a.question.kind == EXAMPLE and not a.question.repeat
        ]
        test = SequentialTest(examples=100, k0=48, k1=70, fpr=0.025, fnr=0.025)
        states = trace(test, given)
        assert [row[:2] for row in evidence.trace] == [(state.asked, state.matches) for state in states]
        assert [row[2:] for row in evidence.trace] == [(s.log_e_surrogate, s.log_e_independent) for s in states]
        assert [state.outcome for state in states[:-1]] == [None] * (len(states) - 1)
        assert states[-1].outcome == evidence.outcome == "surrogate"
        assert (verdict.caeacc.low, verdict.caeacc.high) == evidence.interval
        assert evidence.interval[0] <= 0.95 <= evidence.interval[1]

    def test_the_reason_states_both_halves_of_the_rate(self) -> None:
        reason = judged(matching(FINGERPRINT, 95)).decision.reason
        assert (
            "more than 48 of all 100 (error rates: 0.025 that an independent model exceeds that count, by 39 "
            "references, "
            "and 0.025 that the order of the questions deceives)"
        ) in reason
        low = judged(matching(FINGERPRINT, 30)).decision.reason
        assert "fewer than 70 of all 100" in low
        assert "does not prove independence" in low

    def test_uncalibrated_it_is_labelled_so(self) -> None:
        high, low = (judged(matching(FINGERPRINT, matches), None).decision for matches in (96, 30))
        assert (high.verdict, high.origin, high.threshold) == ("surrogate", "literature", 0.75)
        assert "the literature's threshold, whose error rate is unknown" in high.reason
        assert (high.p_value, high.p_value_surrogate) == (None, None)
        assert low.verdict == "independent"

    def test_uncalibrated_it_is_weak_where_the_interval_reaches_below(self) -> None:
        """A confidence sequence is two-sided: it may reach below a count that the test has refuted."""
        found = {
            (verdict.decision.weak, verdict.caeacc.low < 0.75)
            for nonce in nonces(40)
            if (verdict := ask(matching(FINGERPRINT, 86), FINGERPRINT, options=SEQUENTIAL, nonce=nonce))
            and verdict.decision.verdict == "surrogate"
        }
        assert found <= {(True, True), (False, False)}
        assert (True, True) in found
        small = toy_fingerprint(n=4)  # here three matches settle it
        assert not ask(Scripted(oracle(small)), small, options=SEQUENTIAL).decision.weak

    def test_calibrated_it_is_never_weak(self) -> None:
        """There its error rate is known."""
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES, fpr=0.1)
        verdict = judged(matching(FINGERPRINT, 95), calibration)
        assert verdict.decision.verdict == "surrogate"
        assert verdict.caeacc.low < (verdict.decision.threshold or 0)
        assert not verdict.decision.weak

    @pytest.mark.parametrize(("matches", "wrong"), [(95, 60), (30, 60)])
    def test_the_benign_check_limits_it(self, matches: int, wrong: int) -> None:
        decision = judged(matching(FINGERPRINT, matches, wrong_probes=wrong)).decision
        assert decision.verdict == "inconclusive"
        assert "right on 0% of 50 benign images" in decision.reason

    def test_extrapolation_limits_it(self) -> None:
        suspect = matching(FINGERPRINT, 95, wrong_probes=20)
        decision = judged(suspect).decision
        assert (decision.verdict, decision.extrapolated) == ("inconclusive", True)
        assert judged(suspect, allow_extrapolation=True).decision.verdict == "surrogate"

    def test_its_json_has_no_infinity(self) -> None:
        answers = table(FINGERPRINT, np.where(np.arange(100) < 49, FINGERPRINT.labels, 0), FINGERPRINT.probe_labels)
        for suspect in (Scripted(oracle(FINGERPRINT)), Scripted(answers), matching(FINGERPRINT, 0)):
            told = json.loads(json.dumps(as_json(judged(suspect)), allow_nan=False))
            assert told["sequential"]["trace"][0]["asked"] == 1
            assert told["interval"] == told["sequential"]["interval"]


class TestWhatCannotBeDecided:
    def test_too_few_references_for_half_of_the_rate_block_their_own_side(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES[:38], SURROGATES)
        high = judged(matching(FINGERPRINT, 95), few)
        assert (high.decision.verdict, high.decision.threshold) == ("inconclusive", None)
        assert high.decision.p_value == 1.0
        assert high.caeacc.asked == 100
        assert (
            high.decision.remedy == "Calibrate with at least 39 references: the sequential mode halves the error rates."
        )
        assert judged(matching(FINGERPRINT, 30), few).decision.verdict == "independent"

    def test_too_few_surrogates_block_their_own_side(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:38])
        low = judged(matching(FINGERPRINT, 30), few)
        assert (low.decision.verdict, low.decision.p_value_surrogate) == ("inconclusive", 1.0)
        assert low.sequential is not None
        assert low.sequential.k1 is None
        assert (
            low.decision.remedy == "Calibrate with at least 39 surrogates: the sequential mode halves the error rates."
        )
        assert judged(matching(FINGERPRINT, 95), few).decision.verdict == "surrogate"

    @pytest.mark.parametrize(
        ("references", "surrogates", "options", "words"),
        [
            ([3], [], {}, ("39 references, and there are 1.", "39 surrogates, and there are 0.")),
            (
                REFERENCES[:38],
                SURROGATES[:38],
                {},
                ("39 references, and there are 38", "39 surrogates, and there are 38"),
            ),
            ([100] * 39, [0] * 39, {}, ("too many match all 100 examples", "too many match none of the examples")),
            ([95] * 39, SURROGATES[:5], {}, ("surrogate takes", "39 surrogates, and there are 5")),
            ([95] * 39, [5] * 39, {}, ("surrogate takes", "a budget of 114 queries", "this budget allows 12")),
        ],
    )
    def test_where_nothing_can_be_decided_nothing_is_asked(
        self, references: list[int], surrogates: list[int], options: dict[str, Any], words: tuple[str, ...]
    ) -> None:
        suspect = matching(FINGERPRINT, 95)
        budget = {"max_queries": 66} if references[0] == 95 else {}
        with pytest.raises(OptionError, match="can decide nothing here") as caught:
            judged(suspect, toy_calibration(FINGERPRINT, references, surrogates), **budget, **options)
        assert suspect.batches == []
        for word in words:
            assert word in str(caught.value)

    def test_a_budget_that_no_answers_can_be_enough_for(self) -> None:
        """All matches cannot show more than 95 of 100 in so few answers; one budget more and they can."""
        run = start_sequential(paired(FINGERPRINT, toy_calibration(FINGERPRINT, [95] * 39, [5] * 39)))
        fewest = run.test.fewest_answers()
        assert fewest[0] == fewest[1]
        assert fewest[0] is not None
        enough = queries_for(FINGERPRINT, fewest[0])
        for budget, decided in ((enough - 1, False), (enough, True)):
            suspect = Scripted(oracle(FINGERPRINT))
            calibration = toy_calibration(FINGERPRINT, [95] * 39, [5] * 39)
            if decided:
                assert judged(suspect, calibration, max_queries=budget).sequential is not None
                continue
            with pytest.raises(OptionError, match=f"a budget of {enough} queries"):
                judged(suspect, calibration, max_queries=budget)

    @pytest.mark.parametrize(("blocked", "side"), [("surrogate", 0), ("independent", 1)])
    def test_one_side_out_of_reach_is_said(self, blocked: str, side: int) -> None:
        groups = [REFERENCES, SURROGATES]
        groups[side] = groups[side][:38]
        (warning,) = judged(matching(FINGERPRINT, 50), toy_calibration(FINGERPRINT, *groups)).warnings
        relation = ("references", "surrogates")[side]
        assert warning == (
            f"in sequential mode no answers can lead to the verdict {blocked}: it takes at least 39 {relation}, and "
            "there are 38"
        )
        assert judged(matching(FINGERPRINT, 50)).warnings == ()

    def test_counts_that_fit_both_kinds(self) -> None:
        overlapping = toy_calibration(FINGERPRINT, [*REFERENCES[1:], 80], SURROGATES)
        verdict = judged(matching(FINGERPRINT, 75), overlapping)
        assert verdict.decision.verdict == "inconclusive"
        assert verdict.caeacc.asked == 100
        assert verdict.caeacc.low == verdict.caeacc.high == 0.75
        assert verdict.decision.remedy == "Make a fingerprint with larger pools."

    def test_a_budget_that_ends_too_early(self) -> None:
        verdict = judged(matching(FINGERPRINT, 52), max_queries=68)
        assert verdict.decision.verdict == "inconclusive"
        assert 10 <= verdict.caeacc.asked < 20
        assert verdict.decision.remedy == "Raise --max-queries."
        assert verdict.sequential is not None
        assert verdict.sequential.examples == 100
        assert verdict.caeacc.high - verdict.caeacc.low > 0.3
        assert judged(matching(FINGERPRINT, 52)).decision.verdict != "inconclusive"

    def test_a_budget_and_too_few_models(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES[:38], SURROGATES)
        remedy = judged(matching(FINGERPRINT, 95), few, max_queries=68).decision.remedy
        assert remedy.startswith("Raise --max-queries. Calibrate with at least 39 references")

    def test_above_the_references_and_below_every_copy(self) -> None:
        """Far from both kinds: where it stops, the interval excludes all known copies, too few as they are for k1."""
        calibration = toy_calibration(FINGERPRINT, [i % 20 for i in range(39)], [95 + i % 5 for i in range(9)])
        verdict = judged(matching(FINGERPRINT, 45), calibration)
        assert verdict.sequential is not None
        assert (verdict.sequential.outcome, verdict.decision.verdict) == ("surrogate", "inconclusive")
        assert "fewer than any of the 9 known copies," in verdict.decision.reason
        assert verdict.decision.sides == Sides(
            references=39, as_high=0, surrogates=9, as_low=0, exact=False, neither=True
        )
        assert verdict.decision.sides is not None
        assert "may score as low" in verdict.decision.sides.words
        high = judged(matching(FINGERPRINT, 97), calibration)
        assert high.decision.verdict == "surrogate"
        assert high.decision.sides is not None
        assert high.decision.sides.as_low == 9  # it stopped where all may still match


def final(
    run: SequentialRun, fingerprint: Fingerprint, matches: np.ndarray[Any, np.dtype[np.bool_]], nonce: bytes
) -> SequentialRun:
    """Observe the answers in the order of ``nonce`` until the run has decided."""
    labels = np.where(matches, fingerprint.labels, fingerprint.ground_truth)
    for question in plan_questions(fingerprint, suspect_sha256="ab", nonce=nonce):
        if run.state.outcome is None and question.kind == EXAMPLE:
            run.observe([question], labels[[question.index]])
    return run


class TestErrorRates:
    def test_a_budget_draws_natural_errors_at_random(self) -> None:
        """Asked the best ones only, a suspect that matches these and no others would be taken to match everywhere."""
        natural = dataclasses.replace(
            FINGERPRINT,
            images=FINGERPRINT.seeds,
            steps=np.zeros_like(FINGERPRINT.steps),
            example_kind=np.full(100, NATURAL_ERROR.code, np.uint8),
        )
        calibration = toy_calibration(natural, [25 + i % 11 for i in range(39)], [90] * 39)
        first = np.where(np.arange(100) < 30, natural.labels, natural.ground_truth)  # as many as references match
        suspect = Scripted(table(natural, first, natural.probe_labels))
        options = VerificationOptions(sequential=True, max_queries=100)
        outcomes = [
            ask(suspect, natural, calibration=calibration, options=options, nonce=nonce).decision.verdict
            for nonce in nonces(40)
        ]
        assert "surrogate" not in outcomes

    def test_at_the_very_boundary_rounding_does_not_part_p_from_the_rate(self) -> None:
        """Two halves, one of them through a logarithm and back, can be a bit more than the whole."""
        rates = [i / 1000 for i in range(1, 999)]
        assert any(rate / 2 + math.exp(math.log(rate / 2)) > rate for rate in rates)
        for rate in rates:
            assert _at_the_stop(rate, -math.log(rate / 2)) <= rate

    @pytest.mark.parametrize("matches", [20, 30, 40, 45, 48, 49, 55, 69, 70, 75, 90, 100])
    def test_p_is_at_most_the_rate_exactly_where_the_suspect_is_accused(self, matches: int) -> None:
        verdicts = set()
        for nonce in nonces(12):
            decision = ask(
                matching(FINGERPRINT, matches), FINGERPRINT, calibration=CALIBRATION, options=SEQUENTIAL, nonce=nonce
            ).decision
            assert decision.p_value is not None
            assert decision.p_value_surrogate is not None
            assert (decision.p_value <= 0.05) == (decision.verdict == "surrogate")
            assert decision.p_value >= 0.025
            if decision.verdict == "independent":
                assert decision.p_value_surrogate <= 0.05
            verdicts.add(decision.verdict)
        assert verdicts <= {"surrogate", "independent"}

    @pytest.mark.parametrize("side", ["surrogate", "independent"])
    def test_over_many_orders_a_borderline_suspect_is_misjudged_no_oftener_than_half_the_rate_says(
        self, side: str
    ) -> None:
        """K = k0 is no evidence, and neither is K = k1; here each level is 10 %."""
        fingerprint = toy_fingerprint(n=40)
        calibration = toy_calibration(fingerprint, [20] * 9, [21] * 9, fpr=0.2, fnr=0.2)
        rounds, level = 300, 0.1
        matches = np.random.default_rng(8).permutation(40) < (20 if side == "surrogate" else 21)
        by = paired(fingerprint, calibration)
        outcomes = [final(start_sequential(by), fingerprint, matches, nonce).state.outcome for nonce in nonces(rounds)]
        wrong = outcomes.count("surrogate" if side == "surrogate" else "independent")
        assert None not in outcomes
        assert level / 4 < wrong / rounds < level + 3 * math.sqrt(level * (1 - level) / rounds)

    def test_the_interval_holds_over_many_orders(self) -> None:
        fingerprint = toy_fingerprint(n=40)
        matches = np.random.default_rng(9).permutation(40) < 29
        inside, by = 0, paired(fingerprint)
        for nonce in nonces(200):
            low, high = final(start_sequential(by), fingerprint, matches, nonce).evidence().interval
            inside += low <= 29 / 40 <= high
        assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200) < inside / 200
