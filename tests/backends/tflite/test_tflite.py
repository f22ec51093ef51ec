"""TFLite suspects: the labels of the bare interpreter, quantised or not, whatever the batch; and what is refused."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.native_output import without_stderr
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_backends.tflite import LOADER, runtime
from cae_backends.tflite.model import TfliteModel, open_tflite
from cae_backends.tflite.runtime import load_runtime
from cae_converters.conversion import convert
from cae_core.arrays import Floats32
from cae_core.contract import Contract, Task
from cae_core.errors import BackendMissing, ContractError, ModelError
from cae_core.models import Predictions
from cae_core.opening.opened import open_model
from cae_core.opening.party import Party
from cae_core.testing import check_model

tf, keras = load_tensorflow(), load_keras()
Layer: Any = keras.layers.Layer

TOLD = Contract(layout="NHWC", range=(0.0, 1.0), output="probabilities")
IMAGES: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
WHOLE = ("int8", "uint8")


class Largest(Layer):  # type: ignore[misc] # untyped
    """Keras' own argmax has a rule for -0 that TFLite has not."""

    def call(self, told: Any) -> Any:  # noqa: ANN401
        return tf.argmax(told, 1)

    def compute_output_shape(self, shape: Any) -> Any:  # noqa: ANN401
        return shape[:1]


def classifier(end: str | None = "softmax", *, labels: bool = False) -> Any:  # noqa: ANN401
    keras.utils.set_random_seed(1)
    layers = keras.layers
    given = keras.Input((8, 8, 1))
    hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(given))
    told = layers.Dense(10, activation=end)(hidden)
    return keras.Model(given, Largest()(told) if labels else told)


def converted(folder: Path, name: str) -> bytes:
    """Return the network as a file: float, quantised in part, quantised with input and output, or with labels."""
    network = classifier(None if name == "logits" else "softmax", labels=name == "labels")
    batch = [keras.InputSpec(shape=(4, 8, 8, 1), dtype="float32")] if name == "fixed" else None
    network.export(folder / name, verbose=False, input_signature=batch)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / name))
    if name in ("dynamic", *WHOLE):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name in WHOLE:
        converter.representative_dataset = lambda: ([IMAGES[i : i + 1].astype(np.float32) / 255] for i in range(9))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, name)
    content: bytes = converter.convert()
    return content


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, made = tmp_path_factory.mktemp("tflite"), {}
    with without_stderr():  # the converter writes to stderr what it has done
        for name in ("float", "logits", "dynamic", *WHOLE, "fixed", "labels"):
            made[name] = folder / f"{name}.tflite"
            made[name].write_bytes(converted(folder, name))
    return made


def bare(path: Path) -> Iterator[NDArray[Any]]:
    """The oracle: the interpreter itself, one image at a time, with the file's own scales."""
    interpreter = load_runtime().interpreter(model_content=path.read_bytes())
    with without_stderr():
        taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        batch = max(1, taken["shape_signature"][0])
        interpreter.allocate_tensors()
    for image in IMAGES:
        x = np.repeat(image[None] / 255.0, batch, axis=0)
        if taken["dtype"] != np.float32:
            scale, zero = taken["quantization"]
            x = np.clip(np.round(x / scale + zero), np.iinfo(taken["dtype"]).min, np.iinfo(taken["dtype"]).max)
        interpreter.set_tensor(taken["index"], x.astype(taken["dtype"]))
        with without_stderr():
            interpreter.invoke()
        raw = interpreter.get_tensor(given["index"])[0]
        scale, zero = given["quantization"]
        yield (raw.astype(np.float32) - zero) * scale if scale else raw


def scores(told: Predictions) -> Floats32:
    assert told.probabilities is not None
    return told.probabilities


@pytest.mark.parametrize("name", ["float", "dynamic", *WHOLE, "fixed"])
def test_answers_are_those_of_the_bare_interpreter(files: dict[str, Path], name: str) -> None:
    model, expected = open_tflite(files[name], contract=TOLD, device="cpu"), np.stack(list(bare(files[name])))
    told = model.predict(IMAGES)
    probabilities = scores(told)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(told.labels, expected.argmax(1))
    keras_told = classifier()(IMAGES / 255.0).numpy()
    np.testing.assert_allclose(probabilities, keras_told, atol=0.02 if name in (*WHOLE, "dynamic") else 1e-5)
    if name not in WHOLE:  # rows of whole numbers do not sum to 1
        check_model(model, IMAGES, classes=10)


def test_logits_and_labels(files: dict[str, Path]) -> None:
    logits = open_tflite(files["logits"], contract=TOLD.replace(output="logits"), device="auto")
    expected = classifier()(IMAGES / 255.0).numpy()
    np.testing.assert_allclose(scores(logits.predict(IMAGES)), expected, atol=1e-5)
    labels = open_tflite(files["labels"], contract=TOLD.replace(output="labels"), device="cpu")
    np.testing.assert_array_equal(labels.predict(IMAGES).labels, expected.argmax(1))
    check_model(labels, IMAGES, classes=10)


def test_an_open_model_is_asked_by_another_contract(files: dict[str, Path]) -> None:
    model = open_tflite(files["float"], contract=TOLD, device="cpu")
    other = model.by_contract(TOLD.replace(range=(0.0, 255.0)))
    for images in (IMAGES[:3], IMAGES):  # the interpreter is theirs in common
        np.testing.assert_allclose(scores(model.predict(images)), classifier()(images / 255.0).numpy(), atol=1e-5)
        np.testing.assert_allclose(scores(other.predict(images)), classifier()(images * 1.0).numpy(), atol=1e-5)
    with pytest.raises(ContractError, match="the model ends in a softmax"):
        model.by_contract(TOLD.replace(output="logits"))


def test_a_contract_of_whole_numbers_hands_them_over_as_they_are(files: dict[str, Path]) -> None:
    whole = TOLD.replace(dtype="uint8", range=(0.0, 255.0))
    told, real = (open_tflite(files["uint8"], contract=c, device="cpu").predict(IMAGES) for c in (whole, TOLD))
    np.testing.assert_array_equal(told.labels, real.labels)  # its scale is next to 1 / 255
    with pytest.raises(ContractError, match=r'takes int8 and its contract says uint8.*dtype = "float32" speaks of'):
        open_tflite(files["int8"], contract=whole, device="cpu")
    with pytest.raises(ContractError, match=r'takes float32 and its contract says uint8\. Say dtype = "float32"'):
        open_tflite(files["float"], contract=whole, device="cpu")


@pytest.mark.parametrize("name", ["float", "int8"])
def test_a_softmax_at_the_end_is_seen(files: dict[str, Path], name: str) -> None:
    with pytest.raises(ContractError, match="the model ends in a softmax"):
        open_tflite(files[name], contract=TOLD.replace(output="logits"), device="cpu")


def test_images_that_do_not_fit_are_refused(files: dict[str, Path]) -> None:
    model = open_tflite(files["float"], contract=TOLD, device="cpu")
    with pytest.raises(ContractError, match=r"takes images of shape \(8, 8, 1\) and its contract makes \(9, 9, 1\)"):
        model.predict(np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(ModelError, match=r"which takes one integer output; found .*float32"):
        open_tflite(files["float"], contract=TOLD.replace(output="labels"), device="cpu")
    with pytest.raises(ContractError, match="the contract's input is 'pixels'; the model's is"):
        open_tflite(files["float"], contract=TOLD.replace(input="pixels"), device="cpu")
    with pytest.raises(ModelError, match="the device 'cuda' is not used"):
        open_tflite(files["float"], contract=TOLD, device="cuda")


def test_without_a_contract_the_template_is_shown_and_a_sidecar_is_read(files: dict[str, Path]) -> None:
    shown = r'(?s)float32 with shape \(\?, 8, 8, 1\).*float\.toml.*output = "probabilities"  # .*size = \[8, 8\]'
    with pytest.raises(ContractError, match=shown):
        open_model(files["float"])
    with pytest.raises(ContractError, match=r"(?s)int8\.toml.*range = \[0, 1\]  # .* that its integers can hold"):
        open_model(files["int8"])
    sidecar = files["float"].with_suffix(".toml")
    sidecar.write_text('layout = "NHWC"\nrange = [0, 1]\noutput = "probabilities"\n')
    assert isinstance(open_model(files["float"]), TfliteModel)
    assert LOADER.contract_files(str(files["float"])) == (sidecar,)
    sidecar.unlink()


def test_a_model_without_its_weights_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """What a conversion of a function makes whose variables it does not know: the interpreter answers NaN."""
    network = classifier()
    function = tf.function(network).get_concrete_function(tf.TensorSpec((1, 8, 8, 1), tf.float32))
    with without_stderr():
        content = tf.lite.TFLiteConverter.from_concrete_functions([function], network).convert()
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ModelError, match=r"depends on variables .* Convert the model again"):
        open_tflite(tmp_path / "m.tflite", contract=TOLD, device="cpu")


@pytest.mark.hostile
def test_what_is_no_tflite_file_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    whole = files["float"].read_bytes()
    for content, sentence in (
        (b"", "the model file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"no TFLite model: .* TFL3 .*Git LFS"),
        (bytes(100_000), r"no TFLite model: .* TFL3 in its bytes 4 to 7"),
        (whole[:900], "the interpreter cannot run this TFLite model .*tf2onnx.convert --tflite .*m.tflite --output"),
        (whole[:8] + b"\xff" * 400, "the interpreter cannot run this TFLite model"),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=sentence):
            open_model(path, contract=TOLD)


def test_a_conversion_names_the_program_that_does_it(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"tf2onnx\.convert --tflite {files['float']} --output {tmp_path}/m\.onnx"):
        convert(files["float"], tmp_path / "m.onnx")


def test_the_file_tells_its_tensors(files: dict[str, Path]) -> None:
    told = LOADER.signature(str(files["int8"]))
    (taken,), (given,) = told.inputs, told.outputs
    assert (taken.dtype, taken.shape, taken.zero_point) == ("int8", (None, 8, 8, 1), -128)
    assert taken.scale == pytest.approx(1 / 255, rel=0.02)
    assert (given.dtype, given.shape, given.ending) == ("int8", (None, 10), "softmax")
    assert (given.scale, given.zero_point) == (1 / 256, -128)
    (plain,) = LOADER.signature(str(files["fixed"])).inputs
    assert (plain.dtype, plain.shape, plain.scale) == ("float32", (4, 8, 8, 1), None)
    assert LOADER.signature(str(files["logits"])).outputs[0].ending is None


def test_the_number_of_classes_is_checked_before_anything_is_asked(files: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="answers with 10 classes and the fingerprint has 7"):
        open_tflite(files["int8"], contract=TOLD, device="cpu", task=Task(classes=7))
    named = TOLD.replace(class_names=tuple("jihgfedcba"), output_name="StatefulPartitionedCall_1:0")
    model = open_tflite(files["float"], contract=named, device="cpu", task=Task(classes=10, names=tuple("abcdefghij")))
    expected = 9 - open_tflite(files["float"], contract=TOLD, device="cpu").predict(IMAGES).labels
    np.testing.assert_array_equal(model.predict(IMAGES).labels, expected)
    with pytest.raises(ContractError, match="output_name is 'scores'; found StatefulPartitionedCall_1:0 float32"):
        open_tflite(files["float"], contract=TOLD.replace(output_name="scores"), device="cpu")


@pytest.mark.parametrize("layout", ["FLAT", "HW"])
def test_flat_inputs(layout: str, tmp_path: Path) -> None:
    given = keras.Input((64,) if layout == "FLAT" else (8, 8))
    network = keras.Model(given, keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(given)))
    with without_stderr():
        network.export(tmp_path / "m", verbose=False)
        content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m")).convert()
    (tmp_path / "m.tflite").write_bytes(content)
    model = open_tflite(tmp_path / "m.tflite", contract=TOLD.replace(layout=layout), device="cpu")
    expected = network(IMAGES.reshape(9, *given.shape[1:]) / 255.0).numpy()
    np.testing.assert_allclose(scores(model.predict(IMAGES)), expected, atol=1e-6)


@pytest.mark.hostile
def test_it_is_opened_in_a_process_of_its_own(files: dict[str, Path]) -> None:
    party = Party(device="cpu")
    try:
        opened = party.black_box(str(files["int8"]), contract=TOLD)
        assert opened.containment.child
        with pytest.raises(ContractError, match=r"(?s)int8\.toml.*range = .*# std = "):  # the whole template
            party.black_box(str(files["int8"]))
        expected = open_tflite(files["int8"], contract=TOLD, device="cpu").predict(IMAGES)
        np.testing.assert_array_equal(opened.model.predict(IMAGES).labels, expected.labels)
        assert getattr(opened.model, "runtime", "").startswith("ai-edge-litert ")
    finally:
        party.end()


@pytest.mark.slow
def test_tensorflows_own_interpreter_serves_where_litert_is_missing(files: dict[str, Path]) -> None:
    """In a Python of its own: the two interpreters' libraries are not meant for one process."""
    code = (
        "import sys, numpy as np; sys.modules['ai_edge_litert'] = None\n"
        "from importlib import util; found = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'ai_edge_litert' else found(name, *a)\n"
        "from cae_backends.tflite.model import open_tflite\nfrom pathlib import Path\n"
        "from cae_core.contract import read_contract\n"
        f"m = open_tflite(Path({str(files['int8'])!r}), contract=read_contract("
        "'layout=\"NHWC\",range=[0,1],output=\"probabilities\"'), device='cpu')\n"
        "images = np.random.default_rng(7).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)\n"
        "print(m.runtime.split()[0], *m.predict(images).labels)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    expected = open_tflite(files["int8"], contract=TOLD, device="cpu").predict(IMAGES).labels
    assert done.stdout.split() == ["tensorflow", *map(str, expected)]
    assert done.stderr == ""


def test_where_neither_is_installed_both_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    load_runtime.cache_clear()
    with pytest.raises(BackendMissing, match=r"cae-fingerprint\[tflite\].*python -m tf2onnx\.convert --tflite"):
        LOADER.prepare()
    load_runtime.cache_clear()
