"""`cae contract`: a file that states nothing is asked by what is found for it."""

from pathlib import Path

import numpy as np
import pytest

from cae_backends.datasets import open_data
from cae_core.contract import read_contract
from cae_core.opening.opened import open_model
from tests.cli.conftest import Run, fit, write_onnx


@pytest.fixture(scope="module")
def unstated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A perceptron that wants its digits from 0 to 255, and does not say so."""
    train = open_data("digits", split="train")
    path = tmp_path_factory.mktemp("unstated") / "m.onnx"
    write_onnx(path, fit(0, train.images[:400], train.labels[:400]), gain=1 / 255, metadata={})
    return path


def test_what_is_found_is_written_and_used(run_cae: Run, unstated: Path, tmp_path: Path) -> None:
    place = tmp_path / "found.toml"
    outcome = run_cae("contract", str(unstated), "--data", "digits", "--output", str(place))
    assert outcome.code == 0, outcome.err
    assert "found" in outcome.out
    contract = read_contract(str(place))
    data = open_data("digits", split="test")
    wanted = read_contract('layout="NHWC", range=[0,255], output="logits", channels="GRAY"')
    found, true = (open_model(unstated, contract=each).predict(data.images).labels for each in (contract, wanted))
    assert np.mean(found == true) >= 0.99
    again = run_cae("contract", str(unstated), "--data", "digits", "--output", str(place))
    assert again.code == 1
    assert "there is a file already" in again.err


def test_json_tells_every_candidate(run_cae: Run, unstated: Path, tmp_path: Path) -> None:
    outcome = run_cae("contract", str(unstated), "--data", "digits", "--output", str(tmp_path / "c.toml"), "--json")
    told = outcome.json()
    assert told["contract"]["layout"] == "NHWC"
    assert told["tried"][0]["state"] == "found"
    assert {one["state"] for one in told["tried"]} >= {"found", "beaten"}
    assert all(one["images"] for one in told["tried"])


def test_nothing_is_written_of_a_model_that_knows_nothing(run_cae: Run, tmp_path: Path) -> None:
    train = open_data("digits", split="train")
    path = tmp_path / "m.onnx"
    write_onnx(path, fit(0, train.images[:200], np.random.default_rng(0).permutation(train.labels[:200])), metadata={})
    outcome = run_cae("contract", str(path), "--data", "digits")
    assert outcome.code == 1
    assert "Nothing was written." in outcome.out
    assert not path.with_suffix(".toml").exists()


def test_verify_finds_it_before_the_first_example(run_cae: Run, unstated: Path, fingerprint: Path) -> None:
    without = run_cae("verify", "--suspect", str(unstated), "--fingerprint", str(fingerprint), "--no-ledger")
    assert without.code == 1
    assert "does not say what it takes" in without.err
    outcome = run_cae(
        "verify", "--suspect", unstated, "--fingerprint", fingerprint, "--no-ledger", "--json", "--data", "digits"
    )
    assert outcome.code == 0, outcome.err
    verdict = outcome.json()
    asked_by = [verdict["contract"], *verdict.get("rivals", [])]
    assert all(one["table"]["layout"] == "NHWC" for one in asked_by)
    assert verdict["benign_accuracy"] > 0.7
