"""`cae verify --replay`: a verdict derived again from its recorded answers."""

import pytest

from tests.golden.conftest import Check


def replayed(suspect: str, fingerprint: str, options: str = "") -> str:
    """Return the commands that record a verdict and derive it again, as a table and as JSON."""
    replay = f"cae verify -f {fingerprint}.safetensors --replay verdict.json"
    verify = f"cae verify -s suspects/{suspect}.exact -f {fingerprint}.safetensors --nonce 0011 --json {options}"
    return f"{verify} > verdict.json\n{replay} --exit-code\n{replay} --json"


CASES = {
    "fixed": replayed("copy", "fixed"),
    "earlier": "cae verify -s suspects/copy.exact -f fixed.safetensors --nonce 22\n" + replayed("copy", "fixed"),
    "sequential": replayed("stranger", "fixed", "--sequential"),
    "likelihood ratio": replayed("copy", "llr"),
    "akh": replayed("copy", "akh", "--no-ledger"),
    "uncalibrated": replayed("copy", "plain", "--no-ledger"),
    "another calibration": replayed("copy", "fixed", "--no-ledger")
    + "\ncae verify -f strict.safetensors --replay verdict.json",
    "another fingerprint": replayed("copy", "fixed", "--no-ledger")
    + "\ncae verify -f akh.safetensors --replay verdict.json",
}


@pytest.mark.parametrize("name", CASES)
def test_replay(name: str, check: Check) -> None:
    check("replays", name, CASES[name])
