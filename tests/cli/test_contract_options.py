"""Single fields of a contract by options; what is nearly right on the command line is told how it is right."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Outcome, Pool

Run = Callable[..., Outcome]


def without_contract(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    del model.metadata_props[:]
    onnx.save(model, target)
    return target


def test_fields_by_options_are_a_contract_or_replace_fields_of_one(
    pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run
) -> None:
    """A range that the model does not take gives other answers, so that the options are seen to work."""
    common = ["-f", fingerprint, "--no-ledger", "--nonce", "00", "--json"]
    usual = run_cae("verify", "-s", pool.copy, *common).json()["matches"]
    bare = without_contract(pool.copy, tmp_path / "bare.onnx")
    refused = run_cae("verify", "-s", bare, *common)
    assert "does not say what it takes" in refused.err
    fields = ["--layout", "NHWC", "--range", "0,1", "--output", "logits"]
    stated = run_cae("verify", "-s", bare, *common, *fields).json()
    assert stated["matches"] == usual
    assert stated["contract"]["table"]["range"] == [0, 1]
    wrong = run_cae("verify", "-s", pool.copy, *common, "--range", "-30,1").json()
    assert wrong["contract"]["table"]["range"] == [-30, 1]
    assert wrong["contract"]["table"]["layout"] == stated["contract"]["table"]["layout"]
    assert wrong["matches"] != usual


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m.onnx"], "cae verify --suspect m.onnx"),
        (["-s", "a.onnx", "-s", "b.onnx"], "a verdict is about one suspect; found 2"),
        (["-s", "a.onnx", "--range", "0;1"], "expected numbers, separated by commas"),
        (["-s", "a.onnx", "--size", "32.5,32"], "expected whole numbers, separated by commas"),
    ],
)
def test_a_slip_is_told(run_cae: Run, arguments: list[str], words: str) -> None:
    outcome = run_cae("verify", *arguments)
    assert outcome.code == 2
    assert words in " ".join(outcome.err.replace("│", " ").split())
