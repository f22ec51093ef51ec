"""`cae verify`: the table, the JSON and the exit code of every kind of verdict."""

import pytest

from tests.golden.conftest import Check


def both(suspect: str, fingerprint: str, options: str = "") -> str:
    """Return the commands that print a verdict as JSON and as a table."""
    command = (
        f"cae verify -s suspects/{suspect}.exact -f {fingerprint}.safetensors --nonce 0011aaff --no-ledger {options}"
    )
    return f"{command} --exit-code\n{command} --json"


CASES = {
    "copy": both("copy", "fixed"),
    "stranger": both("stranger", "fixed"),
    "trusted": both("copy", "fixed", "--trusted").replace("copy.exact", "copy.program"),
    "labels only": both("labels", "fixed"),
    "weak copy": both("weak", "fixed"),
    "neither kind": both("weak", "strong"),
    "between": both("between", "fixed"),
    "between, budget": both("between", "fixed", "--max-queries 90"),
    "too few models": both("copy", "strict"),
    "wrong input": both("random", "fixed"),
    "one class": both("constant", "fixed"),
    "refusing": both("refusing", "fixed"),
    "evading": both("evading", "fixed"),
    "nondeterministic": both("forgetful", "fixed"),
    "extrapolated": both("clumsy", "fixed"),
    "extrapolated, allowed": both("clumsy", "fixed", "--allow-extrapolation"),
    "claimed accuracy": both("stranger", "fixed", "--claimed-accuracy 0.999"),
    "shared ancestor": both("copy", "pretrained"),
    "shared ancestor, stranger": both("stranger", "pretrained"),
    "budget": both("copy", "fixed", "--max-queries 85"),
    "screened": both("copy", "screened"),
    "likelihood ratio": both("copy", "llr"),
    "likelihood ratio, stranger": both("stranger", "llr"),
    "likelihood ratio, between": both("between", "llr"),
    "parametric": both("copy", "parametric"),
    "parametric, between": both("between", "parametric"),
    "parametric, stranger": both("stranger", "parametric"),
    "akh": both("copy", "akh"),
    "akh, between": both("between", "akh"),
    "akh, stranger": both("stranger", "akh"),
    "akh, uncalibrated": both("copy", "plain-akh"),
    "akh, budget": both("copy", "akh", "--max-queries 90"),
    "uncalibrated": both("copy", "plain"),
    "uncalibrated, stranger": both("stranger", "plain"),
    "uncalibrated, weak": both("poor", "plain"),
    "uncalibrated, refusing": both("refusing", "plain"),
    "uncalibrated, shared ancestor": both("copy", "plain-pretrained"),
    "sequential": both("copy", "fixed", "--sequential"),
    "sequential, stranger": both("stranger", "fixed", "--sequential"),
    "sequential, between": both("between", "fixed", "--sequential"),
    "sequential, weak copy": both("weak", "fixed", "--sequential"),
    "sequential, neither kind": both("weak", "strong", "--sequential"),
    "sequential, refusing": both("refusing", "fixed", "--sequential"),
    "sequential, budget": both("copy", "fixed", "--sequential --max-queries 75"),
    "sequential, screened": both("poor", "screened", "--sequential"),
    "sequential, akh": both("copy", "akh", "--sequential"),
    "sequential, shared ancestor": both("copy", "pretrained", "--sequential"),
    "sequential, uncalibrated": both("copy", "plain", "--sequential"),
    "sequential, uncalibrated, stranger": both("stranger", "plain", "--sequential"),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str, check: Check) -> None:
    check("verdicts", name, CASES[name])
