"""The ledger beside a fingerprint, and what a verdict says of earlier ones."""

import pytest

from tests.golden.conftest import Check

_COPY = "cae verify -s suspects/copy.exact -f fixed.safetensors"
_OTHER = "cae verify -s suspects/stranger.exact -f fixed.safetensors"

CASES = {
    "another order": f"{_COPY} --nonce 00\n{_COPY} --nonce 01 --json\n{_COPY} --nonce 02",
    "the same order": f"{_COPY} --nonce 00\n{_COPY} --nonce 00 --json",
    "another suspect": f"{_COPY} --nonce 00 --sequential\n{_OTHER} --nonce 01 --sequential",
    "sequential, then fixed": f"{_COPY} --nonce 00 --sequential\n{_COPY} --nonce 01",
    "elsewhere": f"{_COPY} --nonce 00 --ledger other.jsonl\n{_COPY} --nonce 01 --ledger other.jsonl",
    "random nonce": f"{_COPY}",
    "none": f"{_COPY} --nonce 00 --no-ledger",
}


@pytest.mark.parametrize("name", CASES)
def test_ledger(name: str, check: Check) -> None:
    check("ledger", name, CASES[name])
