"""The verdict: the literature's rule, and the names that scripts rely on."""

import json

import numpy as np
import pytest

from cae_core.fingerprint.questions import Question
from cae_core.method.caeacc import cae_accuracy
from cae_core.verification.decision import LITERATURE_THRESHOLD, Circumstances, decide_uncalibrated
from cae_core.verification.verdict import Answer, Verdict


def make_verdict(matches: int, n: int, benign_reason: str | None = None) -> Verdict:
    caeacc = cae_accuracy((np.arange(n) < matches).astype(np.int64), np.ones(n, np.int64))
    return Verdict(
        decision=decide_uncalibrated(caeacc, Circumstances(benign_reason=benign_reason)),
        caeacc=caeacc,
        benign_accuracy=0.9,
        queries={"fingerprint": n, "benign": 50},
        nondeterministic=0,
        unanswered=0,
        suspect={"name": "x.onnx", "sha256": "ab"},
        fingerprint={"id": "cd", "sha256": "ef"},
        nonce="00ff",
        answers=(Answer(Question("benign", 4, repeat=True), -1), Answer(Question("fingerprint", 0, repeat=False), 3)),
    )


@pytest.mark.parametrize(
    ("matches", "n", "verdict", "weak"),
    [
        (100, 100, "surrogate", False),
        (90, 100, "surrogate", False),
        (75, 100, "surrogate", True),
        (80, 100, "surrogate", True),
        (74, 100, "independent", False),
        (0, 100, "independent", False),
        (3, 4, "surrogate", True),
    ],
)
def test_the_literatures_threshold(matches: int, n: int, verdict: str, weak: bool) -> None:  # noqa: FBT001
    decision = make_verdict(matches, n).decision
    assert (decision.verdict, decision.weak) == (verdict, weak)
    assert (decision.threshold, decision.provenance, decision.p_value) == (LITERATURE_THRESHOLD, "literature", None)
    assert "no error rate" in decision.reason


@pytest.mark.parametrize("matches", [0, 100])
def test_a_failed_benign_check_is_inconclusive_whatever_the_matches(matches: int) -> None:
    decision = make_verdict(matches, 100, benign_reason="the input range").decision
    assert (decision.verdict, decision.reason, decision.weak) == ("inconclusive", "the input range", False)


def test_the_json_object_has_the_names_that_scripts_rely_on() -> None:
    told = json.loads(json.dumps(make_verdict(80, 100).as_dict(), allow_nan=False))
    assert told["verdict"] == "surrogate"
    assert (told["caeacc"], told["matches"]) == (0.8, 80)
    assert told["queries"] == {"fingerprint": 100, "benign": 50}
    low, high = told["interval"]
    assert 0.7 < low < 0.8 < high < 0.9
    assert told["threshold"] == {"value": 0.75, "provenance": "literature"}
    assert told["p_value"] is None
    assert told["benign_accuracy"] == 0.9
    assert told["suspect"]["sha256"] == "ab"
    assert told["fingerprint"] == {"id": "cd", "sha256": "ef"}
    assert told["reason"]
    assert told["nonce"] == "00ff"
    assert told["answers"] == [
        {"kind": "benign", "index": 4, "repeat": True, "label": -1},
        {"kind": "fingerprint", "index": 0, "repeat": False, "label": 3},
    ]
