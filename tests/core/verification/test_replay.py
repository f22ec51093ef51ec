"""An old verdict follows from its answers again, in every mode, and an edited one does not."""

import copy
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.record import Calibration
from cae_core.errors import VerdictError
from cae_core.files.records import as_json
from cae_core.statistics.score import Score
from cae_core.verification.options import RULE, VerificationOptions
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from cae_core.verification.wording import WORDING, reworded
from tests.core import earlier_records
from tests.core.earlier_records import CASES
from tests.core.suspects import NONCE, Scripted, ask, matching, oracle
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=60)
REFERENCES = [5 + i % 20 for i in range(39)]
SURROGATES = [40 + i % 15 for i in range(39)]
RANK = toy_calibration(FINGERPRINT, REFERENCES, SURROGATES)
WEIGHTS = np.random.default_rng(3).normal(size=(2, 60))

PATH = {"sequential": True, "beacon": "0af1" * 16, "beacon_time": "2026-05-01T12:00Z"}

Record = dict[str, Any]


def record(calibration: Calibration | None, matches: int = 35, **options: Any) -> Record:  # noqa: ANN401 - of different types
    """Return a verdict as a file holds it."""
    verdict = verify(
        matching(FINGERPRINT, matches, wrong_probes=3),
        dataclasses.replace(paired(FINGERPRINT, calibration), sha256="ef"),
        named=Suspect(name="x.onnx", sha256="ab"),
        options=VerificationOptions(**options),
        nonce=None if "beacon" in options else NONCE,
    )
    told: Record = json.loads(json.dumps(as_json(verdict)))
    return told


MODES: dict[str, tuple[Calibration | None, dict[str, Any]]] = {
    "uncalibrated": (None, {}),
    "rank": (RANK, {}),
    "likelihood ratio": (dataclasses.replace(RANK, score=Score.LLR, weights=WEIGHTS), {}),
    "adjusted": (dataclasses.replace(RANK, score=Score.ADJUSTED), {}),
    "adjusted, third rule": (dataclasses.replace(RANK, score=Score.ADJUSTED), {"rule": 3}),
    "screened": (dataclasses.replace(RANK, weights=WEIGHTS, chosen=np.arange(60) % 3 > 0), {}),
    "parametric": (dataclasses.replace(RANK, parametric=True), {}),
    "sequential": (RANK, {"sequential": True}),
    "sequential, uncalibrated": (None, {"sequential": True}),
    "path": (RANK, PATH),
    "path, screened": (dataclasses.replace(RANK, weights=WEIGHTS, chosen=np.arange(60) % 3 > 0), PATH),
    "path budget": (RANK, {**PATH, "max_queries": 40}),
    "budget": (RANK, {"max_queries": 80}),
    "sequential budget": (RANK, {"sequential": True, "max_queries": 70}),
    "claim": (RANK, {"claimed_accuracy": 1}),
    "extrapolation allowed": (RANK, {"allow_extrapolation": True}),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("matches", [5, 35, 60])
def test_a_record_is_derived_again(mode: str, matches: int) -> None:
    calibration, options = MODES[mode]
    told = record(calibration, matches, **options)
    found = replay_verdict(told, paired(FINGERPRINT, calibration))
    assert found.differences == ()
    assert json.loads(json.dumps(as_json(found.verdict))) == told


def test_by_the_third_rule_the_adjusted_score_decides_alone_where_references_are_as_accurate() -> None:
    probes = len(FINGERPRINT.probe_labels)
    right = np.arange(probes) >= np.arange(len(RANK.references))[:, np.newaxis] % 7
    references = dataclasses.replace(RANK.references, right=right)
    calibration = dataclasses.replace(RANK, score=Score.ADJUSTED, references=references)
    told = record(calibration, rule=3)
    assert [ranking["score"] for ranking in told["findings"]["adjusted"]["references"]] == ["adjusted"]
    told["options"]["rule"] = RULE
    assert replay_verdict(told, paired(FINGERPRINT, calibration)).differences


EARLIER: dict[str, Record] = json.loads((Path(__file__).parents[2] / "data" / "verdicts-0.1.0.json").read_bytes())


class TestRecordsOfBefore:
    def test_every_case_is_recorded(self) -> None:
        assert set(EARLIER) == set(CASES)

    @pytest.mark.parametrize("name", CASES)
    def test_they_are_derived_for_ever(self, name: str) -> None:
        calibration, *_ = CASES[name]
        found = replay_verdict(EARLIER[name], paired(earlier_records.FINGERPRINT, calibration))
        assert found.differences == ()
        assert found.verdict.decision.verdict == EARLIER[name]["verdict"]
        assert "rule" not in as_json(found.verdict)["options"]

    @pytest.mark.parametrize("name", CASES)
    def test_they_are_not_of_the_present_rule(self, name: str) -> None:
        calibration, *_ = CASES[name]
        told = copy.deepcopy(EARLIER[name])
        told["options"]["rule"] = RULE
        try:
            assert replay_verdict(told, paired(earlier_records.FINGERPRINT, calibration)).differences
        except VerdictError as error:
            assert re.search("not those that the nonce gives|its order takes more|can decide nothing", str(error))  # noqa: PT017 - either way it is noticed

    def test_a_present_one_is_not_of_the_first_rule(self) -> None:
        for mode, (calibration, options) in MODES.items():
            told = record(calibration, **options)
            del told["options"]["rule"]
            try:
                assert replay_verdict(told, paired(FINGERPRINT, calibration)).differences or calibration is None, mode
            except VerdictError:
                continue


class TestWording:
    def test_the_sentences_of_another_wording_are_not_held_against_the_present_ones(self) -> None:
        told = record(RANK) | {"wording": WORDING + 1, "reason": "because", "warnings": ["take care"]}
        told["findings"]["null_hypothesis"]["words"] = "of something"
        found = replay_verdict(told, paired(FINGERPRINT, RANK))
        assert (found.differences, found.reworded) == ((), True)
        assert not replay_verdict(record(RANK), paired(FINGERPRINT, RANK)).reworded
        assert found.verdict.decision.reason != "because"
        assert as_json(found.verdict)["wording"] == WORDING

    def test_facts_are(self) -> None:
        told = record(RANK)
        told["p_value"] = 0.001
        del told["wording"]
        told["findings"]["null_hypothesis"]["unit"] = "recipe"
        assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == ("findings", "p_value")

    def test_a_statement_says_what_was_derived(self) -> None:
        told = record(RANK)
        edited = copy.deepcopy(told)
        edited["reason"] = "because"
        edited["findings"]["null_hypothesis"]["words"] = "of something"
        del edited["wording"]
        assert reworded(edited, told) == told
        assert reworded(told, {}) == told


OCCASION = ("date", "case", "tool", "runtime", "contract", "nonce_given", "is_source", "self_check")


@pytest.mark.parametrize("mode", MODES)
def test_a_record_that_says_nothing_of_its_occasion_is_derived_as_it_was(mode: str) -> None:
    """Of the release that knew the present rule, and neither dates nor contracts."""
    calibration, options = MODES[mode]
    told = record(calibration, **options)
    before = {name: value for name, value in told.items() if name not in OCCASION}
    assert len(told) == len(before) + len(OCCASION)
    found = replay_verdict(before, paired(FINGERPRINT, calibration))
    assert found.differences == ()
    assert json.loads(json.dumps(as_json(found.verdict))) == before


@pytest.mark.parametrize("suspect", ["refusing", "fickle"])
def test_a_dishonest_suspects_too(suspect: str) -> None:
    answer, asked = oracle(FINGERPRINT), [0]

    def fickle(images: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        asked[0] += 1
        return (answer(images) + np.arange(len(images)) + asked[0]) % 10

    answers: dict[str, Callable[..., Any]] = {"refusing": lambda images: np.full(len(images), -1), "fickle": fickle}
    for options in (VerificationOptions(), VerificationOptions(sequential=True)):
        told = as_json(ask(Scripted(answers[suspect]), FINGERPRINT, calibration=RANK, options=options))
        assert replay_verdict(json.loads(json.dumps(told)), paired(FINGERPRINT, RANK)).differences == ()


def test_what_the_ledger_knew_does_not_follow_from_the_answers() -> None:
    told = {**record(RANK), "earlier": {"verifications": 3, "examples_seen": 60}}
    assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == ()


def first(told: Record, kind: str, *, match: bool = True) -> Record:
    """Return the first answer of its kind that is (not) right, as the record holds it."""
    labels = FINGERPRINT.labels if kind == "fingerprint" else FINGERPRINT.probe_labels
    answer: Record = next(
        a
        for a in told["answers"]
        if a["kind"] == kind and not a["repeat"] and (a["label"] == labels[a["index"]]) == match
    )
    return answer


class TestEditedRecords:
    @pytest.mark.parametrize("mode", ["uncalibrated", "rank", "budget"])
    @pytest.mark.parametrize(("kind", "field"), [("fingerprint", "matches"), ("benign", "benign_accuracy")])
    def test_a_label(self, mode: str, kind: str, field: str) -> None:
        calibration, options = MODES[mode]
        told = record(calibration, **options)
        answer = first(told, kind)
        answer["label"] = (answer["label"] + 1) % 10
        assert field in replay_verdict(told, paired(FINGERPRINT, calibration)).differences

    def test_a_label_of_a_repeat(self) -> None:
        told = record(RANK)
        again = next(answer for answer in told["answers"] if answer["repeat"])
        again["label"] = (again["label"] + 1) % 10
        assert "nondeterministic" in replay_verdict(told, paired(FINGERPRINT, RANK)).differences

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("verdict",), "independent"),
            (("reason",), "because"),
            (("p_value",), 0.001),
            (("p_value_surrogate",), None),
            (("caeacc",), 0.9),
            (("interval", 0), 0.5),
            (("threshold", "value"), 0.3),
            (("threshold", "provenance"), "parametric"),
            (("benign_range", 0), 0.2),
            (("queries", "benign"), 1),
            (("calibration", "references"), 99),
            (("calibration", "sha256"), "0"),
            (("evasion",), ["it refuses"]),
            (("more",), 1),
        ],
    )
    def test_anything_else(self, path: tuple[str | int, ...], value: object) -> None:
        told = record(RANK)
        inner: Any = told
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == (path[0],)

    def test_a_field_that_was_taken_out(self) -> None:
        told = record(RANK)
        del told["warnings"]
        assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == ("warnings",)

    def test_the_sequential_evidence(self) -> None:
        told = record(RANK, sequential=True)
        told["sequential"]["k0"] -= 1
        assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == ("sequential",)

    @pytest.mark.parametrize("change", ["nonce", "suspect", "order", "kind", "index", "repeat"])
    def test_another_order(self, change: str) -> None:
        told = record(RANK)
        answers = told["answers"]
        changes: dict[str, Callable[[], object]] = {
            "nonce": lambda: told.update(nonce="00" * 16),
            "suspect": lambda: told["suspect"].update(sha256="ac"),
            "order": answers.reverse,
            "kind": lambda: first(told, "benign").update(kind="fingerprint"),
            "index": lambda: first(told, "fingerprint").update(index=59),
            "repeat": lambda: first(told, "benign").update(repeat=True),
        }
        changes[change]()
        with pytest.raises(VerdictError, match="not those that the nonce gives for this fingerprint and calibration"):
            replay_verdict(told, paired(FINGERPRINT, RANK))

    @pytest.mark.parametrize("sequential", [False, True])
    def test_missing_answers(self, sequential: bool) -> None:  # noqa: FBT001
        told = record(RANK, sequential=sequential)
        told["answers"].pop()
        with pytest.raises(VerdictError, match=r"holds \d+ answers and its order takes more"):
            replay_verdict(told, paired(FINGERPRINT, RANK))

    @pytest.mark.parametrize("sequential", [False, True])
    def test_further_answers(self, sequential: bool) -> None:  # noqa: FBT001
        told = record(RANK, sequential=sequential)
        told["answers"].append(copy.copy(told["answers"][-1]))
        with pytest.raises(VerdictError, match="not those that the nonce gives"):
            replay_verdict(told, paired(FINGERPRINT, RANK))

    def test_other_options(self) -> None:
        told = record(RANK, claimed_accuracy=0.5)
        told["options"]["claimed_accuracy"] = 1.0
        assert "evasion" in replay_verdict(told, paired(FINGERPRINT, RANK)).differences
        told["options"]["max_queries"] = 80
        with pytest.raises(VerdictError, match="not those that the nonce gives"):
            replay_verdict(told, paired(FINGERPRINT, RANK))
        told["options"]["max_queries"] = 5
        with pytest.raises(
            VerdictError, match=r"The record was edited, .*--max-queries 5 is too few: a verification takes"
        ):
            replay_verdict(told, paired(FINGERPRINT, RANK))

    @pytest.mark.parametrize("label", [10, 2**31])
    def test_a_label_that_no_model_of_these_classes_gives(self, label: int) -> None:
        told = record(RANK)
        first(told, "fingerprint")["label"] = label
        with pytest.raises(VerdictError, match=r"The record was edited, .* and the fingerprint has 10"):
            replay_verdict(told, paired(FINGERPRINT, RANK))


class TestOthers:
    def test_another_fingerprint(self) -> None:
        other = toy_fingerprint(n=60, seed=6)
        with pytest.raises(VerdictError, match=f"{FINGERPRINT.id[:12]}… and the file at hand is {other.id[:12]}…"):
            replay_verdict(record(None), paired(other, None))

    @pytest.mark.parametrize(
        "other",
        [
            None,
            dataclasses.replace(RANK, fpr=0.1),
            dataclasses.replace(RANK, parametric=True),
            dataclasses.replace(RANK, references=RANK.surrogates),
            dataclasses.replace(RANK, score=Score.LLR, weights=WEIGHTS),
            dataclasses.replace(RANK, weights=WEIGHTS),
        ],
        ids=["none", "rate", "parametric", "references", "score", "weights"],
    )
    def test_another_calibration(self, other: Calibration | None) -> None:
        """Even one that gives the same verdict."""
        assert "calibration" in replay_verdict(record(RANK), paired(FINGERPRINT, other)).differences

    def test_another_choice_of_examples(self) -> None:
        other = dataclasses.replace(RANK, chosen=np.arange(60) < 30)
        with pytest.raises(VerdictError, match="the calibration is another one"):
            replay_verdict(record(RANK), paired(FINGERPRINT, other))

    def test_a_calibration_that_cannot_be_sequential(self) -> None:
        other = dataclasses.replace(RANK, score=Score.LLR, weights=WEIGHTS)
        with pytest.raises(VerdictError, match="or made by another calibration: The sequential mode counts matches"):
            replay_verdict(record(RANK, sequential=True), paired(FINGERPRINT, other))


def without(name: str) -> Callable[[Record], object]:
    return lambda told: told.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        *(without(name) for name in ("answers", "suspect", "fingerprint", "nonce", "options")),
        lambda told: told.update(answers=None),
        lambda told: told.update(answers=[1]),
        lambda told: told.update(answers={"label": 1}),
        lambda told: told["answers"][3].pop("label"),
        lambda told: told["answers"][3].update(label="3"),
        lambda told: told["answers"][3].update(label=3.0),
        lambda told: told["answers"][3].update(label=True),
        lambda told: told["answers"][3].update(label=None),
        lambda told: told["answers"][3].update(label=10**30),
        lambda told: told["answers"][3].update(label=-(10**30)),
        lambda told: told.update(suspect="x"),
        lambda told: told.update(fingerprint=[]),
        lambda told: told.update(nonce="xyz"),
        lambda told: told.update(nonce=7),
        lambda told: told.update(options=None),
        lambda told: told.update(options={"speed": 1}),
        lambda told: told["options"].update(sequential="yes"),
        lambda told: told["options"].update(max_queries="10"),
        lambda told: told["options"].update(claimed_accuracy=[1]),
        lambda told: told["options"].update(claimed_accuracy=3),
        lambda told: told["options"].update(rule=RULE + 1),
        lambda told: told["options"].update(rule="2"),
    ],
)
def test_what_is_no_verdict(change: Callable[[Record], object]) -> None:
    told = record(RANK)
    change(told)
    with pytest.raises(VerdictError, match="no verdict as `cae verify --json` prints it"):
        replay_verdict(told, paired(FINGERPRINT, RANK))


def test_a_record_without_a_number_of_its_format_is_of_the_first() -> None:
    told = record(RANK)
    assert told.pop("format") == 1
    assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == ()


@pytest.mark.parametrize("number", [0, 2, "1", True, None, [1]])
def test_a_record_of_another_format_is_refused(number: object) -> None:
    told = {**record(RANK), "format": number}
    with pytest.raises(
        VerdictError, match=r"^old\.json: this verdict has format version .+ and this release reads 1\. "
    ):
        replay_verdict(told, paired(FINGERPRINT, RANK), origin="old.json")


@pytest.mark.parametrize(("factor", "differences"), [(1 + 1e-12, ()), (1 + 1e-6, ("p_value",))])
def test_numbers_may_differ_in_the_last_digits_only(factor: float, differences: tuple[str, ...]) -> None:
    told = record(RANK)
    told["p_value"] *= factor
    assert replay_verdict(told, paired(FINGERPRINT, RANK)).differences == differences
