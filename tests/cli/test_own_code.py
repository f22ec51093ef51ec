"""A suspect that its user makes by a class of his own: verified, recorded as uncontained."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from cae_backends.datasets import open_data
from cae_core.contract_search.of_file import contract_path, find_contract
from cae_core.errors import ModelError
from tests.cli.conftest import Run

CONTRACT = 'layout = "NHWC", range = [0, 1], output = "logits"'
FLAT = "torch:my_flat_net:Flat=w.pth"
CODE = """
from torch import nn

class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_flat_net.py").write_text(CODE)
    torch.manual_seed(0)
    weights = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).state_dict()
    torch.save({"net": {f"module.{name}": value for name, value in weights.items()}}, "w.pth")
    return tmp_path


def test_a_class_of_ones_own_is_verified_and_recorded(here: Path, fingerprint: Path, run_cae: Run) -> None:
    words = ("verify", "--suspect", FLAT, "--fingerprint", fingerprint, "--contract", CONTRACT, "--no-ledger")
    outcome = run_cae(*words, "--json")
    assert outcome.code == 0, outcome.err
    verdict = json.loads(outcome.out)
    assert verdict["suspect"]["name"] == FLAT
    assert [line.partition("  ")[2] for line in verdict["suspect"]["files"]] == ["w.pth", FLAT.partition("=")[0]]
    assert verdict["containment"]["reason"] == "it is its user's own code, named on the command line"
    printed = run_cae(*words)
    assert "the weights in 'net', names without 'module.'" in " ".join(printed.out.split())


def test_its_contract_is_looked_for_beside_the_weights(here: Path, run_cae: Run) -> None:
    assert contract_path("torch:my_flat_net:Flat()=runs/w.pth") == Path("runs/w.toml")
    outcome = run_cae("contract", FLAT, "--data", "digits", "--images", "20")
    assert outcome.code == 1  # weights that were never trained are right by no contract
    assert "0 to 255" in outcome.out
    assert "Nothing was written" in outcome.err + outcome.out
    with pytest.raises(ModelError, match="from the command line only"):
        find_contract(FLAT, open_data("digits", split="test"))
