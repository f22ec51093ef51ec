"""The table at the end: each model once, adjusted over the whole family, whatever was in the way."""

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.errors import OptionError, VerdictError
from cae_core.fingerprint.file import Fingerprint
from cae_core.scan.correction import Correction, adjusted, correction_for, is_plain_rank
from cae_core.scan.family import Family, Hashed
from cae_core.scan.listing import Listed
from cae_core.scan.log import ScanLog
from cae_core.scan.sarif import sarif_of
from cae_core.scan.summary import ScanSummary, summarise
from cae_core.statistics.exposure import ExposureRule
from cae_core.statistics.multiplicity import benjamini_hochberg, copies_found, holm, references_for
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit
from tests.core.scan.sarif_schema import faults_of
from tests.core.toys import toy_calibration, toy_fingerprint


@pytest.fixture
def fingerprint() -> Fingerprint:
    return toy_fingerprint()


def summary_of(tmp_path: Path, *found: dict[str, Any], correction: Correction = Correction.BH) -> ScanSummary:
    """Return the summary of suspects with these lines; one without ``sha256`` could not be read."""
    suspects = tuple(
        Hashed(listed=Listed(name=line["name"]), sha256=line.get("sha256", line["name"])) for line in found
    )
    family = Family(suspects)
    head = {"scan": 1, "family": family.sha256, "fingerprint": {}, "options": {}, "asked_by": "", "full": False}
    path = tmp_path / "scan.jsonl"
    with ScanLog(path, head) as log:
        for suspect, line in zip(suspects, found, strict=True):
            told = {name: value for name, value in line.items() if name not in ("name", "sha256")}
            log.add({"suspect": {"name": suspect.listed.name, "sha256": suspect.sha256}, **told})
    return summarise(path, family, correction=correction, rate=0.05)


def line(name: str, verdict: str = "surrogate", p: float | None = 0.01, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"name": name, "verdict": verdict, "p_value": p, "score": {"value": 0.5}, "reason": "so", **more}


def test_a_family_counts_those_that_failed_and_those_that_are_not_accused(tmp_path: Path) -> None:
    summary = summary_of(
        tmp_path,
        line("a", p=0.01),
        line("b", "inconclusive", 0.01),
        line("c", "independent", 1.0),
        {"name": "d", "error": "broken"},
        {"name": "e", "sha256": "", "error": "gone"},
        line("f", p=0.02),
        line("g", sha256="a", p=0.01, same_as="a"),
    )
    assert [(row.name, row.others) for row in summary.rows] == [
        *(("a", 1), ("b", 0), ("f", 0), ("c", 0), ("d", 0), ("e", 0)),
    ]
    assert {row.name: row.p_adjusted for row in summary.rows if row.p_adjusted} == {"a": 0.06, "f": 0.06}
    assert [row.adjusted_verdict for row in summary.rows[:3]] == ["inconclusive"] * 3
    assert summary.counts == {"surrogate": 2, "inconclusive": 1, "independent": 1, "failed": 2}
    assert (summary.suspects, summary.models, summary.accused, summary.exit_code) == (7, 6, 0, 3)
    assert summary.expected_by_chance == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [(["independent"], 0), (["independent", "inconclusive"], 4), (["inconclusive", "surrogate"], 3), ([], 4)],
)
def test_exit_codes(tmp_path: Path, verdicts: list[str], code: int) -> None:
    failed = [] if verdicts else [{"name": "x", "error": "broken"}]
    found = [line(f"{place}", verdict) for place, verdict in enumerate(verdicts)]
    assert summary_of(tmp_path, *found, *failed).exit_code == code


def test_one_model_by_two_contracts_is_told(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, line("a", p=0.02), {"name": "b", "sha256": "a", "same_as": "a", "error": "two ways"})
    assert [(row.name, row.verdict) for row in summary.rows] == [("a", "surrogate"), ("b", "failed")]
    assert summary.models == 1


@pytest.mark.parametrize(
    "changes",
    [{"verdict": "guilty"}, {"p_value": 2}, {"p_value": "0"}, {"score": {"value": "x"}}, {"reason": 3}, {"score": 1}],
)
def test_an_edited_line_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(VerdictError, match="line 2: this is no line"):
        summary_of(tmp_path, {**line("a"), **changes})


def test_a_model_without_a_line_is_missed(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, line("a"))
    family = Family((Hashed(listed=Listed(name="a"), sha256="a"), Hashed(listed=Listed(name="b"), sha256="b")))
    with pytest.raises(VerdictError, match="1 models have no line"):
        summarise(summary.output, family, correction=Correction.HOLM, rate=0.05)


def test_only_plain_ranks_are_corrected_by_benjamini_hochberg(fingerprint: Fingerprint) -> None:
    plain = toy_calibration(fingerprint, [1] * 19)
    assert is_plain_rank(plain)
    assert correction_for(plain, None) == Correction.BH
    assert correction_for(None, None) == Correction.NONE
    others: list[dict[str, Any]] = [
        {"score": Score.ADJUSTED},
        {"parametric": True},
        {"unit": Unit.RECIPE},
        {"null": NullHypothesis.TWO_WAY},
    ]
    for changes in others:
        changed = dataclasses.replace(plain, **changes)
        assert correction_for(changed, None) == Correction.HOLM, changes
        with pytest.raises(OptionError, match="plain rank"):
            correction_for(changed, "bh")
    assert correction_for(plain, None, factor=2) == Correction.HOLM
    assert correction_for(dataclasses.replace(plain, exposure=ExposureRule.LARGEST), None) == Correction.BH  # one group
    assert correction_for(plain, "none") == Correction.NONE
    with pytest.raises(OptionError, match="no p to correct"):
        correction_for(None, "holm")
    with pytest.raises(OptionError, match="correct must be one of bh, holm, none"):
        correction_for(plain, "bonferroni")


def test_what_is_not_accused_counts_as_one() -> None:
    p = [0.01, None, 0.02, None]
    assert adjusted(p, family=6, correction=Correction.HOLM) == [0.06, None, pytest.approx(0.1), None]
    assert adjusted(p, family=6, correction=Correction.NONE) == [None] * 4
    assert adjusted([], family=3, correction=Correction.BH) == []


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.07, 0.1, 1 / 3])
def test_the_plan_says_what_the_correction_finds(rate: float) -> None:
    """Against the correction itself: copies above all of r references, every other suspect with p = 1."""
    for suspects, copies in itertools.product((1, 2, 7, 20), repeat=2):
        if copies > suspects:
            continue
        needed = references_for(rate, suspects=suspects, copies=copies)
        exact = Fraction(rate).limit_denominator(100)
        for references in range(max(1, needed - 2), needed + 3):
            found = Fraction(suspects, copies * (references + 1)) <= exact
            assert found == (references >= needed), (suspects, copies, references)
            p = [1 / (references + 1)] * copies + [1.0] * (suspects - copies)
            assert bool(np.all(benjamini_hochberg(p)[:copies] <= rate * (1 + 1e-12))) == found
            assert bool(holm(p)[0] <= rate * (1 + 1e-12)) == (references >= references_for(rate, suspects=suspects))
            least = copies_found(rate, suspects=suspects, references=references)
            assert (least is not None and copies >= least) == found


def test_ten_copies_among_twenty_suspects_with_19_references_are_not_found(tmp_path: Path) -> None:
    copies = [line(f"copy {n}", p=1 / 20) for n in range(10)]
    others = [line(f"other {n}", "independent", 0.5) for n in range(10)]
    summary = summary_of(tmp_path, *copies, *others)
    assert (summary.counts["surrogate"], summary.accused) == (10, 0)
    (tmp_path / "scan.jsonl").unlink()
    assert summary_of(tmp_path, *[line(f"copy {n}", p=1 / 40) for n in range(10)], *others).accused == 10


def test_sarif_tells_the_verdicts_that_stand(tmp_path: Path) -> None:
    absolute, relative = str(tmp_path / "a b.onnx"), "c/d.onnx"
    found = [
        line(absolute, p=0.001, sha256="aa"),
        line(relative, p=0.05, sha256="cc"),
        line("e", "independent", 0.9, sha256="ee"),
    ]
    summary = summary_of(tmp_path, *found, {"name": "f", "error": "broken", "sha256": "ff"})
    log: Any = json.loads(json.dumps(sarif_of(summary), default=str))
    assert faults_of(log) == []
    (run,) = log["runs"]
    assert log["version"] == "2.1.0"
    assert [(r["ruleId"], r["level"], r["kind"]) for r in run["results"]] == [
        ("surrogate", "error", "fail"),
        ("inconclusive", "none", "review"),
        ("independent", "none", "pass"),
    ]
    uris = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]]
    assert uris[:2] == [Path(absolute).as_uri(), "c/d.onnx"]
    assert run["results"][1]["properties"]["verdict"] == "surrogate"
    assert {r["ruleId"] for r in run["results"]} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    (failed,) = run["invocations"][0]["toolExecutionNotifications"]
    assert failed["message"]["text"] == "broken"
    assert run["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize("fault", ["level", "kind", "uri", "version", "unknown"])
def test_the_schema_notices_what_is_no_sarif(tmp_path: Path, fault: str) -> None:
    log: Any = json.loads(json.dumps(sarif_of(summary_of(tmp_path, line("a"))), default=str))
    assert faults_of(log) == []
    result = log["runs"][0]["results"][0]
    if fault == "uri":
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] = 3
    elif fault == "version":
        log["version"] = "2.0.0"
    else:
        result[fault] = "grave"
    assert len(faults_of(log)) == 1
