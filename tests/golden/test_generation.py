"""`cae generate`: what it prints, and the fingerprint's file."""

import pytest

from tests.golden.conftest import Check

_FEW = "cae generate --preset perturbed --pool pool.toml --split all --eps 50/255 --count 6 --iterations 20 --tau 0.6"
_SMALL = f"{_FEW} --data images.npz"
_MANY = f"{_FEW} --data many.npz"

CASES = {
    "margins": f"{_SMALL} --output new.safetensors",
    "composite": f"{_SMALL} --objective composite --output new.safetensors",
    "composite, the source's label": f"{_SMALL} --objective composite --target source --output new.safetensors",
    "composite of Keras": f"{_SMALL} --objective composite-keras --output new.safetensors --json",
    "l2": f"{_SMALL} --norm l2 --eps 0.9 --output new.safetensors",
    "random seeds": f"{_SMALL} --ranking random --seed 5 --batch 4 --dropout 0.5 --output new.safetensors --json",
    "akh": f"{_MANY} --akh 6 --output new.safetensors",
    "akh, as JSON": f"{_MANY} --akh 2 --output new.safetensors --json",
    "pretrained": f"{_SMALL.replace('pool.toml', 'pretrained.toml')} --output new.safetensors",
    "too few seeds": f"{_SMALL} --max-seeds 9 --tau 0.998 --check-every 0 --output new.safetensors",
    "report": f"{_SMALL} --preset report --learning-rate 0.02 --output new.safetensors",
    "report's code": f"{_SMALL} --preset report-code --learning-rate 0.02 --output new.safetensors",
    "without a manifest": "cae generate --preset perturbed --source source.exact "
    "--surrogates judge/generate/copy-00.exact --references judge/generate/other-00.exact "
    "--references judge/generate/other-01.exact --data images.npz --split all "
    "--eps 50/255 --count 4 --iterations 20 --tau 0.6 --output new.safetensors",
}


@pytest.mark.parametrize("name", CASES)
def test_generation(name: str, check: Check) -> None:
    check("generation", name, CASES[name])
