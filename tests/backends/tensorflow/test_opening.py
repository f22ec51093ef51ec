"""Keras files and SavedModel folders: the same numbers from each, and one sentence for what cannot be opened."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.tensorflow import LOADER
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.opening import read_keras
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_converters.conversion import convert
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract, Task
from cae_core.errors import BackendMissing, CaeError, ContractError, ModelError
from cae_core.loaders import is_model
from cae_core.models import DifferentiableModel
from cae_core.opening.opened import open_model
from cae_core.pool.roles import collect_members
from cae_core.testing import check_differentiable, check_model
from tests.backends.keras_nets import KerasModel, Tensor, answering, convnet, saving

tf, keras = load_tensorflow(), load_keras()
Layer: Any = keras.layers.Layer
Model: Any = keras.Model

NHWC = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
TOLD = NHWC.replace(output="probabilities")
IMAGES: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
FORMATS = ("net.keras", "net.h5", "exported", "saved")


def save_all(folder: Path, network: KerasModel) -> None:
    """Write a model in every format that we open."""
    with saving():
        network.save(folder / "net.keras")
        network.save(folder / "net.h5")
    network.export(folder / "exported", verbose=False)
    traced = tf.function(lambda images: network(images, training=False), autograph=False)
    signature = traced.get_concrete_function(tf.TensorSpec((None, 8, 8, 3), name="pixels"))
    tf.saved_model.save(network, str(folder / "saved"), signatures={"serving_default": signature})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, with a softmax at its end, in every format."""
    made = tmp_path_factory.mktemp("formats")
    save_all(made, convnet(0, end="softmax"))
    return made


def opened(path: Path, contract: Contract | None = NHWC) -> TensorflowModel:
    model = LOADER.open(str(path), contract=contract, device="cpu")
    assert isinstance(model, TensorflowModel)
    return model


def sentence(path: Path, kind: type[CaeError], contract: Contract | None = NHWC) -> str:
    """Return the message with which a file is refused, which must be one line that names the file."""
    with pytest.raises(kind) as caught:
        opened(path, contract)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_numbers(folder: Path, name: str) -> None:
    model = open_model(str(folder / name), gradients=True, contract=TOLD, device="cpu")
    direct = TensorflowModel.from_keras(convnet(0), contract=NHWC, device="cpu")
    x = as_unit_float(IMAGES)
    (logits, pullback), (expected, expected_pullback) = model.vjp(x), direct.vjp(x)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(pullback(v), expected_pullback(v), atol=1e-5)
    check_model(model, IMAGES, classes=5)
    check_differentiable(model, IMAGES)


@pytest.mark.parametrize("name", FORMATS)
def test_suspects_and_contracts_beside_the_model(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, path)
    with pytest.raises(ContractError) as caught:
        open_model(str(path), device="cpu")
    message, _, example = str(caught.value).partition("\n\n")
    assert "float32 with shape (?, 8, 8, 3)" in message
    assert "\n" not in message
    path.with_suffix(".toml").write_text(example.replace('"logits"', '"probabilities"', 1))
    suspect = open_model(str(path), device="cpu")
    assert isinstance(suspect, DifferentiableModel)
    expected = convnet(0, end="softmax")(as_unit_float(IMAGES)).numpy()
    probabilities = suspect.predict(IMAGES).probabilities
    assert probabilities is not None
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_the_end_is_seen_in_every_format(folder: Path, name: str) -> None:
    assert 'output = "logits" and the model ends in a softmax' in sentence(folder / name, ContractError)


def test_classes_that_the_data_lack_are_left_out_alike_by_every_backend(folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "net.onnx"
    convert(folder / "net.keras", written, contract=TOLD)
    contract = TOLD.replace(classes=(2, -1, 0, 1, -1))
    models = (
        opened(folder / "net.keras", contract),
        open_model(str(written), contract=contract, device="cpu"),
        open_model(str(written), gradients=True, contract=contract, device="cpu"),
    )
    answers = [model.predict(IMAGES) for model in models]
    told = [answer.probabilities for answer in answers if answer.probabilities is not None]
    assert len(told) == 3
    for probabilities in told:
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(probabilities, told[0], atol=1e-6)
    mapped = tmp_path / "mapped.onnx"
    convert(folder / "net.keras", mapped, contract=contract)  # and so does a file that has the map inside
    inside = open_model(str(mapped), device="cpu").predict(IMAGES).probabilities
    assert inside is not None
    np.testing.assert_allclose(inside, told[0], atol=1e-6)


@pytest.mark.parametrize("name", ["net.keras", "exported"])
def test_the_wrong_layout(folder: Path, name: str) -> None:
    model = opened(folder / name, TOLD.replace(layout="NCHW"))
    with pytest.raises(ContractError, match=r"takes images of shape \(8, 8, 3\) and its contract makes \(3, 8, 8\)"):
        model.predict(IMAGES)


def test_folders_that_are_models_are_members_of_a_pool(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "exported", tmp_path / "b")
    shutil.copy(folder / "net.keras", tmp_path / "c.keras")
    (tmp_path / "a.onnx").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    assert is_model(tmp_path / "b")
    assert not is_model(tmp_path)
    assert not is_model(tmp_path / "empty")
    members = collect_members([tmp_path], relation="surrogate", role="generate")
    assert [member.path.name for member in members] == ["a.onnx", "b", "c.keras"]
    (alone,) = collect_members([tmp_path / "b"], relation="surrogate", role="generate")
    assert alone.path == tmp_path / "b"


def rewritten(source: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    """Copy a ``.keras`` file with other members; None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def encrypted(path: Path) -> None:
    content, place = bytearray(path.read_bytes()), 0
    while (place := content.find(b"PK\x01\x02", place)) >= 0:
        content[place + 8] |= 1
        place += 4
    path.write_bytes(content)


def scrambled(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = content.find(b"config.json") + len(b"config.json")
    for place in range(start + 5, start + 60):
        content[place] ^= 0xFF
    path.write_bytes(content)


def overwritten(path: Path) -> None:
    path.write_text("a text")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.hostile
@pytest.mark.parametrize(
    "damage", [truncated, scrambled, encrypted, lambda path: path.write_text("a text"), Path.touch]
)
def test_a_damaged_keras_file(folder: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "net.keras"
    if damage is not Path.touch:
        rewritten(folder / "net.keras", path, {})
    damage(path)
    assert "this is no Keras model, or it is damaged" in sentence(path, ModelError)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "config", [None, b"", b"\xff\xfe", b"{", b"[" * 100_000], ids=["missing", "empty", "no text", "open", "deep"]
)
def test_a_configuration_that_is_none(folder: Path, tmp_path: Path, config: bytes | None) -> None:
    path = rewritten(folder / "net.keras", tmp_path / "net.keras", {"config.json": config})
    assert "this is no Keras model, or it is damaged" in sentence(path, ModelError)


@pytest.mark.hostile
@pytest.mark.parametrize("config", [b"null", b"{}", b"[1]", b'{"class_name": ["Lambda"]}'])
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_contents_of_another_kind(folder: Path, tmp_path: Path, member: str, config: bytes) -> None:
    path = rewritten(folder / "net.keras", tmp_path / "net.keras", {member: config})
    expected = "Keras cannot load this model" if member == "config.json" else "this is no Keras model, or it is damaged"
    assert expected in sentence(path, ModelError)


@pytest.mark.hostile
def test_a_file_of_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    with saving():
        convnet(0).save_weights(path)
    assert "a file of weights alone holds no model" in sentence(path, ModelError)
    path = tmp_path / "text.h5"
    path.write_text("a text")
    assert "this is no Keras model" in sentence(path, ModelError)


def save_with_lambda(path: Path, *, nested: bool = False) -> None:
    twice: Any = keras.layers.Lambda(lambda x: 2 * x, name="twice")
    if nested:
        twice = keras.Sequential([twice])
    model = keras.Sequential([keras.layers.Input((8, 8, 3)), twice, keras.layers.GlobalAveragePooling2D()])
    with saving():
        model.save(path)


@pytest.mark.hostile
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambda_layers_run_only_when_they_are_named(tmp_path: Path, suffix: str, nested: bool) -> None:  # noqa: FBT001
    path = tmp_path / f"net{suffix}"
    save_with_lambda(path, nested=nested)
    message = sentence(path, ModelError)
    assert "holds pickled code (twice), which is never run unless you name it" in message
    with pytest.raises(ModelError, match=r"pickled code \(twice\)"):
        read_keras(path, allow_lambda=("other",))
    model = TensorflowModel.from_keras(read_keras(path, allow_lambda=("twice",)), contract=NHWC, device="cpu")
    x = as_unit_float(IMAGES)
    np.testing.assert_allclose(model.vjp(x)[0], 2 * x.mean((1, 2)), rtol=1e-5)


@pytest.mark.hostile
def test_code_in_the_arguments_of_a_layer_is_named_after_the_layer(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(folder / "net.keras") as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][-1]["config"]["activation"] = {"class_name": "__lambda__", "config": {"code": "4wEA"}}
    path = rewritten(folder / "net.keras", tmp_path / "net.keras", {"config.json": json.dumps(config).encode()})
    name = config["config"]["layers"][-1]["config"]["name"]
    assert f"pickled code ({name})" in sentence(path, ModelError)
    config["config"]["layers"][2] = {"class_name": "TorchModuleWrapper", "config": {"name": "wrapped"}}
    rewritten(folder / "net.keras", path, {"config.json": json.dumps(config).encode()})
    with pytest.raises(ModelError, match=r"pickled code \(wrapped\)"):
        read_keras(path, allow_lambda=(name,))


@pytest.mark.hostile
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_a_python_lambda_as_an_activation(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    layers = keras.layers
    with saving():
        keras.Sequential([layers.Input((8, 8, 3)), layers.Dense(3, activation=lambda x: 2 * x)]).save(path)
    assert "Keras cannot load this model" in sentence(path, ModelError)


@pytest.mark.hostile
def test_a_file_with_two_faces_runs_nothing(folder: Path, tmp_path: Path) -> None:
    """An ``.h5`` file with a Lambda, and a harmless ``.keras`` file after its end."""
    save_with_lambda(tmp_path / "lambda.h5")
    path = tmp_path / "net.h5"
    path.write_bytes((tmp_path / "lambda.h5").read_bytes() + (folder / "net.keras").read_bytes())
    assert "holds pickled code (twice)" in sentence(path, ModelError)


class Unregistered(Layer):  # type: ignore[misc] # Keras is untyped
    def call(self, x: Tensor) -> Tensor:
        return 2 * x


@pytest.mark.hostile
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_layer_of_a_class_that_is_not_registered(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    inner = keras.Sequential([keras.layers.Input((8, 8, 3)), Unregistered(), keras.layers.Flatten()])
    with saving():
        keras.Sequential([keras.layers.Input((8, 8, 3)), inner, keras.layers.Dense(3)]).save(path)
    assert "the layer class 'Unregistered' is not registered" in sentence(path, ModelError)


@pytest.mark.hostile
def test_a_configuration_names_no_function_of_another_module(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    with zipfile.ZipFile(folder / "net.keras") as archive:
        config = json.loads(archive.read("config.json"))
    hostile = {
        "module": "os",
        "class_name": "mkdir",
        "config": {"path": str(mark), "name": "x"},
        "registered_name": None,
    }
    config["config"]["layers"].insert(2, hostile)
    path = rewritten(folder / "net.keras", tmp_path / "net.keras", {"config.json": json.dumps(config).encode()})
    assert "'mkdir' is not registered" in sentence(path, ModelError)
    assert not mark.exists()


@keras.saving.register_keras_serializable("tests")
class Subclassed(Model):  # type: ignore[misc] # Keras is untyped
    def __init__(self, **options: str) -> None:
        super().__init__(**options)
        self.pool, self.head = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)

    def call(self, x: Tensor) -> Tensor:
        return self.head(self.pool(x))


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built:UserWarning")
def test_subclassed_models_need_a_shape(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    Subclassed().save(path)
    assert "nobody says what shape this subclassed model takes" in sentence(path, ModelError)
    sized = NHWC.replace(size=(8, 8), channels="RGB")
    check_differentiable(opened(path, sized), IMAGES)
    called = Subclassed()
    expected = called(as_unit_float(IMAGES)).numpy()
    with saving():
        called.save(path)
    np.testing.assert_allclose(opened(path).vjp(as_unit_float(IMAGES))[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["net.keras", "exported"])
def test_two_inputs_and_two_outputs(tmp_path: Path, name: str) -> None:
    layers = keras.layers
    images, mask = keras.Input((8, 8, 3), name="images"), keras.Input((8, 8, 3), name="mask")
    scores = layers.GlobalAveragePooling2D()(layers.Add()([images, mask]))
    two_in = keras.Model([images, mask], scores)
    two_out = keras.Model(images, [layers.GlobalAveragePooling2D()(images), layers.Flatten()(images)])
    for kind, model in (("input", two_in), ("output", two_out)):
        path = tmp_path / kind / name
        path.parent.mkdir()
        with saving():
            model.save(path) if path.suffix else model.export(path, verbose=False)
        assert f"a classifier of images has one {kind}; found 2 (" in sentence(path, ModelError)


def without_variables(path: Path) -> None:
    shutil.rmtree(path / "variables")


def with_short_variables(path: Path) -> None:
    for file in (path / "variables").iterdir():
        file.write_bytes(file.read_bytes()[:20])


@pytest.mark.hostile
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "saved_model.pb").write_bytes(b""),
        lambda path: (path / "saved_model.pb").write_bytes(b"\xff\xffnot a model"),
        lambda path: truncated(path / "saved_model.pb"),
        without_variables,
        with_short_variables,
    ],
    ids=["empty", "garbage", "truncated", "no variables", "short variables"],
)
def test_a_damaged_saved_model(folder: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    path = tmp_path / "net"
    shutil.copytree(folder / "exported", path)
    damage(path)
    assert "this SavedModel cannot be loaded (" in sentence(path, ModelError)


@pytest.mark.hostile
def test_a_folder_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no installed backend opens this") as caught:
        open_model(str(tmp_path), contract=NHWC)
    assert "\n" not in str(caught.value)


def save_graph(path: Path, function: Callable[[Tensor], Tensor], *, signature: bool = True) -> Path:
    """Write a module whose graph answers a function of the images (n, 8, 8, 3)."""
    module = tf.Module()
    module.answer = tf.function(function)
    traced = module.answer.get_concrete_function(tf.TensorSpec((None, 8, 8, 3), name="images"))
    tf.saved_model.save(module, str(path), signatures={"serving_default": traced} if signature else None)
    return path


@pytest.mark.parametrize("batch", [1, 4])
def test_a_saved_model_of_a_fixed_batch_answers_any_number_and_gives_no_gradient(tmp_path: Path, batch: int) -> None:
    weights = tf.constant(np.random.default_rng(0).normal(size=(8 * 8 * 3, 5)).astype(np.float32))
    module = tf.Module()
    module.answer = tf.function(
        lambda images: tf.reshape(images, (batch, 192)) @ weights,
        input_signature=[tf.TensorSpec((batch, 8, 8, 3))],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.answer)
    model = opened(tmp_path / "saved")
    expected = as_unit_float(IMAGES).reshape(len(IMAGES), -1) @ weights.numpy()
    for count in (0, 1, 4, len(IMAGES)):
        found = model.predict(IMAGES[:count])
        np.testing.assert_array_equal(found.labels, expected[:count].argmax(1))
    with pytest.raises(ModelError, match=f"takes {batch} images at a time"):
        model.vjp(as_unit_float(IMAGES))
    with pytest.raises(ModelError, match=f"takes {batch} images at a time"):
        convert(tmp_path / "saved", tmp_path / "m.onnx", contract=NHWC)


def test_capital_suffixes(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "net.keras", tmp_path / "M.KERAS")
    assert "Rename it to .keras" in sentence(tmp_path / "M.KERAS", ModelError)


def test_a_saved_model_without_a_signature(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "net", lambda images: tf.reduce_mean(images, (1, 2)), signature=False)
    assert "needs a signature called serving_default; found none" in sentence(path, ModelError)


def calls_python(images: Tensor, mark: str) -> Tensor:
    def touch(values: Tensor) -> Tensor:
        Path(mark).touch()
        return values

    return tf.reduce_mean(tf.ensure_shape(tf.py_function(touch, [images], tf.float32), (None, 8, 8, 3)), (1, 2))


def reads_a_file(images: Tensor, mark: str) -> Tensor:
    return tf.reduce_mean(images, (1, 2)) + tf.cast(tf.strings.length(tf.io.read_file(__file__)), tf.float32)


def writes_a_file(images: Tensor, mark: str) -> Tensor:
    tf.io.write_file(mark, "was run")
    return tf.reduce_mean(images, (1, 2))


def prints_to_a_file(images: Tensor, mark: str) -> Tensor:
    tf.print("was run", output_stream=f"file://{mark}")
    return tf.reduce_mean(images, (1, 2))


def reads_a_dataset(images: Tensor, mark: str) -> Tensor:
    lines = tf.data.TextLineDataset(__file__).reduce(0.0, lambda count, _: count + 1.0)
    return tf.reduce_mean(images, (1, 2)) + lines


def saves_a_tensor(images: Tensor, mark: str) -> Tensor:
    tf.raw_ops.SaveV2(prefix=mark, tensor_names=["a"], shape_and_slices=[""], tensors=[images])
    return tf.reduce_mean(images, (1, 2))


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (calls_python, "EagerPyFunc"),
        (reads_a_file, "ReadFile"),
        (writes_a_file, "WriteFile"),
        (prints_to_a_file, "PrintV2"),
        (reads_a_dataset, "TextLineDataset"),
        (saves_a_tensor, "SaveV2"),
    ],
)
def test_a_graph_that_reaches_outside_is_never_run(
    tmp_path: Path, function: Callable[[Tensor, str], Tensor], operation: str
) -> None:
    mark = tmp_path / "was-run"
    path = save_graph(tmp_path / "net", lambda images: function(images, str(mark)))
    message = sentence(path, ModelError)
    assert operation in message
    assert "runs code or touches files outside of the graph" in message
    assert not list(tmp_path.glob("was-run*"))
    if function is not saves_a_tensor and function is not reads_a_file and function is not reads_a_dataset:
        tf.saved_model.load(str(path)).signatures["serving_default"](tf.zeros((1, 8, 8, 3)))
        assert mark.exists()  # so the absence above shows something


@pytest.mark.hostile
def test_a_keras_model_that_calls_python_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    network = answering(lambda images: calls_python(images, str(mark)), pooled=False)
    with pytest.raises(ModelError, match="graph calls EagerPyFunc"):
        TensorflowModel.from_keras(network, contract=NHWC)
    assert not mark.exists()


def fresh(code: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, without the log level that this process has set."""
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}
    command = [sys.executable, "-W", "always", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **environment})


@pytest.mark.parametrize("package", ["tensorflow", "keras"])
def test_a_missing_framework_is_said_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    load_tensorflow.cache_clear()
    load_keras.cache_clear()
    with pytest.raises(BackendMissing, match=r'Install it: pip install "cae-fingerprint\[tensorflow\]"\.$') as caught:
        opened(folder / "net.keras")
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_keras_on_another_backend_is_said_in_one_sentence(folder: Path) -> None:
    code = """
import sys, keras
from cae_backends.tensorflow import LOADER
from cae_core.errors import BackendMissing
try:
    LOADER.open(sys.argv[1], contract=None, device="cpu")
except BackendMissing as exc:
    print(exc)
"""
    result = fresh(code, folder / "net.keras", KERAS_BACKEND="torch")
    assert result.stdout == (
        "Keras must run on TensorFlow and was imported on torch. Set KERAS_BACKEND=tensorflow before it is imported.\n"
    ), result.stderr


@pytest.mark.long
def test_nothing_is_written_to_stderr(folder: Path) -> None:
    code = """
import sys
import numpy as np
from cae_core.contract import read_contract
from cae_core.opening.opened import open_model
contract = read_contract('layout = "NHWC", range = [0, 1], output = "probabilities"')
for path in sys.argv[1:]:
    model = open_model(path, gradients=True, contract=contract)
    logits, pullback = model.vjp(np.zeros((2, 8, 8, 3), np.float32))
    print(pullback(logits).shape, model.predict(np.zeros((2, 8, 8, 3), np.uint8)).labels.shape)
"""
    result = fresh(code, *(folder / name for name in FORMATS))
    assert result.stderr == ""
    assert result.stdout == "(2, 8, 8, 3) (2,)\n" * len(FORMATS)


@pytest.mark.parametrize(
    ("scale", "last", "white", "output"),
    [
        (1 / 255, "softmax", 255, '"probabilities"  # the model ends in a softmax'),
        (1 / 127.5, None, 255, '"logits"'),
        (3.0, "sigmoid", 1, '"probabilities"  # the model ends in a sigmoid'),
    ],
)
def test_the_contract_that_is_proposed_says_what_the_layers_show(
    tmp_path: Path, scale: float, last: str | None, white: int, output: str
) -> None:
    first, end = keras.layers.Rescaling(scale), keras.layers.Dense(5, activation=last)
    network = keras.Sequential([keras.Input((4, 4, 3)), first, keras.layers.Flatten(), end])
    with saving():
        network.save(tmp_path / "m.keras")
    with pytest.raises(ContractError) as caught:
        open_model(tmp_path / "m.keras")
    assert f"range = [0, {white}]" in str(caught.value)
    assert f"output = {output}" in str(caught.value)


def test_classes_are_found_by_their_names(tmp_path: Path) -> None:
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with saving():
        network.save(tmp_path / "m.keras")
    names = NHWC.replace(class_names=("c", "a", "b"))
    plain = LOADER.open(str(tmp_path / "m.keras"), contract=NHWC, device="cpu").predict(IMAGES).labels
    model = LOADER.open(
        str(tmp_path / "m.keras"), contract=names, device="cpu", task=Task(classes=3, names=tuple("abc"))
    )
    assert model.predict(IMAGES).labels.tolist() == [(2, 0, 1)[label] for label in plain]
    with pytest.raises(ContractError, match="is not known here"):
        LOADER.open(str(tmp_path / "m.keras"), contract=names, device="cpu").predict(IMAGES)
