"""`cae verify` with a calibration, one question at a time, from a record, and with a memory."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from cae_core import __version__, clock
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.file import load_fingerprint
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.opening.opened import open_model
from cae_core.verification import ledger
from cae_core.verification.ledger import ledger_of
from cae_core.verification.options import RULE
from tests.cli.conftest import CONTRACT, CalibrationPool, Outcome, Pool, run_quietly
from tests.cli.test_bad_input import assert_one_sentence

Run = Callable[..., Outcome]

NONCE = ("--nonce", "00" * 16)
ALLOWED = "--allow-extrapolation"


@pytest.fixture
def own(calibrated: Path, tmp_path: Path) -> Path:
    """A copy of the calibrated fingerprint, whose ledger is this test's alone."""
    return Path(shutil.copy(calibrated, tmp_path / "own.safetensors"))


def saved_again(model: Path, target: Path) -> Path:
    """Write the same model into another file, with a byte that says nothing."""
    loaded = onnx.load(model)
    loaded.doc_string = "saved again"
    onnx.save(loaded, target)
    return target


def surer(model: Path, target: Path) -> Path:
    """Write a model with the same labels and other scores."""
    loaded = onnx.load(model)
    for tensor in loaded.graph.initializer:
        if tensor.name in ("w1", "b1"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.2), tensor.name))
    onnx.save(loaded, target)
    return target


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, NDArray[Any]]], object]) -> None:
    metadata, tensors = read_tensors(path)
    told = json.loads(metadata["cae"])
    change(told, tensors)
    path.write_bytes(pack_tensors(tensors, {"cae": json.dumps(told)}))


class TestVerdicts:
    @pytest.mark.parametrize("mode", [(), ("--sequential",)])
    def test_the_three_outcomes_and_their_exit_codes(
        self,
        mode: tuple[str, ...],
        own: Path,
        pool: Pool,
        calibration_pool: CalibrationPool,
        *,
        tmp_path: Path,
        run_cae: Run,
    ) -> None:
        honest = surer(calibration_pool.members("calibrate", "reference")[2], tmp_path / "honest.onnx")
        # fifty probes do not show that the source's accuracy is no reference's; all do
        unlike = ("surrogate", 3) if mode else ("inconclusive", 4)
        for suspect, more, verdict, code in (
            (pool.source, (ALLOWED,), "surrogate", 3),
            (honest, (ALLOWED,), "independent", 0),
            (pool.source, (), *unlike),
        ):
            outcome = run_cae("verify", "-s", suspect, "-f", own, *NONCE, *mode, *more, "--exit-code", "--json")
            assert (outcome.json()["verdict"], outcome.code) == (verdict, code), outcome.err

    def test_the_json_holds_the_evidence(self, own: Path, pool: Pool, run_cae: Run) -> None:
        verdict = run_cae("verify", "-s", pool.source, "-f", own, *NONCE, ALLOWED, "--json").json()
        assert (verdict["p_value"], verdict["threshold"]["provenance"]) == (0.1, "rank")
        assert verdict["calibration"]["references"] == verdict["calibration"]["surrogates"] == 9
        low, high = verdict["benign_range"]
        assert verdict["extrapolated"]
        assert not low <= verdict["benign_accuracy"] <= high
        assert verdict["standing"] == {"references": 9, "as_high": 0, "surrogates": 9, "as_low": 9}
        assert (verdict["queries"]["benign"], verdict["options"]["rule"]) == (210, RULE)
        assert verdict["options"]["allow_extrapolation"]
        assert verdict["p_value_surrogate"] > 0.2

    def test_a_sequential_one_asks_less(self, own: Path, pool: Pool, run_cae: Run) -> None:
        options = ("-s", pool.source, "-f", own, *NONCE, ALLOWED, "--json")
        whole = run_cae("verify", *options).json()
        few = run_cae("verify", *options, "--sequential").json()
        assert few["verdict"] == whole["verdict"] == "surrogate"
        assert few["asked"] < whole["asked"] == 20
        assert sum(few["queries"].values()) < sum(whole["queries"].values())
        assert few["queries"]["benign"] >= 50
        assert few["sequential"]["examples"] == 20
        assert few["interval"] == few["sequential"]["interval"]

    def test_with_a_beacon_the_order_follows_and_fewer_are_asked(
        self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "400")
        (tmp_path / "pulse").write_text(f"0x{'0AF1' * 16}\n")
        dated = ("--sequential", "--beacon", tmp_path / "pulse", "--beacon-time", "2026-05-01T12:00Z")
        options = ("-s", pool.source, "-f", own, ALLOWED, *dated)
        planned = run_cae("verify", *options, "--dry-run", "--json").json()
        few = run_cae("verify", *options, "--json").json()
        assert (few["verdict"], few["threshold"]["provenance"]) == ("surrogate", "path")
        assert (few["options"]["beacon"], few["options"]["beacon_time"]) == ("0af1" * 16, "2026-05-01T12:00Z")
        assert few["path"]["outcome"] == "surrogate"
        assert few["queries"]["benign"] < 50
        assert sum(few["queries"].values()) < planned["total"]
        (tmp_path / "few.json").write_text(json.dumps(few))
        text = run_cae("verify", "--replay", tmp_path / "few.json", "-f", own).out
        for words in (
            *("the recorded answers give the recorded verdict", "(follows from calibration, suspect and beacon)"),
            *(f"{'0af1' * 16} of 2026-05-01T12:00Z", "by rank among the references in the same order"),
            *("of 20 examples asked; the lower limit of the rate of matches reached", "was measured on"),
        ):
            assert words in text, words
        outcome = run_cae("verify", *options[:-2])
        assert_one_sentence(outcome, "found a value alone. Give its time too", code=2)

    def test_a_broken_suspect_is_inconclusive(self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        model = onnx.load(pool.copy)
        helper.set_model_props(model, {**CONTRACT, "cae.range": "-255..0"})
        onnx.save(model, tmp_path / "wrong.onnx")
        verdict = run_cae("verify", "-s", tmp_path / "wrong.onnx", "-f", own, "--sequential", "--json").json()
        assert verdict["verdict"] == "inconclusive"
        assert "range" in verdict["reason"]
        assert "contract" in verdict["remedy"]

    def test_a_claim_is_held_against_the_suspect(self, own: Path, pool: Pool, run_cae: Run) -> None:
        """The source has seen a few images only."""
        verdict = run_cae("verify", "-s", pool.source, "-f", own, "--claimed-accuracy", "1", "--json").json()
        assert "its owner claims an accuracy of 100%" in verdict["evasion"][0]


class TestForPeople:
    def text(self, run_cae: Run, *arguments: str | Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("COLUMNS", "400")
        outcome = run_cae("verify", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out

    def test_a_calibrated_verdict(self, own: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        text = self.text(run_cae, "-s", pool.source, "-f", own, *NONCE, ALLOWED, monkeypatch=monkeypatch)
        for words in (
            "\n0 of 9 independent models score as high, and 9 of 9 known copies score as low\n",
            *("SURROGATE", "20 of 20 examples", "by rank among the references"),
            *("0.1  (0 of 9 independent models score as high)", "1  (9 of 9 known copies score as low)"),
            "0.2 false accusations, 0.2 surrogates missed",
            *("9: 9 unnamed", "(references: 0.", "--allow-extrapolation accepts that the suspect's accuracy", NONCE[1]),
        ):
            assert words in text, words
        assert "sequential" not in text

    def test_an_extrapolated_one(self, own: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        text = self.text(run_cae, "-s", pool.source, "-f", own, *NONCE, monkeypatch=monkeypatch)
        for words in ("INCONCLUSIVE", "what to do", "calibrate with references as accurate", ": extrapolated)"):
            assert words in text, words

    def test_a_sequential_one(self, own: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        given = ("-s", pool.source, "-f", own, *NONCE, ALLOWED, "--sequential", "--claimed-accuracy", "1")
        text = self.text(run_cae, *given, monkeypatch=monkeypatch)
        for words in (
            *("confidence sequence", "of 20 examples asked", "surrogate if more than", "(level 0.1)"),
            *("independent if fewer than", "signs of evasion", "its owner claims an accuracy of 100%"),
        ):
            assert words in text, words

    def test_an_uncalibrated_one(
        self, fingerprint: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = self.text(run_cae, "-s", pool.source, "-f", fingerprint, "--no-ledger", monkeypatch=monkeypatch)
        for words in ("warning", "from the literature; its error rate is unknown", "none: uncalibrated"):
            assert words in text, words
        assert "what to do" not in text

    def test_where_no_score_is_called_a_surrogate(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No number stands where there is none."""
        given = ("--references", calibration_pool.folder("calibrate", "reference"), "--fpr", "0.05")
        assert run_cae("calibrate", "-f", own, *given).code == 0
        options = ("-s", pool.source, "-f", own, *NONCE, ALLOWED)
        text = self.text(run_cae, *options, monkeypatch=monkeypatch)
        assert "none: the references are too few for the rate" in text
        assert "at least 19 references" in text
        lines = {line.split("  ")[0]: line.split()[-1] for line in text.splitlines()}
        assert lines["surrogates"] == "none"

    def test_a_sequential_one_that_can_decide_nothing_is_refused_before_it_is_asked(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        given = ("--references", calibration_pool.folder("calibrate", "reference"), "--fpr", "0.05")
        assert run_cae("calibrate", "-f", own, *given).code == 0
        for more in ((), ("--dry-run",)):
            outcome = run_cae("verify", "-s", pool.source, "-f", own, "--sequential", *more)
            words = ("at least 39 references, and there are 9", "at least 39 surrogates, and there are 0")
            assert_one_sentence(outcome, "can decide nothing here", *words, code=2)
        events = [json.loads(line)["event"] for line in ledger_of(own).read_bytes().splitlines()]
        assert events == ["begun", "withdrawn"]  # nothing was asked, and nothing counts

    def test_a_sequential_one_that_can_decide_one_side_says_so(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = ("--references", calibration_pool.folder("calibrate", "reference"), "--fpr", "0.2")
        assert run_cae("calibrate", "-f", own, *given).code == 0
        words = "in sequential mode no answers can lead to the verdict independent: it takes at least 39 surrogates"
        sequential = ("-s", pool.source, "-f", own, "--sequential")
        assert words in self.text(run_cae, *sequential, ALLOWED, monkeypatch=monkeypatch)
        assert words in self.text(run_cae, *sequential, "--dry-run", monkeypatch=monkeypatch)
        assert words in run_cae("verify", *sequential, "--dry-run", "--json").json()["warnings"][0]

    def test_the_other_score_and_the_screen_role(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = (
            "--pool",
            calibration_pool.manifest,
            "--fpr",
            "0.2",
            "--fnr",
            "0.2",
            "--score",
            "llr",
            "--keep",
            "15",
        )
        assert run_cae("calibrate", "-f", own, *options).code == 0
        text = self.text(run_cae, "-s", pool.source, "-f", own, *NONCE, ALLOWED, monkeypatch=monkeypatch)
        for words in (
            *("decided by", "mean log-likelihood ratio", "15 examples, chosen by 6 models that set no threshold"),
            "for information; it decides nothing",
        ):
            assert words in text, words

    def test_inspect_says_whether_and_how_it_is_calibrated(self, own: Path, fingerprint: Path, run_cae: Run) -> None:
        told = run_cae("inspect", own, "--json").json()["calibration"]
        assert (told["references"], told["surrogates"], told["score"], told["fpr"]) == (9, 9, "caeacc", 0.2)
        text = run_cae("inspect", own).out
        assert "9: 9 unnamed; " in text
        assert "0.2 false accusations" in text
        assert run_cae("inspect", fingerprint, "--json").json()["calibration"] is None
        assert "calibration: none" in run_cae("inspect", fingerprint).out


class TestErrorsOfTheSource:
    """`cae generate --akh`: benign images that the source gets wrong, reported apart."""

    @pytest.fixture(scope="class")
    @staticmethod
    def with_errors(pool: Pool, calibration_pool: CalibrationPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("akh") / "akh.safetensors"
        run_quietly(pool.generate_arguments(path, "--akh", "15"))
        rates = ("--fpr", "0.2", "--fnr", "0.2", "--pool", str(calibration_pool.manifest))
        run_quietly(["calibrate", "--fingerprint", str(path), *rates])
        return path

    def test_surrogates_repeat_them_and_independent_models_do_not(
        self, with_errors: Path, pool: Pool, run_cae: Run
    ) -> None:
        found = {
            path.stem: run_cae("verify", "-s", path, "-f", with_errors, "--no-ledger", "--json").json()
            for path in (pool.source, pool.copy, pool.other)
        }
        assert found["source"]["akh"]["matches"] == found["source"]["akh"]["asked"] == 15
        assert found["source"]["akh"]["p_value"] == 0.1
        assert found["copy"]["akh"]["matches"] > found["other"]["akh"]["matches"]
        for verdict in found.values():
            assert set(verdict["queries"]) == {"fingerprint", "benign", "akh"}
            assert verdict["asked"] + verdict["queries"]["akh"] < 20 + 15 + 5

    def test_examples_are_the_same_with_and_without(self, with_errors: Path, fingerprint: Path) -> None:
        mine, plain = load_fingerprint(with_errors), load_fingerprint(fingerprint)
        np.testing.assert_array_equal(mine.images, plain.images)
        np.testing.assert_array_equal(mine.probe_images, plain.probe_images)
        assert mine.id != plain.id
        assert "akh" not in plain.generation["settings"]

    def test_they_are_shown(
        self, with_errors: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("COLUMNS", "300")
        text = run_cae("verify", "-s", pool.source, "-f", with_errors, "--no-ledger").out
        assert "15 of 15 repeated, p = 0.1  (on benign images; for information, it decides nothing)" in text
        assert " that the source gets wrong" in text
        assert "15 benign images that the source gets wrong" in run_cae("inspect", with_errors).out
        assert run_cae("inspect", with_errors, "--json").json()["akh"] == 15
        outcome = run_cae(*pool.generate_arguments(tmp_path / "f", "--akh", "9999"))
        found = int(outcome.out.splitlines()[1].split()[0])
        assert f"{found} of 9999 images that the source gets wrong" in outcome.out
        assert 15 < found < 500
        assert len(load_fingerprint(tmp_path / "f").of(SOURCE_ERROR)) == found

    def test_a_dry_run_counts_them_and_a_sequential_one_asks_none(
        self, with_errors: Path, pool: Pool, run_cae: Run
    ) -> None:
        given = ("-s", pool.source, "-f", with_errors)
        plan = run_cae("verify", *given, "--dry-run", "--json").json()
        assert 15 <= plan["queries"]["akh"] <= 20
        assert sum(plan["queries"].values()) == plan["total"]
        assert "that the source gets wrong" in run_cae("verify", *given, "--dry-run").out
        assert "akh" not in run_cae("verify", *given, "--dry-run", "--sequential", "--json").json()["queries"]
        assert run_cae("verify", *given, "--sequential", "--no-ledger", "--json").json()["akh"] is None

    def test_they_are_replayed(self, with_errors: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        path = tmp_path / "v.json"
        path.write_text(run_cae("verify", "-s", pool.source, "-f", with_errors, "--no-ledger", "--json").out)
        assert run_cae("verify", "--replay", path, "-f", with_errors).code == 0
        told = json.loads(path.read_text())
        edit(path, akh={**told["akh"], "matches": 1})
        assert_one_sentence(run_cae("verify", "--replay", path, "-f", with_errors), "it differs in akh")

    def test_a_number_below_0(self, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        outcome = run_cae(*pool.generate_arguments(tmp_path / "f", "--akh", "-1"))
        assert_one_sentence(outcome, "akh must be at least 0", code=2)


class TestDryRun:
    def test_what_it_costs(self, own: Path, run_cae: Run) -> None:
        """Nothing is opened: there is no such suspect."""
        plan = run_cae("verify", "-s", "http://x.example", "-f", own, "--dry-run", "--cost", "0.5", "--json").json()
        assert plan == {"format": 1, "queries": plan["queries"], "total": 231, "at_most": False, "cost": 115.5}
        assert sum(plan["queries"].values()) == 231
        text = run_cae("verify", "-s", "x", "-f", own, "--dry-run", "--cost", "0.5").out
        assert text.startswith("231 queries: ")
        assert "11 of them repeats); cost 115.5" in text
        assert "cost" not in run_cae("verify", "-s", "x", "-f", own, "--dry-run").out
        assert not ledger_of(own).exists()

    def test_a_sequential_one_is_a_limit(self, own: Path, run_cae: Run) -> None:
        given = ("verify", "-s", "x", "-f", own, "--dry-run", "--sequential")
        assert run_cae(*given, "--json").json()["at_most"]
        assert run_cae(*given).out.startswith("at most 74 queries")

    def test_a_budget_and_a_choice_of_examples(
        self, own: Path, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        given = ("verify", "-s", "x", "-f", own, "--dry-run", "--json")
        assert run_cae(*given, "--max-queries", "65").json()["total"] <= 65
        options = ("--pool", calibration_pool.manifest, "--keep", "12")
        assert run_cae("calibrate", "-f", own, *options).code == 0
        assert run_cae(*given).json()["total"] == 12 + 200 + 11

    def test_what_cannot_be_sequential(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        options = ("--pool", calibration_pool.manifest, "--score", "llr")
        assert run_cae("calibrate", "-f", own, *options).code == 0
        for more in ((), ("--dry-run",)):
            outcome = run_cae("verify", "-s", pool.source, "-f", own, "--sequential", *more)
            assert_one_sentence(outcome, "the likelihood-ratio score decides", "leave --sequential out", code=2)


@pytest.fixture
def record(own: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> Path:
    """A verdict, as the shell would write it."""
    path = tmp_path / "verdict.json"
    path.write_text(run_cae("verify", "-s", pool.source, "-f", own, ALLOWED, "--json").out)
    return path


def edit(record: Path, **changes: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    record.write_text(json.dumps({**json.loads(record.read_text()), **changes}))


class TestReplay:
    @pytest.mark.parametrize("mode", [(), ("--sequential",)])
    def test_the_answers_give_the_verdict_again(
        self, mode: tuple[str, ...], own: Path, pool: Pool, record: Path, run_cae: Run
    ) -> None:
        record.write_text(run_cae("verify", "-s", pool.source, "-f", own, ALLOWED, *mode, "--json").out)
        again = run_cae("verify", "--replay", record, "-f", own, "--json", "--exit-code")
        assert again.code == 3, again.err
        not_derived = {"earlier": None, "containment": None}
        assert again.json() | not_derived == json.loads(record.read_text()) | not_derived
        text = run_cae("verify", "--replay", record, "-f", own).out
        assert text.startswith(f"{record}: the recorded answers give the recorded verdict.")
        assert "SURROGATE" in text
        assert "were not checked" not in text

    def test_sentences_of_another_wording_are_derived_and_not_believed(
        self, own: Path, record: Path, run_cae: Run
    ) -> None:
        reason = json.loads(record.read_text())["reason"]
        edit(record, reason="beyond all doubt")
        assert_one_sentence(run_cae("verify", "--replay", record, "-f", own), "it differs in reason")
        edit(record, wording=1)
        text = run_cae("verify", "--replay", record, "-f", own).out
        assert "worded by another release, and were not checked" in text
        assert "beyond all doubt" not in text
        assert run_cae("verify", "--replay", record, "-f", own, "--json").json()["reason"] == reason

    def test_a_defence_is_refused_since_nobody_is_asked(self, own: Path, record: Path, run_cae: Run) -> None:
        outcome = run_cae("verify", "--replay", record, "-f", own, "--defence", "bits:4")
        assert outcome.code == 2
        assert "uses recorded answers and asks nobody" in " ".join(outcome.err.replace("│", " ").split())

    def test_an_edited_verdict(self, own: Path, record: Path, run_cae: Run) -> None:
        edit(record, verdict="independent", p_value=0.7)
        outcome = run_cae("verify", "--replay", record, "-f", own, "--exit-code")
        assert_one_sentence(outcome, "do not give what the record says", "it differs in p_value, verdict", "edited")
        assert outcome.out == ""

    def test_an_edited_answer(self, own: Path, record: Path, run_cae: Run) -> None:
        answers = json.loads(record.read_text())["answers"]
        answer = next(a for a in answers if a["kind"] == "fingerprint" and not a["repeat"])
        answer["label"] = (answer["label"] + 1) % 10
        edit(record, answers=answers)
        assert_one_sentence(run_cae("verify", "--replay", record, "-f", own), "caeacc", "matches")

    def test_missing_answers(self, own: Path, record: Path, run_cae: Run) -> None:
        edit(record, answers=json.loads(record.read_text())["answers"][:-1])
        assert_one_sentence(run_cae("verify", "--replay", record, "-f", own), "answers and its order takes more")

    def test_another_fingerprint_and_another_calibration(
        self, own: Path, fingerprint: Path, pool: Pool, *, tmp_path: Path, record: Path, run_cae: Run
    ) -> None:
        assert_one_sentence(run_cae("verify", "--replay", record, "-f", fingerprint), "it differs in", "calibration")
        other = tmp_path / "other.safetensors"
        assert run_cae(*pool.generate_arguments(other, "--seed", "1")).code == 0
        outcome = run_cae("verify", "--replay", record, "-f", other)
        assert_one_sentence(outcome, load_fingerprint(own).id[:12], load_fingerprint(other).id[:12])

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "cannot be read (No such file"),
            (b"", "this is not JSON"),
            (b"\xff\xfe", "this is not JSON"),
            (b"[" * 100_000, "this is not JSON"),
            (b"[]", "not a JSON object"),
            (b"{}", "no verdict as `cae verify --json` prints it"),
        ],
    )
    def test_what_is_no_record(
        self, content: bytes | None, words: str, own: Path, tmp_path: Path, run_cae: Run
    ) -> None:
        path = tmp_path / "record.json"
        if content is not None:
            path.write_bytes(content)
        assert_one_sentence(run_cae("verify", "--replay", path, "-f", own), words)


def shown(text: str) -> str:
    """Return a table's text without its lines' ends."""
    return " ".join(text.split())


class TestLedger:
    def verify(self, run_cae: Run, suspect: Path, own: Path, *more: str | Path) -> dict[str, Any]:
        outcome = run_cae("verify", "-s", suspect, "-f", own, "--json", *more)
        assert outcome.code == 0, outcome.err
        return outcome.json()

    def test_it_lies_beside_the_fingerprint_and_remembers(
        self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run
    ) -> None:
        none = {"verifications": 0, "examples_seen": 0, "interrupted": 0, "recognised": 0, "otherwise": 0}
        assert self.verify(run_cae, pool.source, own, *NONCE)["earlier"] == none
        assert ledger_of(own).stat().st_mode & 0o777 == 0o600
        seen = {**none, "verifications": 1, "examples_seen": 20}
        assert self.verify(run_cae, pool.source, own)["earlier"] == seen
        assert self.verify(run_cae, pool.source, own, *NONCE)["earlier"] == {**seen, "verifications": 2}
        renamed = Path(shutil.copy(pool.source, tmp_path / "renamed.onnx"))
        assert self.verify(run_cae, renamed, own)["earlier"]["verifications"] == 3
        changed = saved_again(pool.source, tmp_path / "changed.onnx")
        assert self.verify(run_cae, changed, own)["earlier"] == {**seen, "verifications": 4, "recognised": 4}
        assert self.verify(run_cae, pool.other, own)["earlier"] == none
        assert [json.loads(line)["event"] for line in ledger_of(own).read_text().splitlines()] == 6 * [
            "begun",
            "asking",
            "ended",
        ]

    def test_what_was_chosen_among_multiplies_p(self, own: Path, pool: Pool, run_cae: Run) -> None:
        few = ("--max-queries", "70", ALLOWED)
        first, second = (self.verify(run_cae, pool.source, own, *few) for _ in range(2))
        assert (first["p_value"], "repeated" in first) == (0.1, False)
        assert (second["p_value"], second["repeated"]["factor"], second["repeated"]["p_value"]) == (0.2, 2, 0.1)
        third = self.verify(run_cae, pool.source, own, *few)
        assert (third["verdict"], third["p_value"]) == ("inconclusive", 0.4)
        assert self.verify(run_cae, pool.source, own, ALLOWED)["verdict"] == "surrogate"  # everything is asked
        outcome = run_cae("verify", "-s", pool.source, "-f", own, *few)
        assert "by 16 for earlier verifications of this suspect; without them p would be 0.1" in shown(outcome.out)

    def test_only_what_it_was_asked_counts(self, own: Path, pool: Pool, run_cae: Run) -> None:
        few = self.verify(run_cae, pool.source, own, "--sequential", ALLOWED)
        whole = self.verify(run_cae, pool.source, own)
        earlier = whole["earlier"]
        assert (earlier["verifications"], earlier["examples_seen"]) == (1, few["asked"])
        assert earlier["otherwise"] == 1  # of another accuracy that was allowed

    def test_people_are_told(self, own: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        assert "seen before" not in run_cae("verify", "-s", pool.source, "-f", own).out
        text = run_cae("verify", "-s", pool.source, "-f", own).out
        assert "verified 1 time before; it had been asked 20 of these examples" in text

    def test_elsewhere(self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        elsewhere = ("--ledger", tmp_path / "l.jsonl")
        self.verify(run_cae, pool.source, own, *elsewhere)
        assert self.verify(run_cae, pool.source, own, *elsewhere)["earlier"]["verifications"] == 1
        assert not ledger_of(own).exists()

    def test_none(self, own: Path, pool: Pool, run_cae: Run) -> None:
        assert self.verify(run_cae, pool.source, own, "--no-ledger")["earlier"] is None
        assert not ledger_of(own).exists()

    def test_one_that_cannot_be_written_is_said_before_anything_is_asked(
        self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from cae_core import workflows

        monkeypatch.setattr(workflows, "verify", lambda *_given, **_options: pytest.fail("the suspect was asked"))
        outcome = run_cae("verify", "-s", pool.source, "-f", own, "--ledger", tmp_path)
        assert_one_sentence(outcome, str(tmp_path), "cannot be written (a folder is there", "Name a file")

    @pytest.mark.parametrize("loss", ["a full disk", "a removed folder"])
    def test_one_that_cannot_be_written_afterwards_costs_no_verdict(
        self, loss: str, own: Path, pool: Pool, *, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have been paid for: it is printed, and that nobody will remember it is said."""
        folder = tmp_path / "kept"
        folder.mkdir()
        write = ledger._write_line

        def write_less(file: Any, line: bytes) -> None:  # noqa: ANN401 - an open file
            if b'"event":"ended"' in line:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(file, line)
            if loss == "a removed folder" and b'"event":"asking"' in line:
                shutil.rmtree(folder)

        monkeypatch.setattr(ledger, "_write_line", write_less)
        given = ("verify", "-s", pool.source, "-f", own, ALLOWED, "--trusted", "--ledger", folder / "l.jsonl")
        for more, code in (((), 1), (("--exit-code",), 3)):
            folder.mkdir(exist_ok=True)
            outcome = run_cae(*given, "--json", *more)
            assert (outcome.code, outcome.json()["verdict"]) == (code, "surrogate")
            assert outcome.err.startswith(f"cae: {folder / 'l.jsonl'}: the ledger cannot be written (")
            assert outcome.err.endswith("The verdict stands, but the ledger does not remember it.\n")


class TestOccasion:
    def test_when_by_what_and_in_whose_name(
        self, own: Path, pool: Pool, run_cae: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 5, 1, 12, tzinfo=UTC))
        monkeypatch.setenv("COLUMNS", "200")
        given = ("-s", pool.other, "-f", own, "--no-ledger", "--case", "17 O 4/26")
        told = run_cae("verify", *given, "--json").json()
        assert (told["date"], told["case"], told["nonce_given"]) == ("2026-05-01T12:00:00+00:00", "17 O 4/26", False)
        assert told["tool"] == f"cae-fingerprint {__version__}"
        package = "onnxruntime" if sys.platform == "darwin" else "onnxruntime-gpu"
        assert told["runtime"] == f"onnxruntime {version(package)}"
        contract = open_model(str(pool.other)).contract  # type: ignore[attr-defined]
        assert told["contract"] == {"sha256": contract.digest, "table": contract.table()}
        text = shown(run_cae("verify", *given, *NONCE).out)
        assert "contract layout NHWC, range [0.0, 1.0], output logits" in text
        assert f"asked 2026-05-01T12:00:00+00:00, by cae-fingerprint {__version__}, onnxruntime" in text
        assert "case 17 O 4/26" in text
        assert "(given)" in text

    def test_the_contract_that_was_given_is_the_one_that_is_told(self, own: Path, pool: Pool, run_cae: Run) -> None:
        given = ("-s", pool.other, "-f", own, "--no-ledger", "--json")
        other = run_cae("verify", *given, "--contract", 'layout="NHWC", range=[0,2], output="logits"').json()
        assert other["contract"]["table"]["range"] == [0.0, 2.0]

    def test_a_name_that_hides_something_is_shown(self, own: Path, pool: Pool, run_cae: Run) -> None:
        given = ("verify", "-s", pool.other, "-f", own, "--no-ledger")
        out = run_cae(*given, "--case", "a\x1b[2Kb\u202ec").out
        assert "\x1b" not in out
        assert r"a\x1b[2Kb\u202ec" in out
        assert_one_sentence(run_cae(*given, "--case", "x" * 201), "at most 200 characters; found 201", code=2)

    def test_it_is_the_records_word(self, own: Path, record: Path, run_cae: Run) -> None:
        edit(record, date="2001-01-01T00:00:00+00:00", case="other")
        again = run_cae("verify", "--replay", record, "-f", own, "--json").json()
        assert (again["date"], again["case"]) == ("2001-01-01T00:00:00+00:00", "other")
        wrongs: tuple[dict[str, Any], ...] = (
            {"date": 3},
            {"date": "yesterday"},
            {"date": "2" * 300},
            {"case": "x" * 300},
            {"nonce_given": 1},
            {"is_source": "perhaps"},
            {"contract": {"sha256": "ab", "table": {"layout": "NHWC"}}},
            {"contract": {"sha256": "ab", "table": {"layout": [[[1]]]}}},
            {"contract": []},
        )
        for wrong in wrongs:
            edit(record, **{"date": "2001-01-01T00:00:00+00:00", **wrong})
            outcome = run_cae("verify", "--replay", record, "-f", own)
            assert_one_sentence(outcome, "no verdict as `cae verify --json` prints it")
            edit(record, case="", nonce_given=False, is_source=None, contract=None)


class TestKnownModels:
    @pytest.mark.parametrize("relation", ["surrogate", "reference"])
    def test_those_of_the_calibration_are_refused(
        self, relation: str, own: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        member = calibration_pool.members("calibrate", relation)[1]
        outcome = run_cae("verify", "-s", member, "-f", own)
        words = (f"is the {relation} {member.stem} of the calibration (role calibrate)", "it is the same file")
        assert_one_sentence(outcome, str(member), *words)
        changed = saved_again(member, tmp_path / "changed.onnx")
        outcome = run_cae("verify", "-s", changed, "-f", own)
        words = (
            f"answers every image like the {relation} {member.stem} of the calibration",
            "saved again or converted",
        )
        assert_one_sentence(outcome, str(changed), *words)

    def test_those_of_the_generation_are_refused(self, own: Path, pool: Pool, run_cae: Run) -> None:
        for folder, relation in ((pool.surrogates, "surrogate"), (pool.references, "reference")):
            member = sorted(folder.iterdir())[0]
            outcome = run_cae("verify", "-s", member, "-f", own)
            assert_one_sentence(outcome, f"is the {relation} {member.stem} that the fingerprint was made with")

    def test_a_screening_model_and_one_of_the_generation_by_its_scores(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        assert run_cae("calibrate", "-f", own, "--pool", calibration_pool.manifest).code == 0
        member = calibration_pool.members("screen", "surrogate")[0]
        assert_one_sentence(
            run_cae("verify", "-s", member, "-f", own), f"{member.stem} of the calibration (role screen)"
        )
        changed = saved_again(sorted(pool.references.iterdir())[0], tmp_path / "changed.onnx")
        outcome = run_cae("verify", "-s", changed, "-f", own)
        assert_one_sentence(
            outcome, "answers every image like the reference other-1 that the fingerprint was made with"
        )

    def test_the_source_itself_is_judged_and_named(
        self, own: Path, pool: Pool, calibration_pool: CalibrationPool, *, tmp_path: Path, run_cae: Run
    ) -> None:
        assert run_cae("calibrate", "-f", own, "--pool", calibration_pool.manifest).code == 0
        given = ("-f", own, "--no-ledger", "--json")
        by_file = run_cae("verify", "-s", pool.source, *given).json()
        assert (by_file["is_source"], by_file["self_check"]) == ("file", False)
        by_scores = run_cae("verify", "-s", saved_again(pool.source, tmp_path / "s.onnx"), *given).json()
        assert (by_scores["is_source"], by_scores["caeacc"]) == ("scores", by_file["caeacc"])
        assert run_cae("verify", "-s", pool.copy, *given).json()["is_source"] is None
        text = shown(run_cae("verify", "-s", pool.source, "-f", own, "--no-ledger").out)
        assert "the source itself its file is the source's own, a copy of it or the model itself" in text

    def test_a_self_check(self, own: Path, pool: Pool, run_cae: Run) -> None:
        given = ("-f", own, "--no-ledger", "--self-check")
        told = run_cae("verify", "-s", pool.source, *given, "--json").json()
        assert (told["is_source"], told["self_check"]) == ("file", True)
        text = shown(run_cae("verify", "-s", pool.source, *given).out)
        assert "its file is the source's own (checked on purpose)" in text
        outcome = run_cae("verify", "-s", pool.copy, *given)
        assert_one_sentence(outcome, "--self-check verifies the very file", "leave --self-check out", code=2)


class TestBadInput:
    def test_an_edited_calibration(self, own: Path, pool: Pool, run_cae: Run) -> None:
        rewrite(own, lambda told, _: told["calibration"].update(fpr=0.3))
        for command in (("verify", "-s", pool.source, "-f", own), ("inspect", own)):
            assert_one_sentence(run_cae(*command), str(own), "its calibration was edited")

    def test_an_edited_answer_of_a_reference(self, own: Path, pool: Pool, run_cae: Run) -> None:
        def change(_told: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
            answers = np.array(tensors["calibration.references.answers"])
            tensors["calibration.references.answers"] = (answers + 1) % 10

        rewrite(own, change)
        assert_one_sentence(run_cae("verify", "-s", pool.source, "-f", own), "its calibration was edited")

    def test_a_calibration_of_another_release(self, own: Path, pool: Pool, run_cae: Run) -> None:
        rewrite(own, lambda told, _: told["calibration"].update(format=99))
        outcome = run_cae("verify", "-s", pool.source, "-f", own)
        assert_one_sentence(outcome, "calibration has format version 99", "Calibrate again with this release")

    def test_the_calibration_of_another_fingerprint(self, own: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        other = tmp_path / "other.safetensors"
        assert run_cae(*pool.generate_arguments(other, "--seed", "1")).code == 0
        metadata, tensors = read_tensors(own)
        calibration = json.loads(metadata["cae"])["calibration"]

        def attach(told: dict[str, Any], into: dict[str, NDArray[Any]]) -> None:
            told["calibration"] = calibration
            into.update({name: t for name, t in tensors.items() if name.startswith("calibration.")})

        rewrite(other, attach)
        outcome = run_cae("verify", "-s", pool.source, "-f", other)
        assert_one_sentence(outcome, "the calibration belongs to the fingerprint", load_fingerprint(own).id[:12])

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ((), "expected either --suspect or --replay"),
            (("--suspect", "x.onnx", "--replay", "v.json"), "expected either --suspect or --replay"),
            (("--suspect", "x.onnx", "--cost", "1"), "--cost needs --dry-run"),
            (("--suspect", "x.onnx", "--ledger", "l", "--no-ledger"), "--ledger and --no-ledger exclude each other"),
            (("--suspect", "x.onnx", "--claimed-accuracy", "2"), "must lie in (0, 1]"),
            (("--suspect", "x.onnx", "--nonce", "xyz"), "hexadecimal digits"),
        ],
    )
    def test_usage(self, options: tuple[str, ...], words: str, own: Path, run_cae: Run) -> None:
        outcome = run_cae("verify", "-f", own, *options)
        assert outcome.code == 2
        assert words in " ".join(outcome.err.replace("│", " ").split())
        assert "Traceback" not in outcome.err
