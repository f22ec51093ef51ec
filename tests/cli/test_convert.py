"""`cae convert`: from file to file, and bad input in one sentence."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from cae_backends.datasets import open_data
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.opening.opened import open_model
from tests.cli.conftest import Outcome, save_graph
from tests.converters.conftest import readout, save_keras

tf = load_tensorflow()
keras = load_keras()
layers = keras.layers

Run = Callable[..., Outcome]
Layers = Callable[[Any], Any]
CONTRACT = 'layout="NHWC", range=[0,255], output="probabilities", channels="GRAY"'


def classifier(before: Layers = lambda x: x, *, shape: tuple[int | None, ...] = (8, 8, 1)) -> Any:  # noqa: ANN401
    """Least squares on the pixels, in the range [0, 255]."""
    train = open_data("digits", split="train")
    weights = readout((train.images.reshape(-1, 64) / 255).astype(np.float32), train.labels)
    image = keras.Input(shape)
    dense = layers.Dense(10, activation="softmax")
    x = before(image)
    model = keras.Model(image, dense(layers.Flatten()(x) if None not in shape else layers.GlobalMaxPooling2D()(x)))
    if None not in shape:
        dense.set_weights([weights[:-1] / 255, weights[-1]])
    return model


@pytest.fixture(autouse=True)
def _here(converted_here: None) -> None:
    """Conversions are done in this process, which has the frameworks already."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "m.keras"
    save_keras(classifier(), path)
    path.with_suffix(".toml").write_text(CONTRACT.replace(", ", "\n"))
    return path


def save(folder: Path, model: Any) -> Path:  # noqa: ANN401
    """Save a Keras model without a sidecar."""
    path = folder / "bad.keras"
    save_keras(model, path)
    return path


def refused(outcome: Outcome, folder: Path, *words: str) -> None:
    """One sentence, exit 1, no traceback, and nothing written."""
    assert outcome.code == 1, outcome.err
    assert outcome.out == ""
    assert outcome.err.startswith("cae: ")
    assert "Traceback" not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    for word in words:
        assert word in outcome.err
    assert not [path for path in folder.rglob("*") if path.name.startswith((".", "out."))]


def test_from_keras_to_onnx_to_torch(source: Path, tmp_path: Path, run_cae: Run) -> None:
    digits = open_data("digits", split="test")
    expected = open_model(str(source), device="cpu").predict(digits.images)
    assert (expected.labels == digits.labels).mean() > 0.85
    first = run_cae("convert", source, tmp_path / "m.onnx", "--data", "digits")
    second = run_cae("convert", tmp_path / "m.onnx", tmp_path / "m.pt2", "--data", "digits")
    for outcome, name, rows in ((first, "m.onnx", ("ONNX Runtime", "onnx2torch")), (second, "m.pt2", ("torch",))):
        assert (outcome.code, outcome.err) == (0, "")
        assert f"{name}: written" in outcome.out.splitlines()[0]
        for text in (
            "run by",
            "images",
            "outputs differ by",
            "gradients, relative",
            "random (7)",
            "digits (16)",
            *rows,
        ):
            assert text in outcome.out
        found = open_model(str(tmp_path / name), device="cpu", trusted=True).predict(digits.images)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)  # type: ignore[arg-type]


def test_json(source: Path, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae("convert", source, tmp_path / "m.onnx", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    told = outcome.json()
    assert told["path"] == str(tmp_path / "m.onnx")
    assert told["contract"] == {
        "layout": "NHWC",
        "range": [0.0, 1.0],
        "output": "probabilities",
        "channels": "GRAY",
        "size": [8, 8],
        "dtype": "float32",
    }
    assert [(parity["runtime"], parity["images"], parity["count"]) for parity in told["parity"]] == [
        ("ONNX Runtime", "random", 7),
        ("onnx2torch", "random", 7),
    ]
    runtime, torch_ = told["parity"]
    assert runtime["gradients"] is None
    assert torch_["gradients"] < 1e-5
    assert max(runtime["outputs"], torch_["outputs"]) < 1e-5
    assert told["unchecked"] == ["Compared on random images only: no real ones were given."]


def test_without_data_it_says_so_on_stderr(source: Path, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae("convert", source, tmp_path / "m.onnx")
    assert outcome.code == 0
    assert outcome.err == "Compared on random images only: no real ones were given.\n"


def test_an_inline_contract_replaces_the_sidecar(source: Path, tmp_path: Path, run_cae: Run) -> None:
    contract = CONTRACT.replace("255", "1") + ", classes=[1,0,2,3,4,5,6,7,8,9]"
    assert run_cae("convert", source, tmp_path / "m.onnx", "--contract", contract).code == 0
    images = open_data("digits", split="test").images[:20]
    with_sidecar = open_model(str(source), device="cpu").predict(images // 255).probabilities
    found = open_model(str(tmp_path / "m.onnx"), device="cpu").predict(images // 255 * 255).probabilities
    assert found is not None
    assert with_sidecar is not None
    np.testing.assert_allclose(found[:, [1, 0]], with_sidecar[:, [0, 1]], atol=1e-2)


def test_a_lambda_layer_is_run_only_where_it_is_named(tmp_path: Path, run_cae: Run) -> None:
    path = save(tmp_path, classifier(layers.Lambda(lambda x: x * 1.0 + 0.0, name="pass_on")))
    arguments = ("convert", path, tmp_path / "out.onnx", "--contract", CONTRACT)
    refused(run_cae(*arguments), tmp_path, "pickled code (pass_on)", "--allow-lambda")
    refused(run_cae(*arguments, "--allow-lambda", "another"), tmp_path, "pickled code (pass_on)")
    assert run_cae(*arguments, "--allow-lambda", "pass_on").code == 0
    images = open_data("digits", split="test")
    found = open_model(str(tmp_path / "out.onnx"), device="cpu").predict(images.images)
    assert (found.labels == images.labels).mean() > 0.85


@pytest.mark.parametrize("target", ["out.keras", "out", "out.pt", "out.onnx.txt"])
def test_a_target_of_an_unknown_kind(source: Path, tmp_path: Path, run_cae: Run, target: str) -> None:
    refused(run_cae("convert", source, tmp_path / target), tmp_path, "ends in .onnx", ".pt2")


@pytest.mark.parametrize("name", ["m.txt", "m.pt", "m.pth", "m"])
def test_a_source_of_an_unknown_kind(source: Path, tmp_path: Path, run_cae: Run, name: str) -> None:
    (tmp_path / name).write_bytes(source.read_bytes())
    refused(run_cae("convert", tmp_path / name, tmp_path / "out.onnx", "--contract", CONTRACT), tmp_path, name)


def test_a_torch_pickle_is_never_opened(tmp_path: Path, run_cae: Run) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt")
    refused(run_cae("convert", tmp_path / "m.pt", tmp_path / "out.onnx", "--contract", CONTRACT), tmp_path, "m.pt")


@pytest.mark.parametrize("name", ["no.keras", "no.onnx", "no.pt2", "no"])
def test_a_file_that_is_not_there(tmp_path: Path, run_cae: Run, name: str) -> None:
    refused(run_cae("convert", tmp_path / name, tmp_path / "out.onnx"), tmp_path, name, "no such model file")


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.onnx", "m.pt2"])
def test_a_file_of_something_else(tmp_path: Path, run_cae: Run, name: str) -> None:
    for content in (b"", b"not a model"):
        (tmp_path / name).write_bytes(content)
        refused(run_cae("convert", tmp_path / name, tmp_path / "out.onnx", "--contract", CONTRACT), tmp_path, name)
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    refused(run_cae("convert", tmp_path / name, tmp_path / "out.onnx", "--contract", CONTRACT), tmp_path, name)


def test_a_folder_of_something_else(tmp_path: Path, run_cae: Run) -> None:
    (tmp_path / "m").mkdir()
    refused(run_cae("convert", tmp_path / "m", tmp_path / "out.onnx", "--contract", CONTRACT), tmp_path, "SavedModel")


def test_a_model_without_a_contract(source: Path, tmp_path: Path, run_cae: Run) -> None:
    (tmp_path / "m.keras").write_bytes(source.read_bytes())
    outcome = run_cae("convert", tmp_path / "m.keras", tmp_path / "out.onnx")
    assert outcome.code == 1
    assert "does not say what it takes; its input is float32 with shape (?, 8, 8, 1)" in outcome.err
    assert 'layout = "NHWC"' in outcome.err
    assert not (tmp_path / "out.onnx").exists()


def test_a_custom_layer_that_is_not_registered(tmp_path: Path, run_cae: Run) -> None:
    class Halved(layers.Layer):  # type: ignore[misc,name-defined] # Keras has no types
        def call(self, x: Any) -> Any:  # noqa: ANN401
            return x / 2

    path = save(tmp_path, classifier(Halved()))
    outcome = run_cae("convert", path, tmp_path / "out.onnx", "--contract", CONTRACT)
    refused(outcome, tmp_path, "'Halved'", "is not registered")


@pytest.mark.parametrize("kind", ["out.onnx", "out.pt2"])
def test_two_inputs(tmp_path: Path, run_cae: Run, kind: str) -> None:
    first, second = keras.Input((8, 8, 1), name="first"), keras.Input((8, 8, 1), name="second")
    path = save(
        tmp_path, keras.Model([first, second], layers.Dense(3)(layers.Flatten()(layers.Add()([first, second]))))
    )
    refused(run_cae("convert", path, tmp_path / kind, "--contract", CONTRACT), tmp_path, "found 2 (first, second)")
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("Add", ["flat", "more"], ["logits"])]
    save_graph(tmp_path / "two.onnx", nodes, {})
    proto = onnx.load(tmp_path / "two.onnx")
    proto.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, ("n", 64)))
    onnx.save(proto, tmp_path / "two.onnx")
    refused(run_cae("convert", tmp_path / "two.onnx", tmp_path / kind), tmp_path, "its inputs are image, more")


def test_a_saved_model_without_a_signature(tmp_path: Path, run_cae: Run) -> None:
    module = tf.Module()
    module.answer = tf.function(lambda images: tf.reduce_mean(images, [1, 2]))
    tf.saved_model.save(module, str(tmp_path / "m"))
    outcome = run_cae("convert", tmp_path / "m", tmp_path / "out.onnx", "--contract", CONTRACT)
    refused(outcome, tmp_path, "needs a signature called serving_default", "found none")


def test_a_size_that_is_open(tmp_path: Path, run_cae: Run) -> None:
    path = save(tmp_path, classifier(layers.Conv2D(4, 3), shape=(None, None, 1)))
    arguments = ("convert", path, tmp_path / "out.onnx", "--contract")
    refused(run_cae(*arguments, CONTRACT), tmp_path, "size = [32, 32]")
    assert run_cae(*arguments, CONTRACT + ", size=[9,7]", "--json").json()["contract"]["size"] == [9, 7]


def test_an_operation_that_onnx_lacks(tmp_path: Path, run_cae: Run) -> None:
    strange = layers.Lambda(lambda x: __import__("tensorflow").math.igamma(x + 1.0, x + 0.5), (8, 8, 1), name="strange")
    path = save(tmp_path, classifier(strange))
    outcome = run_cae("convert", path, tmp_path / "out.onnx", "--contract", CONTRACT, "--allow-lambda", "strange")
    refused(outcome, tmp_path, "operation Igamma (node '", "strange", "opset 17")


@pytest.mark.parametrize("kind", ["out.onnx", "out.pt2"])
def test_an_operator_that_torch_lacks(tmp_path: Path, run_cae: Run, kind: str) -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Hardmax", ["flat"], ["logits"], name="the_hardest"),
    ]
    save_graph(tmp_path / "m.onnx", nodes, {})
    contract = 'layout="NHWC", range=[0,1], output="logits", channels="GRAY"'
    outcome = run_cae("convert", tmp_path / "m.onnx", tmp_path / kind, "--contract", contract)
    refused(outcome, tmp_path, "operator Hardmax (opset 17, node 'model/the_hardest')", "cannot be converted to torch")


def test_a_contract_that_the_model_contradicts(source: Path, tmp_path: Path, run_cae: Run) -> None:
    contract = CONTRACT.replace("probabilities", "logits")
    refused(run_cae("convert", source, tmp_path / "out.onnx", "--contract", contract), tmp_path, "ends in a softmax")
    for wrong in (CONTRACT.replace("NHWC", "NCHW"), CONTRACT.replace("GRAY", "RGB")):
        refused(run_cae("convert", source, tmp_path / "out.onnx", "--contract", wrong), tmp_path, "Correct layout")
    malformed = run_cae("convert", source, tmp_path / "out.onnx", "--contract", CONTRACT + ", colour=1")
    refused(malformed, tmp_path, "unknown contract field 'colour'")


def test_data_that_do_not_exist(source: Path, tmp_path: Path, run_cae: Run) -> None:
    outcome = run_cae("convert", source, tmp_path / "out.onnx", "--data", tmp_path / "nothing")
    refused(outcome, tmp_path, "no such data set")


@pytest.mark.parametrize("kind", ["out.onnx", "out.pt2"])
def test_a_target_that_cannot_be_written(source: Path, tmp_path: Path, run_cae: Run, kind: str) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(run_cae("convert", source, tmp_path / "file" / kind), tmp_path, "cannot be written")
    (tmp_path / "taken.onnx").mkdir()
    assert run_cae("convert", source, tmp_path / "taken.onnx").code == 1
    assert [x.name for x in tmp_path.iterdir() if x.name.startswith(".")] == []


@pytest.mark.long
def test_a_fresh_process_says_nothing_of_its_libraries(source: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "cae_cli", "convert", str(source), str(tmp_path / "m.onnx"), "--data", "digits"]
    environment = {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)}
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    told = [line for line in ended.stderr.splitlines() if not re.match(r"cae: \d:\d\d:\d\d converting", line)]
    assert (ended.returncode, told) == (0, [])  # but where it is, once a minute
    assert "written" in ended.stdout
