"""The verdict: the literature's rule, and the names that scripts rely on."""

import dataclasses
import json

import numpy as np
import pytest

from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.questions import Question
from cae_core.verification.decision import LITERATURE_THRESHOLD
from cae_core.verification.evidence import evidence_of
from cae_core.verification.examination import examine
from cae_core.verification.findings.table import findings_of
from cae_core.verification.options import VerificationOptions
from cae_core.verification.transcript import Transcript
from cae_core.verification.verdict import Suspect, Verdict
from tests.core.suspects import circumstances, ruled
from tests.core.toys import paired, toy_fingerprint


def asked(fingerprint: Fingerprint, matches: int) -> Transcript:
    """Return so many matches, 36 of 40 probes right, ten of them asked again, and one of these refused then."""
    n, labels = len(fingerprint), fingerprint.probe_labels
    said = np.where(np.arange(40) < 36, labels, (labels + 1) % 10)
    again = np.where(np.arange(10) == 4, -1, said[:10])
    transcript = Transcript()
    transcript.record(
        [Question(EXAMPLE, index, repeat=False) for index in range(n)],
        np.where(np.arange(n) < matches, fingerprint.labels, fingerprint.ground_truth),
    )
    transcript.record([Question(BENIGN, index, repeat=False) for index in range(40)], said)
    transcript.record([Question(BENIGN, index, repeat=True) for index in range(10)], again)
    return transcript


def make_verdict(matches: int, n: int, benign_reason: str | None = None) -> Verdict:
    subject = dataclasses.replace(paired(toy_fingerprint(n=n, probes=40)), sha256="ef")
    found = examine(subject, asked(subject.fingerprint, matches), VerificationOptions())
    examination = dataclasses.replace(found, circumstances=circumstances(benign=benign_reason))
    return Verdict(
        suspect=Suspect(name="x.onnx", sha256="ab"),
        nonce="00ff",
        examination=examination,
        evidence=evidence_of(examination),
        decision=ruled(examination),
        findings=findings_of(examination),
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
    assert (decision.threshold, decision.origin, decision.p_value) == (LITERATURE_THRESHOLD, "literature", None)
    assert "error rate is unknown" in decision.reason


@pytest.mark.parametrize("matches", [0, 100])
def test_a_failed_benign_check_is_inconclusive_whatever_the_matches(matches: int) -> None:
    decision = make_verdict(matches, 100, benign_reason="the input range").decision
    assert (decision.verdict, decision.reason, decision.weak) == ("inconclusive", "the input range", False)


def test_the_json_object_has_the_names_that_scripts_rely_on() -> None:
    told = json.loads(json.dumps(as_json(make_verdict(80, 100)), allow_nan=False))
    assert told["verdict"] == "surrogate"
    assert (told["caeacc"], told["matches"]) == (0.8, 80)
    assert told["queries"] == {"fingerprint": 100, "benign": 50}
    low, high = told["interval"]
    assert 0.7 < low < 0.8 < high < 0.9
    assert told["threshold"] == {"value": 0.75, "provenance": "literature"}
    assert told["p_value"] is None
    assert told["benign_accuracy"] == 0.9
    assert told["suspect"]["sha256"] == "ab"
    fingerprint = toy_fingerprint(n=100, probes=40)
    assert told["fingerprint"] == {"id": fingerprint.id, "sha256": "ef"}
    assert told["reason"]
    assert told["nonce"] == "00ff"
    assert (len(told["answers"]), told["nondeterministic"], told["unanswered"]) == (150, 1, 1)
    assert told["answers"][0] == {
        "kind": "fingerprint",
        "index": 0,
        "repeat": False,
        "label": int(fingerprint.labels[0]),
    }
    assert told["answers"][144] == {"kind": "benign", "index": 4, "repeat": True, "label": -1}
