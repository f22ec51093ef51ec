"""How a suspect is asked and judged: what is refused, what a rule brings, and what a record says of it."""

from typing import Any

import pytest

from cae_core.errors import OptionError
from cae_core.statistics.score import Score
from cae_core.verification.deciding_score import deciding_score, of_another_score
from cae_core.verification.options import DEFAULT, EARLIER_RULES, RULE, VerificationOptions, factor_of
from tests.core.toys import toy_calibration, toy_fingerprint

BEACON: dict[str, Any] = {"beacon": "0f" * 32, "beacon_time": "2026-05-01T00:00:00Z", "sequential": True}


class TestWhatIsRefused:
    @pytest.mark.parametrize("accuracy", [0.0, -0.1, 1.0001, float("nan")])
    def test_an_accuracy_that_is_none(self, accuracy: float) -> None:
        with pytest.raises(OptionError, match=r"must lie in \(0, 1\]"):
            VerificationOptions(claimed_accuracy=accuracy)

    @pytest.mark.parametrize("accuracy", [1e-9, 0.5, 1.0, None])
    def test_an_accuracy_is_taken(self, accuracy: float | None) -> None:
        assert VerificationOptions(claimed_accuracy=accuracy).claimed_accuracy == accuracy

    @pytest.mark.parametrize("rule", [0, -1, 5])
    def test_a_rule_that_nobody_knows(self, rule: int) -> None:
        with pytest.raises(OptionError, match=f"There are the rules 1, 2, 3 and 4; found {rule}"):
            VerificationOptions(rule=rule)

    def test_a_beacon_by_the_first_rule(self) -> None:
        assert VerificationOptions(rule=2, **BEACON).beacon
        with pytest.raises(OptionError, match="Rule 1 knows no beacons"):
            VerificationOptions(rule=1, **BEACON)
        assert VerificationOptions(rule=1).rule == 1

    @pytest.mark.parametrize("changes", [{"beacon": "xy"}, {"beacon_time": "noon"}, {"sequential": False}])
    def test_a_beacon_that_is_none(self, changes: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="beacon"):
            VerificationOptions(**{**BEACON, **changes})

    @pytest.mark.parametrize("changes", [{"sequential": True}, {"max_queries": 5}, {"max_queries": 0}])
    def test_recorded_answers_to_some_questions(self, changes: dict[str, Any]) -> None:
        assert VerificationOptions(**changes).recorded is False
        with pytest.raises(OptionError, match="Recorded answers answer all questions at once"):
            VerificationOptions(recorded=True, **changes)
        assert VerificationOptions(recorded=True).recorded

    def test_recorded_answers_behind_a_defence(self) -> None:
        assert VerificationOptions(defence="jpeg:75").defence == "jpeg:75"
        with pytest.raises(OptionError, match="given without a defence"):
            VerificationOptions(defence="jpeg:75", recorded=True)
        with pytest.raises(OptionError, match="Unknown defence"):
            VerificationOptions(defence="prayer")

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"versions": 0}, "versions of a service are counted from 1; found 0"),
            ({"verifications": 0}, "found 0 and 0"),
            ({"recognised": -1}, "found 1 and -1"),
        ],
    )
    def test_counts_below_their_first(self, changes: dict[str, Any], why: str) -> None:
        with pytest.raises(OptionError, match=why):
            VerificationOptions(**changes)
        assert VerificationOptions(**{name: count + 1 for name, count in changes.items()}).factor == 1


class TestRules:
    def test_the_present_one_is_the_fourth(self) -> None:
        assert (RULE, sorted(EARLIER_RULES), DEFAULT.rule) == (4, [1, 2, 3], 4)

    @pytest.mark.parametrize(
        ("rule", "probes", "copies", "plainly"),
        [(1, False, False, False), (2, True, False, False), (3, True, True, False), (4, True, True, True)],
    )
    def test_each_brings_what_it_brought(self, rule: int, probes: bool, copies: bool, plainly: bool) -> None:  # noqa: FBT001 - expected
        options = VerificationOptions(rule=rule)
        assert (options.all_probes, options.weighs_copies, options.ranks_plainly) == (probes, copies, plainly)
        asked_one_by_one = VerificationOptions(rule=rule, sequential=True)
        assert (asked_one_by_one.all_probes, asked_one_by_one.weighs_copies) == (False, copies)
        assert asked_one_by_one.ranks_plainly == plainly


class TestFactor:
    def test_each_verification_after_the_first_doubles_p_whoever_recognised_it(self) -> None:
        assert DEFAULT.factor == 1
        assert VerificationOptions(verifications=3).factor == 4
        assert VerificationOptions(verifications=3, recognised=2).factor == 16

    def test_it_ends_before_it_overflows(self) -> None:
        assert (factor_of(61), factor_of(62), factor_of(10**9)) == (2.0**60, 2.0**60, 2.0**60)


class TestRecord:
    def test_what_was_there_from_the_first_is_always_told(self) -> None:
        first = {"sequential", "max_queries", "allow_extrapolation", "claimed_accuracy"}
        assert VerificationOptions(rule=1).json_fields() == dict.fromkeys(sorted(first)) | {
            "sequential": False,
            "allow_extrapolation": False,
        }
        assert DEFAULT.json_fields().keys() == {*first, "rule"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"verifications": 2},
            {"recognised": 1},
            BEACON,
            {"recorded": True},
            {"versions": 2},
            {"defence": "jpeg:75"},
        ],
    )
    def test_what_came_later_is_told_where_it_says_something(self, changes: dict[str, Any]) -> None:
        told = VerificationOptions(**changes).json_fields()
        assert {name: told[name] for name in changes} == changes
        assert told.keys() == DEFAULT.json_fields().keys() | changes.keys()


class TestDecidingScore:
    @pytest.mark.parametrize("sequential", [False, True])
    @pytest.mark.parametrize("score", [Score.CAEACC, Score.ADJUSTED])
    def test_one_by_one_matches_decide_in_the_place_of_the_adjusted_score(
        self,
        score: Score,
        sequential: bool,  # noqa: FBT001 - drawn
    ) -> None:
        calibration = toy_calibration(toy_fingerprint(), [1, 2, 3, 4], [20], score=score)
        options = VerificationOptions(sequential=sequential)
        replaced = sequential and score == Score.ADJUSTED
        assert deciding_score(calibration, options) == (Score.CAEACC if replaced else score)
        said = ("in sequential mode CAEAcc decides, and not the adjusted score of the calibration",)
        assert of_another_score(calibration, options) == (said if replaced else ())
