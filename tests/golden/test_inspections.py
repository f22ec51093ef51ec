"""`cae inspect`: what a fingerprint's file holds."""

import pytest

from tests.golden.conftest import Check

_FILES = ("plain", "plain-akh", "plain-pretrained", "fixed", "screened", "llr", "parametric", "strict")

CASES = {name: f"cae inspect {name}.safetensors\ncae inspect {name}.safetensors --json" for name in _FILES}


@pytest.mark.parametrize("name", CASES)
def test_inspection(name: str, check: Check) -> None:
    check("inspections", name, CASES[name])
