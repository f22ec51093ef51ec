"""`cae verify --dry-run`: how many queries it takes."""

import pytest

from tests.golden.conftest import Check


def both(fingerprint: str, options: str = "") -> str:
    """Return the commands that print a plan as a sentence and as JSON."""
    command = f"cae verify -s suspects/copy.exact -f {fingerprint}.safetensors --dry-run {options}"
    return f"{command}\n{command} --json"


CASES = {
    "fixed": both("fixed"),
    "cost": both("fixed", "--cost 0.25"),
    "budget": both("fixed", "--max-queries 100"),
    "screened": both("screened"),
    "akh": both("akh"),
    "uncalibrated": both("plain"),
    "sequential": both("fixed", "--sequential --cost 2"),
    "sequential, out of reach": both("fixed", "--sequential --max-queries 65"),
    "sequential, akh": both("akh", "--sequential"),
    "sequential, uncalibrated": both("plain", "--sequential"),
    "sequential, impossible": both("strict", "--sequential"),
    "sequential, likelihood ratio": both("llr", "--sequential"),
}


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str, check: Check) -> None:
    check("plans", name, CASES[name])
