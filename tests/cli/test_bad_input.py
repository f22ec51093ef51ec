"""Bad input: one clear sentence on stderr, no traceback, a non-zero exit, and nothing that was there is lost."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from safetensors.numpy import save_file

from tests.cli.conftest import CONTRACT, Outcome, Pool, save_graph

Run = Callable[..., Outcome]


def assert_one_sentence(outcome: Outcome, *words: str, code: int = 1) -> None:
    assert outcome.code == code, outcome.err
    assert outcome.err.startswith("cae: ")
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.fixture(autouse=True)
def _here(converted_here: None) -> None:
    """Conversions are done in this process, which has the frameworks already."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such fingerprint file"),
        (b"", "empty"),
        (b"\x89PNG not a fingerprint at all", "not a complete safetensors file"),
    ],
)
def test_a_missing_empty_or_foreign_fingerprint(
    pool: Pool, tmp_path: Path, run_cae: Run, content: bytes | None, words: str
) -> None:
    path = tmp_path / "f.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert_one_sentence(run_cae("verify", "-s", pool.copy, "-f", path), str(path), words)
    assert_one_sentence(run_cae("inspect", path), words)


def test_a_truncated_and_an_unrelated_safetensors_file(
    pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(fingerprint.read_bytes()[:-100])
    assert_one_sentence(run_cae("verify", "-s", pool.copy, "-f", cut), "not a complete safetensors file")
    other = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, other)
    assert_one_sentence(run_cae("verify", "-s", pool.copy, "-f", other), "holds no fingerprint")


def test_a_missing_or_corrupt_suspect(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "no.onnx", "-f", fingerprint), "no such model file")
    for content in (b"", b"not ONNX"):
        (tmp_path / "bad.onnx").write_bytes(content)
        assert_one_sentence(run_cae("verify", "-s", tmp_path / "bad.onnx", "-f", fingerprint), "bad.onnx")
    (tmp_path / "model.xyz").write_bytes(b"?")
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "model.xyz", "-f", fingerprint), "no installed backend")


def test_a_defence_that_is_none(pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    asked = ("verify", "-s", pool.copy, "-f", fingerprint, "--defence")
    for more in ((), ("--dry-run",)):
        assert_one_sentence(run_cae(*asked, "blur:1", *more), "Unknown defence 'blur:1'; there are", "jpeg:75", code=2)
    assert_one_sentence(run_cae(*asked, "noise:2"), "The defence noise takes a number from 0 to 1; found '2'", code=2)
    second = f"second-model:{tmp_path / 'no.onnx'}"
    assert_one_sentence(run_cae(*asked, second), "no such model file")
    told = run_cae(*asked, "noise:0.02", "--json").json()
    assert told["options"]["defence"] == "noise:0.02"
    assert "simulated defence" in run_cae(*asked, "noise:0.02").out


def test_a_model_without_an_image_input(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    path = tmp_path / "flat.onnx"
    weights = {"w": np.zeros((64, 10), np.float32)}
    save_graph(path, [helper.make_node("MatMul", ["image", "w"], ["logits"])], weights, shape=("n", 64))
    assert_one_sentence(run_cae("verify", "-s", path, "-f", fingerprint), "flat.onnx")


def linear_graph(path: Path, classes: int, *, constant: float = 0.0, metadata: dict[str, str] = CONTRACT) -> None:
    """Write a linear classifier of 8x8 images; a constant of NaN makes all its answers NaN."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], axis=1),
        helper.make_node("Gemm", ["x", "w", "b"], ["logits"]),
    ]
    random = np.random.default_rng(5)
    weights = {
        "w": random.normal(size=(64, classes)).astype(np.float32),
        "b": np.full(classes, constant, np.float32),
    }
    save_graph(path, nodes, weights, metadata=metadata)


def test_the_wrong_number_of_classes(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    linear_graph(tmp_path / "seven.onnx", 7)
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "seven.onnx", "-f", fingerprint), "7 classes", "has 10")


def test_nan_answers_are_no_matches_and_inconclusive(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    linear_graph(tmp_path / "nan.onnx", 10, constant=float("nan"))
    verdict = run_cae("verify", "-s", tmp_path / "nan.onnx", "-f", fingerprint, "--json").json()
    assert verdict["verdict"] == "inconclusive"
    assert verdict["matches"] == 0
    assert verdict["unanswered"] == sum(verdict["queries"].values())
    assert "no usable answer" in verdict["reason"]


def test_a_model_without_a_contract_is_not_guessed(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    linear_graph(tmp_path / "mute.onnx", 10, metadata={})
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "mute.onnx", "-f", fingerprint), "does not say", "layout")
    inline = 'layout="NHWC", range=[0,1], output="logits"'
    assert run_cae("verify", "-s", tmp_path / "mute.onnx", "-f", fingerprint, "--contract", inline).code == 0
    bad = run_cae("verify", "-s", tmp_path / "mute.onnx", "-f", fingerprint, "--contract", 'layout="NHWC", colour=1')
    assert_one_sentence(bad, "colour")


@pytest.mark.parametrize("eps", ["0", "0/255", "-8/255", "2"])
def test_an_eps_that_changes_nothing_or_too_much(pool: Pool, tmp_path: Path, run_cae: Run, eps: str) -> None:
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--eps", eps))
    assert_one_sentence(outcome, "eps", code=2)


@pytest.mark.parametrize("option", [("--eps", "eight"), ("--nonsense",), ("--count", "0")])
def test_wrong_usage(pool: Pool, tmp_path: Path, run_cae: Run, option: tuple[str, ...]) -> None:
    assert run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", *option)).code == 2


@pytest.mark.long
def test_a_pool_with_no_member_left(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    (tmp_path / "none").mkdir()
    start = ("generate", "--source", pool.source, "--data", "digits", "--references", pool.references)
    assert_one_sentence(run_cae(*start, "--surrogates", tmp_path / "none"), "no model file")
    assert_one_sentence(run_cae(*start), "no surrogate left")
    assert_one_sentence(run_cae("generate", "--data", "digits"), "Name the source model")


def test_one_file_as_surrogate_and_reference(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--references", str(pool.surrogates)))
    assert_one_sentence(outcome, "are one file")


def test_a_surrogate_as_a_reference_in_another_format(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    copied = tmp_path / "competitor.pt2"
    assert run_cae("convert", sorted(pool.surrogates.iterdir())[1], copied, "--json").code == 0
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--references", str(copied), "--trusted"))
    assert_one_sentence(outcome, "competitor", "answers all probes like copy-2", "which is a surrogate")
    run_cae("convert", pool.source, copied, "--json")
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--references", str(copied), "--trusted"))
    assert_one_sentence(outcome, "answers all probes like source, which is the source")
    assert not (tmp_path / "f.safetensors").exists()


def test_a_source_that_is_in_no_way_accurate(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    linear_graph(tmp_path / "random.onnx", 10)
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--source", str(tmp_path / "random.onnx")))
    assert_one_sentence(outcome, "random", "chance")


def test_class_counts_that_disagree(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    linear_graph(tmp_path / "seven.onnx", 7)
    outcome = run_cae(
        *pool.generate_arguments(tmp_path / "f.safetensors", "--references", str(tmp_path / "seven.onnx"))
    )
    assert_one_sentence(outcome, "seven", "7 classes")


def test_data_that_do_not_exist(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--data", str(tmp_path / "nothing")))
    assert_one_sentence(outcome, "no such data set")


def test_an_option_of_the_data_that_is_unknown(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--data", "digits,sise=32"))
    assert_one_sentence(outcome, "unknown option 'sise'")


def test_a_full_disk_keeps_the_old_file(
    pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "f.safetensors"
    shutil.copy(fingerprint, output)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_one_sentence(run_cae(*pool.generate_arguments(output)), "No space left on device")
    assert output.read_bytes() == fingerprint.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert run_cae(*pool.generate_arguments(output)).code == 0
    assert output.read_bytes() == fingerprint.read_bytes()


def test_debug_shows_the_traceback(fingerprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cae_cli.main import main
    from cae_core.errors import ModelError

    arguments = ["cae", "--debug", "verify", "-s", str(tmp_path / "no.onnx"), "-f", str(fingerprint)]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setenv("CAE_DEBUG", "")
    with pytest.raises(ModelError):
        main()


def test_an_onnx_model_is_opened_with_gradients_or_refused_by_name(pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    model = onnx.load(pool.copy)
    model.graph.node[2].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "odd.onnx")
    outcome = run_cae(*pool.generate_arguments(tmp_path / "f.safetensors", "--references", str(tmp_path / "odd.onnx")))
    assert_one_sentence(outcome, "NoSuchOperator")
