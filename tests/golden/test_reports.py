"""`cae report`: the page, its figures and pictures aside, and the same content as JSON.

The figures are left out: another release of Matplotlib or FreeType draws another path. Their numbers stand in the
page's tables, captions and JSON; of the pictures the pixels are compared.
"""

import pytest

from tests.golden.conftest import Check


def reported(suspect: str, fingerprint: str, options: str = "") -> str:
    """Return the commands that verify, and report the verdict as a page and as JSON."""
    report = f"cae report --verdict verdict.json --fingerprint {fingerprint}.safetensors --examples 2"
    verify = f"cae verify -s suspects/{suspect}.exact -f {fingerprint}.safetensors --nonce 0011 --no-ledger --json"
    return f"{verify} {options} > verdict.json\n{report}\n{report} --json"


CASES = {
    "fixed": reported("copy", "fixed"),
    "fixed, stranger": reported("stranger", "fixed"),
    "fixed, neither kind": reported("weak", "strong"),
    "likelihood ratio": reported("copy", "llr"),
    "akh": reported("copy", "akh"),
    "uncalibrated": reported("copy", "plain"),
    "sequential": reported("copy", "fixed", "--sequential"),
    "sequential, uncalibrated": reported("stranger", "plain", "--sequential"),
    "refused": reported("copy", "fixed").splitlines()[0]
    + "\ncae report --verdict verdict.json --fingerprint akh.safetensors",
}


@pytest.mark.parametrize("name", CASES)
def test_report(name: str, check: Check) -> None:
    check("reports", name, CASES[name])
