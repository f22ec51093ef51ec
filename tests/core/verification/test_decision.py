"""The rule: three outcomes, each with its reason, and what limits them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.calibration.record import Calibration
from cae_core.statistics.parametric import beta_binomial_p_value
from cae_core.statistics.score import Score
from cae_core.verification.circumstances import Circumstances
from cae_core.verification.decision import Decision, Outcome, limited, reached_by
from cae_core.verification.evidence import Evidence
from cae_core.verification.examination import Sides
from cae_core.verification.options import VerificationOptions
from tests.core.suspects import circumstances, examined, ruled
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=100)
REFERENCES = [10 + i for i in range(19)]  # 10 .. 28 matches
SURROGATES = [70 + i for i in range(19)]  # 70 .. 88
FINE = Circumstances()

MULTIPLIED = {
    98: "CAEAcc 0.98 is reached by 0 of 39 independent models (p = 0.0500, which is 0.0250 multiplied for "
    "earlier verifications of this suspect), and 39 of 39 known copies score as low (p = 1.0000)",
    59: "CAEAcc 0.59 is above all 39 references and below all 39 known copies, so the suspect fits neither "
    "kind (p = 0.0500 for an independent model and 0.0500 for a copy)",
    10: "CAEAcc 0.10 is low: 0 of 39 known copies score as low (p = 0.0500, which is 0.0250 multiplied for earlier "
    "verifications of this suspect), and 39 of 39 independent models score as high (p = 1.0000); no evidence of "
    "derivation was found, which does not prove independence",
}
"""What is said of so many matches at a second verification; the references have 10 to 48, the copies 60 to 98."""


def judge(matches: int, calibration: Calibration, circumstances: Circumstances = FINE, *, asked: int = 100) -> Decision:
    return decided(np.arange(asked) < matches, calibration, circumstances)


def decided(
    matches: NDArray[np.bool_], calibration: Calibration | None, circumstances: Circumstances = FINE
) -> Decision:
    """Decide by the matches (a,) of the first a examples."""
    return ruled(examined(paired(FINGERPRINT, calibration), matches, circumstances=circumstances))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)


class TestTheThreeOutcomes:
    def test_surrogate(self, calibration: Calibration) -> None:
        decision = judge(75, calibration)
        assert (decision.verdict, decision.p_value, decision.origin) == ("surrogate", 1 / 20, "rank")
        assert decision.reason == (
            "CAEAcc 0.75 is reached by 0 of 19 independent models (p = 0.0500), and 6 of 19 known copies score as low "
            "(p = 0.3500)"
        )
        assert decision.sides == Sides(references=19, as_high=0, surrogates=19, as_low=6)
        assert decision.remedy == ""
        assert (decision.score, decision.value, decision.threshold) == ("caeacc", 0.75, 0.29)
        assert decision.p_value_surrogate == (1 + 6) / 20
        assert decision.extrapolated is False
        assert decision.weak is False

    def test_independent(self, calibration: Calibration) -> None:
        decision = judge(20, calibration)
        assert (decision.verdict, decision.p_value, decision.p_value_surrogate) == ("independent", 10 / 20, 1 / 20)
        assert decision.reason.startswith(
            "CAEAcc 0.20 is low: 0 of 19 known copies score as low (p = 0.0500), and 9 of 19 independent models "
            "score as "
            "high (p = 0.5000); "
        )
        assert "does not prove independence" in decision.reason
        assert decision.remedy == ""

    def test_inconclusive_between_the_two(self) -> None:
        overlapping = toy_calibration(FINGERPRINT, REFERENCES, [15, *SURROGATES])
        decision = judge(20, overlapping)
        assert (decision.verdict, decision.p_value, decision.p_value_surrogate) == ("inconclusive", 10 / 20, 2 / 21)
        assert (
            decision.reason == "CAEAcc 0.20 rules out neither an independent model (p = 0.500) nor a copy (p = 0.095)"
        )
        assert decision.remedy == "Make a fingerprint with larger pools, or with more examples."
        assert judge(10, overlapping, asked=50).remedy == "Ask more examples (raise --max-queries)."

    def test_the_boundaries_are_the_highest_reference_and_the_lowest_copy(self, calibration: Calibration) -> None:
        verdicts = [judge(matches, calibration).verdict for matches in range(101)]
        assert verdicts == ["independent"] * 29 + ["inconclusive"] * 41 + ["surrogate"] * 31

    def test_by_the_first_rule_references_alone_accuse(self, calibration: Calibration) -> None:
        first = dataclasses.replace(FINE, two_sided=False)
        verdicts = [judge(matches, calibration, first).verdict for matches in range(101)]
        assert verdicts == ["independent"] * 29 + ["surrogate"] * 72
        decision = judge(50, calibration, first)
        assert decision.reason == (
            "CAEAcc 0.50 is reached by 0 of 19 independent models (p = 0.0500), but it is also lower than known "
            "copies score (p = 0.0500)"
        )
        assert decision.sides is None
        above = judge(71, calibration, first)
        assert above.reason == "CAEAcc 0.71 is reached by 0 of 19 independent models (p = 0.0500)"
        assert judge(20, calibration, first).reason == (
            "CAEAcc 0.20 is low: 0 of 19 known copies score as low (p = 0.0500); no evidence of derivation was found, "
            "which does not prove independence"
        )

    def test_above_all_references_and_below_all_copies_is_neither(self) -> None:
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)
        decision = judge(69, calibration)
        assert (decision.verdict, decision.p_value) == ("inconclusive", 1 / 20)
        assert decision.p_value_surrogate == 1 / 20
        assert decision.reason == (
            "CAEAcc 0.69 is above all 19 references and below all 19 known copies, so the suspect fits neither "
            "kind (p = 0.0500 for an independent model and 0.0500 for a copy)"
        )
        assert "weaker copies" in decision.remedy
        assert judge(70, calibration).verdict == "surrogate"  # as low as a known copy is a copy

    @pytest.mark.parametrize("copies", [1, 2, 3, 9, 18])
    def test_of_few_copies_the_nearer_kind_counts(self, copies: int) -> None:
        """One more copy is below all s with a probability of up to 1 / (s + 1): few copies cannot say that it is none.

        The highest reference is at 28, the lowest copy at 70.
        """
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:copies])
        assert [judge(matches, calibration).verdict for matches in (48, 49, 50)] == ["inconclusive"] + ["surrogate"] * 2
        assert f"above all 19 references and below all {copies} known copies" in judge(48, calibration).reason

    def test_by_the_second_rule_a_single_copy_keeps_from_accusing(self) -> None:
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:1])
        assert judge(69, calibration).verdict == "surrogate"
        second = ruled(examined(paired(FINGERPRINT, calibration), np.arange(100) < 69, rule=2))
        assert second.verdict == "inconclusive"

    @given(
        references=st.lists(st.integers(0, 100), min_size=19, max_size=45),
        copies=st.lists(st.integers(0, 100), max_size=25),
        matches=st.integers(0, 100),
        parametric=st.booleans(),
    )
    @settings(max_examples=30)
    def test_whoever_is_accused_convicts_by_the_references_and_is_not_below_every_copy(
        self,
        references: list[int],
        copies: list[int],
        matches: int,
        parametric: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """And the second side takes accusations away only: it never adds one, and turns none into an acquittal."""
        calibration = toy_calibration(FINGERPRINT, references, copies, parametric=parametric)
        present, first = (judge(matches, calibration, Circumstances(two_sided=two)) for two in (True, False))
        low = not copies or min(copies) <= matches
        if not low and len(copies) < 19:
            low = matches - max(references) >= min(copies) - matches
        assert (present.verdict == "surrogate") == (first.verdict == "surrogate" and low)
        if first.verdict != "surrogate":
            assert present.verdict == first.verdict
        elif not low:
            assert (present.verdict, bool(present.remedy)) == ("inconclusive", True)
        assert (present.p_value, present.p_value_surrogate) == (first.p_value, first.p_value_surrogate)

    def test_where_some_references_score_as_high_they_are_counted(self) -> None:
        calibration = toy_calibration(FINGERPRINT, [*range(10, 47), 50, 60], SURROGATES, fpr=0.1)
        assert "is reached by 2 of 39 references and below all 19 known copies" in judge(50, calibration).reason

    def test_without_a_known_copy_the_references_decide(self) -> None:
        decision = judge(50, toy_calibration(FINGERPRINT, REFERENCES))
        assert decision.verdict == "surrogate"
        assert decision.reason == "CAEAcc 0.50 is reached by 0 of 19 independent models (p = 0.0500)"
        assert decision.sides is not None
        assert decision.sides.words == "0 of 19 independent models score as high"

    @pytest.mark.parametrize("matches", range(0, 101, 5))
    def test_a_calibrations_verdict_names_both_sides(self, calibration: Calibration, matches: int) -> None:
        sides = judge(matches, calibration).sides
        assert sides is not None
        high, low = sum(x >= matches for x in REFERENCES), sum(x <= matches for x in SURROGATES)
        some = ["scores" if count == 1 else "score" for count in (high, low)]
        assert sides.words == (
            f"{high} of 19 independent models {some[0]} as high, and {low} of 19 known copies {some[1]} as low"
        )

    def test_the_likelihood_ratio_decides_where_it_was_fixed(self) -> None:
        weights = np.stack([np.where(np.arange(100) < 5, 1.0, -0.01), np.zeros(100)])
        first = np.arange(100) < 5
        references = np.stack([np.roll(~first, i) & ~first for i in range(19)])
        weighed = toy_calibration(FINGERPRINT, references, np.stack([first] * 19), score=Score.LLR, weights=weights)
        decision = judge(5, weighed)
        assert (decision.verdict, decision.score) == ("surrogate", "llr")
        assert decision.reason.startswith("mean log-likelihood ratio 0.05 is reached by 0 of 19")
        assert decision.value == pytest.approx(0.05)


class TestRatesThatTheModelsCannotSupport:
    def test_too_few_references_block_their_own_side_only(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES[:18], SURROGATES)
        high, low = judge(90, few), judge(20, few)
        assert (high.verdict, high.threshold, high.p_value) == ("inconclusive", None, 1 / 19)
        assert high.reason == (
            "CAEAcc 0.90 rules out neither an independent model (p = 0.053) nor a copy (p = 1.000); 18 references are "
            "too few for an error rate of 0.05"
        )
        assert high.remedy == "Calibrate with at least 19 references (`cae calibrate --plan`)."
        assert low.verdict == "independent"

    def test_too_few_surrogates_block_their_own_side_only(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:3])
        assert judge(90, few).verdict == "surrogate"
        low = judge(20, few)
        assert low.verdict == "inconclusive"
        assert "3 surrogates are too few for an error rate of 0.05" in low.reason
        assert low.remedy == "Calibrate with at least 19 surrogates (`cae calibrate --plan`)."

    def test_both(self) -> None:
        decision = judge(50, toy_calibration(FINGERPRINT, [10], [], fpr=0.01))
        assert (
            "1 references are too few for an error rate of 0.01 and 0 surrogates are too few for an error rate of 0.05"
            in (decision.reason)
        )
        assert "at least 99 references and at least 19 surrogates (`cae calibrate --plan`)" in decision.remedy

    @pytest.mark.parametrize(("verifications", "threshold"), [(1, 0.48), (2, 0.49), (3, None)])
    def test_each_verification_before_halves_the_rate_of_the_threshold(
        self, verifications: int, threshold: float | None
    ) -> None:
        """Of 39 references two may score as high at 5 %, one at 2.5 %, and none at 1.25 %."""
        calibration = toy_calibration(FINGERPRINT, range(10, 49), SURROGATES)
        for matches in range(45, 52):
            found = examined(paired(FINGERPRINT, calibration), np.arange(100) < matches)
            again = dataclasses.replace(found, options=VerificationOptions(verifications=verifications))
            decision = ruled(again)
            assert decision.threshold == threshold
            assert decision.p_value is not None
            assert (decision.p_value <= 0.05) == (threshold is not None and matches / 100 >= threshold)

    @pytest.mark.parametrize(("matches", "reason"), MULTIPLIED.items())
    def test_a_multiplied_p_is_told_beside_what_it_was(self, matches: int, reason: str) -> None:
        calibration = toy_calibration(FINGERPRINT, range(10, 49), range(60, 99))
        found = examined(paired(FINGERPRINT, calibration), np.arange(100) < matches)
        decision = ruled(dataclasses.replace(found, options=VerificationOptions(verifications=2)))
        assert decision.reason == reason

    @pytest.mark.parametrize("matches", [75, 20])
    def test_either_side_that_is_doubled_beyond_its_rate_is_told_of(self, matches: int) -> None:
        """Once, p against one side is 0.05, the rate, and against the other far larger."""
        found = examined(
            paired(FINGERPRINT, toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)), np.arange(100) < matches
        )
        decision = ruled(dataclasses.replace(found, options=VerificationOptions(verifications=2)))
        assert (decision.verdict, "both p-values were multiplied for earlier" in decision.reason) == (
            "inconclusive",
            True,
        )
        assert decision.remedy.startswith("Ask all images at once")

    def test_what_only_an_earlier_verification_keeps_from_accusing_is_no_acquittal(self) -> None:
        """Above all 19 references p is 0.05, the rate, and doubled it is more; below all copies it is 0.1, the rate."""
        calibration = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES, fnr=0.1)
        found = examined(paired(FINGERPRINT, calibration), np.arange(100) < 50)
        decision = ruled(dataclasses.replace(found, options=VerificationOptions(verifications=2)))
        assert (decision.p_value, decision.p_value_surrogate) == (0.1, 0.1)
        assert decision.verdict == "inconclusive"
        assert decision.reason == (
            "CAEAcc 0.50 rules out neither an independent model (p = 0.100) nor a copy (p = 0.100); both p-values were "
            "multiplied for earlier verifications of this suspect"
        )
        assert decision.remedy.startswith("Ask all images at once")

    def test_a_coarser_rate_is_supported(self) -> None:
        assert judge(90, toy_calibration(FINGERPRINT, REFERENCES[:9], fpr=0.1)).verdict == "surrogate"
        assert judge(90, toy_calibration(FINGERPRINT, REFERENCES[:8], fpr=0.1)).verdict == "inconclusive"

    def test_each_side_has_its_own_rate(self) -> None:
        few = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES[:9], fpr=0.05, fnr=0.1)
        assert judge(20, few).verdict == "independent"
        other = toy_calibration(FINGERPRINT, REFERENCES[:9], SURROGATES, fpr=0.1, fnr=0.05)
        assert [judge(matches, other).verdict for matches in (15, 18, 19, 70)] == [
            "independent",
            "independent",
            "inconclusive",
            "surrogate",
        ]


class TestParametric:
    COUNTS = (20, 24, 27, 31)

    def parametric(self, **changes: Any) -> Calibration:  # noqa: ANN401 - the fields have different types
        return toy_calibration(FINGERPRINT, self.COUNTS, (80, 85, 90), **{"parametric": True, **changes})

    def test_it_is_labelled_and_its_p_value_is_the_models(self) -> None:
        decision = judge(80, self.parametric())
        assert (decision.verdict, decision.origin) == ("surrogate", "parametric")
        tails = [beta_binomial_p_value(np.array(self.COUNTS), 100, matches) for matches in range(101)]
        assert decision.threshold == next(matches for matches, tail in enumerate(tails) if tail <= 0.05) / 100
        exact = beta_binomial_p_value(self.COUNTS, 100, 80)
        assert decision.reason.startswith(
            f"CAEAcc 0.80 is higher than a beta-binomial model of the references allows (p = {exact:.4f}), and 1 of 3 "
        )
        assert decision.p_value == exact < 1 / 5  # which no rank among four reaches

    def test_the_lower_side_is_its_mirror(self) -> None:
        decision = judge(20, self.parametric())
        assert (decision.verdict, decision.origin) == ("independent", "parametric")
        exact = beta_binomial_p_value((20, 15, 10), 100, 80)
        assert decision.p_value_surrogate == exact
        assert decision.reason.startswith(
            f"CAEAcc 0.20 is lower than a beta-binomial model of the known copies allows (p = {exact:.4f}), and 4 of 4 "
        )

    def test_a_single_surrogate_is_no_model(self) -> None:
        decision = judge(20, toy_calibration(FINGERPRINT, self.COUNTS, [80], parametric=True))
        assert (decision.verdict, decision.p_value_surrogate) == ("inconclusive", 1.0)
        assert "1 surrogates are too few" in decision.reason
        assert "at least 2 surrogates" in decision.remedy

    def test_between_the_two(self) -> None:
        decision = judge(50, toy_calibration(FINGERPRINT, (30, 50, 60), (40, 60, 80), parametric=True))
        assert decision.verdict == "inconclusive"
        assert "rules out neither an independent model" in decision.reason


class TestCircumstances:
    @pytest.mark.parametrize("matches", [5, 60, 95])
    def test_a_failed_benign_check_goes_before_everything(self, calibration: Calibration, matches: int) -> None:
        bad = circumstances(benign="the range", evasion=("refuses",), extrapolation="outside")
        decision = judge(matches, calibration, bad)
        assert (decision.verdict, decision.reason) == ("inconclusive", "the range")
        assert decision.remedy == "Check how the suspect is asked (its contract), then ask again."

    @pytest.mark.parametrize(("matches", "allowed"), [(20, "independent"), (75, "surrogate")])
    def test_extrapolation_limits_both_sides_unless_it_is_allowed(
        self, calibration: Calibration, matches: int, allowed: str
    ) -> None:
        outside = circumstances(extrapolation="its accuracy is outside")
        decision = judge(matches, calibration, outside)
        assert (decision.verdict, decision.extrapolated) == ("inconclusive", True)
        assert decision.reason == f"its accuracy is outside ({judge(matches, calibration).reason})"
        assert "--allow-extrapolation" in decision.remedy
        decision = judge(matches, calibration, circumstances(extrapolation="its accuracy is outside", allowed=True))
        assert (decision.verdict, decision.extrapolated, decision.remedy) == (allowed, True, "")
        assert decision.reason.endswith("; --allow-extrapolation accepts that its accuracy is outside")

    def test_evasion_keeps_independent_from_being_said_and_accuses_nobody(self, calibration: Calibration) -> None:
        evasive = circumstances(evasion=("it refuses 30% of the examples", "another sign"))
        decision = judge(20, calibration, evasive)
        assert (decision.verdict, decision.reason) == (
            "inconclusive",
            "possible evasion: it refuses 30% of the examples",
        )
        assert "attest how it is served" in decision.remedy
        assert judge(75, calibration, evasive).verdict == "surrogate"

    def test_a_shared_ancestor_is_named_where_a_suspect_is_accused(self, calibration: Calibration) -> None:
        shared = Circumstances(shared_ancestor="imagenet")
        words = (
            "the suspect is derived from the source or from the source's pretrained ancestor (imagenet), which not "
            "every reference has"
        )
        assert judge(75, calibration, shared).reason.endswith(words)
        assert (
            words in judge(75, calibration, circumstances(shared_ancestor="imagenet", extrapolation="outside")).reason
        )
        assert "ancestor" not in judge(20, calibration, shared).reason
        uncalibrated = decided(np.ones(8, bool), None, shared)
        assert uncalibrated.reason.endswith(words)

    @pytest.mark.parametrize("outcome", ["surrogate", "independent", "inconclusive"])
    def test_without_any_the_outcome_stands(self, outcome: Outcome) -> None:
        assert limited(outcome, "because", "do this", FINE) == (outcome, "because", "do this")

    @pytest.mark.parametrize(
        ("adjusted", "said"), [(True, "it is outside"), (False, "--allow-extrapolation accepts that it is outside")]
    )
    @pytest.mark.parametrize("outcome", ["surrogate", "independent"])
    def test_an_accuracy_beyond_the_references_is_told_after_the_reason(
        self,
        outcome: Outcome,
        said: str,
        adjusted: bool,  # noqa: FBT001 - drawn
    ) -> None:
        beyond = Circumstances(extrapolation="it is outside", adjusted=adjusted)
        assert limited(outcome, "because", "", beyond) == (outcome, f"because; {said}", "")
        assert limited("inconclusive", "because", "do this", beyond) == ("inconclusive", "because", "do this")

    def test_an_inconclusive_one_keeps_its_own_reason(self) -> None:
        signs = circumstances(evasion=("refuses",), extrapolation="outside", shared_ancestor="imagenet")
        assert limited("inconclusive", "because", "do this", signs) == ("inconclusive", "because", "do this")


def test_independent_models_of_any_kind_are_just_counted() -> None:
    evidence = Evidence(models=19, as_extreme=2, p_value=3 / 20, p_once=3 / 20, origin="rank")
    assert reached_by(evidence) == "reached by 2 of 19 independent models"
    assert reached_by(evidence, " of one kind") == "reached by 2 of 19 independent models of one kind"


class TestUncalibrated:
    @pytest.mark.parametrize(
        ("matches", "verdict", "reason"),
        [
            (75, "surrogate", "CAEAcc 0.75 reaches the literature's threshold 0.75, whose error rate is unknown"),
            (74, "independent", "CAEAcc 0.74 is below the literature's threshold 0.75, whose error rate is unknown"),
        ],
    )
    def test_the_threshold_of_the_literature_is_all_there_is(self, matches: int, verdict: str, reason: str) -> None:
        assert vars(decided(np.arange(100) < matches, None)) == {
            "verdict": verdict,
            "reason": reason,
            "remedy": "",
            "threshold": 0.75,
            "origin": "literature",
            "score": Score.CAEACC,
            "value": matches / 100,
            "p_value": None,
            "p_value_surrogate": None,
            "extrapolated": False,
            "weak": verdict == "surrogate",
            "sides": None,
        }

    def test_weak_where_the_interval_reaches_below(self) -> None:
        for matches, weak in ((75, True), (82, True), (84, False), (100, False)):
            decision = decided(np.arange(100) < matches, None)
            assert (decision.verdict, decision.weak) == ("surrogate", weak)

    def test_a_limited_one_is_not_weak(self) -> None:
        three = np.ones(3, bool)
        assert decided(three, None).weak
        assert not decided(three, None, circumstances(benign="the range")).weak

    def test_evasion_is_named_here_too(self) -> None:
        decision = decided(np.zeros(20, bool), None, circumstances(evasion=("it refuses 30%",)))
        assert (decision.verdict, decision.reason) == ("inconclusive", "possible evasion: it refuses 30%")
