"""`cae calibrate`: what it prints, the file afterwards, and its plan."""

import pytest

from tests.golden.conftest import Check

_TENTH = "cae calibrate --fingerprint plain.safetensors --fpr 0.1 --fnr 0.1"

CASES = {
    "fixed": f"{_TENTH} --pool calibrate.toml --output new.safetensors",
    "into the same file": f"{_TENTH} --pool calibrate.toml --json",
    "screened": f"{_TENTH} --pool pool.toml --keep 20 --output new.safetensors",
    "likelihood ratio": f"{_TENTH} --pool pool.toml --score llr --output new.safetensors\n"
    f"{_TENTH} --pool pool.toml --score llr --output new.safetensors --json",
    "parametric": f"{_TENTH} --pool calibrate.toml --parametric --output new.safetensors\n"
    f"{_TENTH} --pool calibrate.toml --parametric --output new.safetensors --json",
    "akh": "cae calibrate --fingerprint plain-akh.safetensors --pool calibrate.toml --output new.safetensors",
    "pretrained": "cae calibrate --fingerprint plain-pretrained.safetensors --pool pretrained.toml "
    "--output new.safetensors",
    "few references, no surrogates": f"{_TENTH} --references suspects/stranger.exact "
    "--references suspects/clumsy.exact --output new.safetensors",
    "another time": "cae calibrate --fingerprint fixed.safetensors --pool pool.toml --fpr 0.2 --fnr 0.2",
    "plan": "cae calibrate --plan --pool pool.toml --fpr 0.01 --fnr 0.05\n"
    "cae calibrate --plan --pool pool.toml --fpr 0.01 --fnr 0.05 --json\n"
    "cae calibrate --plan --pool pool.toml --fpr 0.1 --fnr 0.2",
}


@pytest.mark.parametrize("name", CASES)
def test_calibration(name: str, check: Check) -> None:
    check("calibration", name, CASES[name])
