"""Consent to files whose opening runs code, through the command line: option, manifest, plan, and what a seal says."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from cae_backends.training.plans import parse_plan
from cae_core.errors import PoolError
from cae_core.fingerprint.file import load_fingerprint
from tests.cli.conftest import Pool, Run

CONTRACT = 'layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\nsize = [8, 8]\nchannels = "GRAY"\n'
REFUSED = "runs whatever code stands in it"


@pytest.fixture(autouse=True)
def _here(converted_here: None) -> None:
    """Conversions are done in this process, which has the frameworks already."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "mine.pt2"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = ({0: torch.export.Dim("n")},)
        torch.export.save(torch.export.export(net, (torch.zeros(2, 8, 8, 1),), dynamic_shapes=free), path)
    path.with_suffix(".toml").write_text(CONTRACT)
    return path


def test_a_suspect(program: Path, fingerprint: Path, run_cae: Run) -> None:
    arguments = ("verify", "--suspect", program, "--fingerprint", fingerprint, "--no-ledger")
    refused = run_cae(*arguments)
    assert (refused.code, refused.out) == (1, "")
    assert REFUSED in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert run_cae(*arguments, "--trusted").code == 0


def test_a_conversion(program: Path, tmp_path: Path, run_cae: Run) -> None:
    refused = run_cae("convert", program, tmp_path / "m.onnx")
    assert refused.code == 1
    assert REFUSED in refused.err
    assert not (tmp_path / "m.onnx").exists()
    assert run_cae("convert", program, tmp_path / "m.onnx", "--trusted").code == 0


def test_members_of_a_pool(program: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    manifest = tmp_path / "pool.toml"
    words = ("--pool", manifest, "--data", "digits", "--role", "test", "--relation", "reference")
    assert REFUSED in run_cae("pool", "add", program, *words).err
    assert not manifest.exists()
    assert run_cae("pool", "add", program, *words, "--trusted").code == 0
    assert "trusted = true" in manifest.read_text()
    assert run_cae("pool", "check", "--pool", manifest, "--data", "digits").code == 0
    manifest.write_text(manifest.read_text().replace("trusted = true", "trusted = false"))
    assert REFUSED in run_cae("pool", "check", "--pool", manifest, "--data", "digits").err
    assert run_cae("pool", "add", pool.source, *words, "--trusted").code == 0  # it then runs in this process
    assert manifest.read_text().count("trusted = true") == 1


def test_the_source_of_a_plan(program: Path) -> None:
    members = [{"kind": "hard labels", "architectures": ["mlp"], "recipes": ["digits"], "count": {"test": 1}}]
    plan = {"source": {"file": str(program)}, "members": members}
    with pytest.raises(PoolError, match=rf"source: .*{REFUSED}.*trusted = true stands in \[source\]"):
        parse_plan(plan, origin="plan.toml")
    plan["source"] = {"file": str(program), "trusted": True}
    assert parse_plan(plan, origin="plan.toml").jobs[0].trusted
    plan["source"] = {"file": str(program), "trusted": "yes"}
    with pytest.raises(PoolError, match="trusted must be true or false; found 'yes'"):
        parse_plan(plan, origin="plan.toml")


def test_a_seal_of_a_source_that_no_judge_will_open(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    program, made = tmp_path / "source.pt2", tmp_path / "f.safetensors"
    assert run_cae("convert", pool.source, program).code == 0
    words = [word for word in pool.generate_arguments(made, "--source", str(program)) if word != "--trusted"]
    assert REFUSED in run_cae(*words).err
    outcome = run_cae(*words, "--trusted")
    assert outcome.code == 0, outcome.err
    assert load_fingerprint(made).generation["source"]["form"] == ".pt2"
    sealed = run_cae("seal", made, "--output", tmp_path / "seal.json")
    assert sealed.code == 0
    assert "The source is a .pt2 file, which a judge will not open" in sealed.err


def test_a_seal_of_an_onnx_source_says_nothing_of_it(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    assert "form" not in load_fingerprint(fingerprint).generation["source"]
    assert "will not open" not in run_cae("seal", fingerprint, "--output", tmp_path / "seal.json").err
