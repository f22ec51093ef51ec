"""Whoever verifies again until it suits: every way leaves a trace, and where an order can be chosen p is multiplied."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.errors import OptionError
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions, factor_of
from cae_core.verification.remembered import verify_remembered
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import order_matters, verify
from tests.core.suspects import Telling, ask, matching, table
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=60)
REFERENCES, SURROGATES = [5 + i % 20 for i in range(99)], [40 + i % 15 for i in range(99)]
SUBJECT = paired(FINGERPRINT, toy_calibration(FINGERPRINT, REFERENCES, SURROGATES))
NAMED = Suspect(name="x.onnx", sha256="ab")
BUDGET, SEQUENTIAL = VerificationOptions(max_queries=75), VerificationOptions(sequential=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def copy() -> Telling:
    """Return a suspect that matches 50 of the 60 examples."""
    chosen = np.random.default_rng(5).permutation(60) < 50
    examples = np.where(chosen, FINGERPRINT.labels, FINGERPRINT.ground_truth)
    return Telling(table(FINGERPRINT, examples, FINGERPRINT.probe_labels))


def again(ledger: Path, suspect: Any = None, subject: CalibratedFingerprint = SUBJECT, **given: Any) -> Verdict:  # noqa: ANN401 - of many types
    named = given.pop("named", NAMED)
    return verify_remembered(suspect or copy(), subject, ledger=ledger, named=named, **given)


def factor(verdict: Verdict) -> float:
    return 1 if verdict.repeated is None else verdict.repeated.factor


class TestFactor:
    def test_all_that_come_after_the_first_add_the_rate_once(self) -> None:
        assert sum(1 / factor_of(i) for i in range(2, 1000)) <= 1 + 1e-9

    def test_it_stays_a_number(self) -> None:
        assert math.isfinite(factor_of(10**9))

    def test_best_of_many_orders(self) -> None:
        """The attack as it was measured: 20 of 100 examples asked, rates of a match Beta(6, 9), 99 references, 5 %."""
        random, trials, rate = np.random.default_rng(3), 400, 0.05
        found = {"plain": 0, "multiplied": 0}
        for _ in range(trials):
            matches = random.random((100, 100)) < random.beta(6, 9, 100)[:, None]
            for i in range(1, 21):
                scores = matches[:, random.permutation(100)[:20]].mean(axis=1)
                p = rank_p_value(scores[1:], scores[0])
                plain, multiplied = p <= rate, factor_of(i) * p <= rate
                found["plain"] += plain and not found.get("counted", 0)
                found["counted"] = max(found.get("counted", 0), int(plain))
                found["multiplied"] += multiplied and not found.get("counted also", 0)
                found["counted also"] = max(found.get("counted also", 0), int(multiplied))
            found["counted"] = found["counted also"] = 0
        assert found["plain"] / trials > 0.15
        assert found["multiplied"] / trials <= 2 * rate - 0.02  # twice the rate is the bound; it is far below

    @pytest.mark.parametrize("wrong", [{"verifications": 0}, {"recognised": -1}])
    def test_counts_out_of_range(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="are counted from 1"):
            VerificationOptions(**wrong)


class TestEachAttack:
    """Of an accuser who uses nothing but the options."""

    def test_one_nonce_and_other_budgets(self, ledger: Path) -> None:
        budgets = (75, 80, 90, 100)
        found = [again(ledger, nonce=b"1", options=VerificationOptions(max_queries=budget)) for budget in budgets]
        assert [factor(verdict) for verdict in found] == [1, 2, 4, 8]

    def test_many_nonces(self, ledger: Path) -> None:
        found = [again(ledger, nonce=bytes([i]), options=BUDGET) for i in range(9)]
        assert [factor(verdict) for verdict in found] == [2**i for i in range(9)]
        accused = [verdict.decision.verdict for verdict in found]
        # p is 1/100 for each order; at 5 % it may be multiplied by 4 at most
        assert accused == ["surrogate"] * 3 + ["inconclusive"] * 6
        last = found[-1].decision
        assert last.p_value == 1
        assert "multiplied for earlier verifications of this suspect" in last.reason
        assert last.remedy == (
            "Ask all images at once, without --max-queries and --sequential. Nobody can then choose the order, so p is "
            "not multiplied."
        )

    def test_many_nonces_in_sequential_mode(self, ledger: Path) -> None:
        found = [again(ledger, options=SEQUENTIAL) for _ in range(4)]
        levels = [verdict.sequential.level_surrogate for verdict in found if verdict.sequential is not None]
        assert levels == [0.025, 0.0125, 0.00625, 0.003125]
        for verdict, level in zip(found, levels, strict=True):
            assert verdict.decision.verdict == "surrogate"
            assert verdict.sequential is not None
            assert verdict.sequential.log_e[0] >= -math.log(level)  # it went on until E was as much larger
            assert verdict.decision.p_value is not None
            assert 0.025 < verdict.decision.p_value <= 0.05

    def test_a_nonce_that_was_looked_for_offline(self, ledger: Path) -> None:
        first = again(ledger)
        assert first.occasion is not None
        assert not first.occasion.nonce_given
        second = again(ledger, nonce=b"chosen", options=BUDGET)
        assert second.occasion is not None
        assert second.occasion.nonce_given
        assert factor(second) == 2  # the full run, whose answers it was looked for with, is one that counts

    def test_interrupting_what_goes_badly(self, ledger: Path) -> None:
        for _ in range(3):
            stopping = copy()
            stopping.stops_after = 40
            with pytest.raises(KeyboardInterrupt):
                again(ledger, stopping, options=SEQUENTIAL)
        verdict = again(ledger, options=SEQUENTIAL)
        assert verdict.earlier is not None
        assert (verdict.earlier.verifications, verdict.earlier.interrupted) == (3, 3)
        assert verdict.earlier.examples_seen == verdict.caeacc.asked
        assert factor(verdict) == 8

    @pytest.mark.parametrize("options", [BUDGET, SEQUENTIAL])
    def test_a_byte_changed_in_the_suspects_file(self, options: VerificationOptions, ledger: Path) -> None:
        again(ledger, options=options)
        changed = Suspect(name="x.onnx", sha256="another")
        verdict = again(ledger, options=options, named=changed)
        assert verdict.earlier is not None
        assert verdict.earlier.recognised == 1
        assert factor(verdict) == 2
        told = as_json(verdict)["options"]
        assert (told.get("verifications"), told.get("recognised")) == (None, 1)
        assert factor(again(ledger, options=options, named=changed)) == 4  # known by its file from now on

    def test_another_calibration_is_told(self, ledger: Path) -> None:
        again(ledger)
        calibration = toy_calibration(FINGERPRINT, REFERENCES[:50], SURROGATES)
        verdict = again(ledger, subject=paired(FINGERPRINT, calibration))
        assert verdict.earlier is not None
        assert verdict.earlier.otherwise == 1


class TestSequentialRecognisedTooLate:
    def test_what_the_answers_add_can_take_an_outcome_back(self, ledger: Path) -> None:
        """E was enough for one verification and is not for two; nothing else is asked, so p decides."""
        for i in range(6):
            again(ledger, options=SEQUENTIAL, named=Suspect(name="x", sha256=str(i)))
        verdict = again(ledger, options=SEQUENTIAL, named=Suspect(name="x", sha256="new"))
        assert verdict.sequential is not None
        assert verdict.sequential.outcome == "surrogate"
        if verdict.sequential.log_e[0] < math.log(factor_of(7) / 0.025):
            assert verdict.decision.verdict == "inconclusive"
            assert (
                "this is not enough after 6 earlier verifications of the same model in another file"
                in verdict.decision.reason
            )
        assert verdict.decision.p_value is not None
        assert (verdict.decision.verdict == "surrogate") == (verdict.decision.p_value <= 0.05)
        assert replayed(verdict) == ()

    def test_the_same_without_a_calibration(self, ledger: Path) -> None:
        subject = paired(FINGERPRINT)
        everything = Telling(table(FINGERPRINT, FINGERPRINT.labels, FINGERPRINT.probe_labels))
        first = again(ledger, everything, subject, options=SEQUENTIAL)
        for i in range(12):
            again(ledger, everything, subject, options=SEQUENTIAL, named=Suspect(name="x", sha256=str(i)))
        last = again(ledger, everything, subject, options=SEQUENTIAL, named=Suspect(name="x", sha256="new"))
        assert (first.decision.verdict, last.decision.verdict) == ("surrogate", "inconclusive")
        assert replayed(last, subject) == ()

    def test_where_no_evidence_could_be_enough_it_is_refused_before_anything_is_asked(self) -> None:
        subject = paired(FINGERPRINT, toy_calibration(FINGERPRINT, [25] * 39))
        suspect, allowed = copy(), VerificationOptions(sequential=True, max_queries=75)
        with pytest.raises(OptionError, match="can decide nothing here"):
            verify(suspect, subject, named=NAMED, options=dataclasses.replace(allowed, verifications=40))
        assert suspect.asked == 0
        assert verify(suspect, subject, named=NAMED, options=allowed).decision.verdict == "surrogate"


def replayed(verdict: Verdict, subject: CalibratedFingerprint = SUBJECT) -> tuple[str, ...]:
    return replay_verdict(json.loads(json.dumps(as_json(verdict))), subject).differences


class TestRecord:
    @pytest.mark.parametrize("options", [BUDGET, SEQUENTIAL])
    def test_a_multiplied_verdict_is_derived_again(self, options: VerificationOptions, ledger: Path) -> None:
        for i in range(3):
            again(ledger, options=options, named=Suspect(name="x", sha256=str(i % 2)))
        verdict = again(ledger, options=options)
        assert replayed(verdict) == ()
        told = json.loads(json.dumps(as_json(verdict)))
        assert told["repeated"]["factor"] == 8
        assert told["repeated"]["p_value"] < told["p_value"]
        for edited in (
            {**told, "options": {**told["options"], "recognised": 0, "verifications": 1}},
            {**told, "repeated": {**told["repeated"], "factor": 2.0}},
            {name: value for name, value in told.items() if name != "repeated"},
        ):
            assert replay_verdict(edited, SUBJECT).differences

    def test_nothing_is_told_where_nothing_was_multiplied(self, ledger: Path) -> None:
        told = as_json(again(ledger, options=BUDGET))
        assert "repeated" not in told
        assert told["options"].keys() == {
            "sequential",
            "max_queries",
            "allow_extrapolation",
            "claimed_accuracy",
            "rule",
        }

    def test_the_threshold_is_that_of_the_multiplied_p(self, ledger: Path) -> None:
        found = [again(ledger, nonce=b"1", options=BUDGET).decision.threshold for _ in range(4)]
        assert found[0] is not None
        assert found[1] is not None
        assert found[0] <= found[1]
        assert found[3] is None  # 1/8 of 5 % takes 159 references

    def test_multiplying_acquits_nobody(self, ledger: Path) -> None:
        """A suspect above the references and low among the copies is not independent because p has grown."""
        subject = paired(FINGERPRINT, toy_calibration(FINGERPRINT, [5] * 19, [45] * 99))
        half = matching(FINGERPRINT, 30)
        found = [again(ledger, half, subject, nonce=b"1", options=BUDGET).decision for _ in range(3)]
        assert [decision.verdict for decision in found] == ["inconclusive"] * 3
        p_values = [decision.p_value for decision in found if decision.p_value is not None]
        assert p_values == sorted(p_values)
        assert p_values[0] < 0.1 < p_values[-1]

    def test_a_parametric_p_is_multiplied_too(self, ledger: Path) -> None:
        calibration = dataclasses.replace(toy_calibration(FINGERPRINT, REFERENCES, SURROGATES), parametric=True)
        subject = paired(FINGERPRINT, calibration)
        first, second = (again(ledger, subject=subject, nonce=b"1", options=BUDGET) for _ in range(2))
        assert first.decision.p_value is not None
        assert second.decision.p_value == pytest.approx(2 * first.decision.p_value)


class TestAFullVerification:
    """It asks every example and every probe: no order can be chosen, and p is not multiplied."""

    MODES: ClassVar[dict[str, Any]] = {
        "rank": SUBJECT,
        "uncalibrated": paired(FINGERPRINT),
        "parametric": paired(FINGERPRINT, toy_calibration(FINGERPRINT, REFERENCES, SURROGATES, parametric=True)),
        "likelihood ratio": paired(
            FINGERPRINT,
            toy_calibration(
                FINGERPRINT,
                REFERENCES,
                SURROGATES,
                score=Score.LLR,
                weights=np.random.default_rng(3).normal(size=(2, 60)),
                chosen=np.arange(60) % 3 > 0,
            ),
        ),
    }

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("matches", [3, 22, 30, 55])
    def test_its_outcome_is_that_of_every_nonce(self, mode: str, matches: int) -> None:
        """All but the order, and which 5 % are asked twice."""
        subject = self.MODES[mode]
        found = [
            as_json(verify(matching(FINGERPRINT, matches), subject, named=NAMED, nonce=bytes([i]))) for i in range(6)
        ]
        assert len({json.dumps(sorted(told["answers"], key=str)) for told in found}) > 1
        varying = ("nonce", "answers", "date", "queries")  # of the repeats some are examples, some benign
        assert len({json.dumps({k: v for k, v in told.items() if k not in varying}) for told in found}) == 1

    def test_everything_is_asked_once_at_least(self) -> None:
        transcript = ask(matching(FINGERPRINT, 30), FINGERPRINT).examination.transcript
        assert (len(transcript.asked(EXAMPLE)), len(transcript.asked(BENIGN))) == (60, 60)

    def test_it_is_counted_and_not_multiplied(self, ledger: Path) -> None:
        found = [again(ledger) for _ in range(4)]
        assert [verdict.earlier and verdict.earlier.verifications for verdict in found] == [0, 1, 2, 3]
        assert [verdict.decision.p_value for verdict in found] == [found[0].decision.p_value] * 4
        assert [factor(verdict) for verdict in found] == [1] * 4

    def test_a_budget_that_suffices_for_everything_is_none(self, ledger: Path) -> None:
        enough = VerificationOptions(max_queries=126)
        assert len(verify(copy(), SUBJECT, named=NAMED, options=enough).examination.transcript) == 126
        again(ledger)
        assert factor(again(ledger, options=enough)) == 1
        assert not order_matters(SUBJECT, enough)
        assert order_matters(SUBJECT, dataclasses.replace(enough, max_queries=125))

    def test_without_a_ledger_nothing_is_known(self, fingerprint: Fingerprint) -> None:
        verdict = ask(matching(fingerprint, 20), fingerprint, options=VerificationOptions(max_queries=70))
        assert verdict.earlier is None
        assert verdict.repeated is None
