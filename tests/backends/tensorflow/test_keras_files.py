"""Keras files of strangers: what reads other files, fills the memory or calls what is no layer is refused by name."""

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.tensorflow import LOADER
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.arrays import as_unit_float
from cae_core.errors import ModelError
from tests.backends.foreign_files import IMAGES, NHWC, logits_of, refusal
from tests.backends.keras_nets import Tensor, convnet, saving

tf, keras = load_tensorflow(), load_keras()
Layer: Any = keras.layers.Layer

Json: TypeAlias = Any
SUFFIXES = (".keras", ".h5")

pytestmark = pytest.mark.hostile


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    with saving():
        convnet(0).save(made / "net.keras")
        convnet(0).save(made / "net.h5")
    return made


def with_weights(source: Path, target: Path, change: Callable[[h5py.Group], None]) -> Path:
    """Copy a file with its weights changed, in a ``.keras`` archive too."""
    if source.suffix == ".h5":
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            change(file)
        return target
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = io.BytesIO(old.read(name))
            if name == "model.weights.h5":
                with h5py.File(content, "r+") as file:
                    change(file)
            new.writestr(name, content.getvalue())
    return target


def kernel_in(file: h5py.Group) -> tuple[str, NDArray[np.float32]]:
    """Return the name and values of the last layer's matrix, and take it out of the file."""
    found: list[str] = []
    file.visititems(lambda name, part: found.append(name) if getattr(part, "shape", None) == (6, 5) else None)
    dataset = file[found[0]]
    assert isinstance(dataset, h5py.Dataset)
    values: NDArray[np.float32] = dataset[()]
    del file[found[0]]
    return found[0], values


def stored_elsewhere(file: h5py.Group, place: Path) -> None:
    name, values = kernel_in(file)
    (place / "raw.bin").write_bytes(values.tobytes())
    file.create_dataset(name, values.shape, values.dtype, external=[(str(place / "raw.bin"), 0, values.nbytes)])


def linked_elsewhere(file: h5py.Group, place: Path) -> None:
    name, values = kernel_in(file)
    with h5py.File(place / "other.h5", "w") as other:
        other["kernel"] = values
    file[name] = h5py.ExternalLink(str(place / "other.h5"), "/kernel")


def linked_inside(file: h5py.Group, place: Path) -> None:
    name, values = kernel_in(file)
    file["spare"] = values
    file[name] = h5py.SoftLink("/spare")


def made_of_others(file: h5py.Group, place: Path) -> None:
    name, values = kernel_in(file)
    with h5py.File(place / "source.h5", "w") as other:
        other["kernel"] = values
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource(str(place / "source.h5"), "kernel", values.shape)
    file.create_virtual_dataset(name, layout)


def a_whole_group_linked_elsewhere(file: h5py.Group, place: Path) -> None:
    name, values = kernel_in(file)
    parent = name.rpartition("/")[0]
    del file[parent]
    with h5py.File(place / "group.h5", "w") as other:
        other[f"group/{name.rpartition('/')[2]}"] = values
    file[parent] = h5py.ExternalLink(str(place / "group.h5"), "/group")


def never_written(file: h5py.Group, place: Path) -> None:
    name, _ = kernel_in(file)
    file.create_dataset(name, (1 << 20, 1 << 14), "f4", chunks=(1024, 1024), compression="gzip")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (stored_elsewhere, "is stored in another file"),
        (linked_elsewhere, "is a link, perhaps to another file"),
        (linked_inside, "is a link, perhaps to another file"),
        (made_of_others, "is a virtual data set"),
        (a_whole_group_linked_elsewhere, "is a link, perhaps to another file"),
        (never_written, "its data sets unpack to 68719"),
    ],
)
def test_weights_that_lie_elsewhere_or_nowhere(
    folder: Path, tmp_path: Path, suffix: str, change: Callable[[h5py.Group, Path], None], reason: str
) -> None:
    path = with_weights(folder / f"net{suffix}", tmp_path / f"net{suffix}", lambda file: change(file, tmp_path))
    assert reason in refusal(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_written_anew_inside_of_the_file_are_read(folder: Path, tmp_path: Path, suffix: str) -> None:
    def change(file: h5py.Group) -> None:
        name, values = kernel_in(file)
        file.create_dataset(name, data=2 * values, chunks=True, compression="gzip")

    path = with_weights(folder / f"net{suffix}", tmp_path / f"net{suffix}", change)
    network = convnet(0)
    kernel, bias = network.get_layer("head").get_weights()
    network.get_layer("head").set_weights([2 * kernel, bias])
    np.testing.assert_allclose(logits_of(path), network(as_unit_float(IMAGES), training=False), atol=1e-6)


def test_a_file_of_weights_in_the_assets_is_looked_through_too(folder: Path, tmp_path: Path) -> None:
    honest, hostile = io.BytesIO(), io.BytesIO()
    with h5py.File(honest, "w") as file:
        file["values"] = np.ones(3)
    with h5py.File(hostile, "w") as file:
        file["values"] = h5py.ExternalLink("/etc/passwd", "/")
    for name, content in (("honest", honest), ("hostile", hostile)):
        shutil.copy(folder / "net.keras", tmp_path / f"{name}.keras")
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "a") as archive:
            archive.writestr("assets/more.h5", content.getvalue())
    np.testing.assert_array_equal(logits_of(tmp_path / "honest.keras"), logits_of(folder / "net.keras"))
    assert "is a link, perhaps to another file" in refusal(tmp_path / "hostile.keras")


def with_members(source: Path, target: Path, more: dict[str, bytes], *, packed: bool = True) -> Path:
    """Copy an archive, and write further members, or members again."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name not in more:
                new.writestr(name, old.read(name))
        for name, content in more.items():
            new.writestr(name, content, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return target


def test_archives_that_unpack_to_far_more_than_they_are(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    with_members(folder / "net.keras", path, {"config.json": b" " * (33 << 20)})
    assert "its config.json unpacks to 34603008 bytes; such a file is never read" in refusal(path)
    with_members(folder / "net.keras", path, {"assets/zeros.bin": bytes(80 << 20)})
    assert "it unpacks to 8" in refusal(path)
    with_members(folder / "net.keras", path, {"assets/zeros.bin": bytes(1 << 20)})
    assert logits_of(path).shape == (4, 5)


def test_a_member_that_holds_more_than_it_declares(folder: Path, tmp_path: Path) -> None:
    path = with_members(folder / "net.keras", tmp_path / "net.keras", {"config.json": b" " * (33 << 20)})
    content = bytearray(path.read_bytes())
    for place in range(len(content) - 4):
        if content[place : place + 4] == struct.pack("<I", 33 << 20):
            content[place : place + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    assert "this is no Keras model, or it is damaged" in refusal(path)


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "assets/../../evil", "assets/a\\b", "assets/\x1b[2J", "CONFIG.JSON"]
)
def test_members_with_odd_names(folder: Path, tmp_path: Path, name: str) -> None:
    path = with_members(folder / "net.keras", tmp_path / "net.keras", {name: b"x"})
    assert "such a file is never read" in refusal(path)
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_members_that_are_there_twice(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    shutil.copy(folder / "net.keras", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    assert "it holds 'config.json' twice" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pipes_are_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"net{suffix}")
    assert "it is no regular file" in refusal(tmp_path / f"net{suffix}")


def with_config(source: Path, target: Path, change: Callable[[Json], None]) -> Path:
    """Copy a file with its configuration changed."""
    if source.suffix == ".h5":
        shutil.copy(source, target)
        with h5py.File(target, "r+") as file:
            config = json.loads(str(file.attrs["model_config"]))
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return target
    with zipfile.ZipFile(source) as archive:
        config = json.loads(archive.read("config.json"))
    change(config)
    return with_members(source, target, {"config.json": json.dumps(config).encode()})


def inserted(layer: Json) -> Callable[[Json], None]:
    return lambda config: config["config"]["layers"].insert(1, layer)


def activated_by(function: Json) -> Callable[[Json], None]:
    def change(config: Json) -> None:
        layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Activation")
        layer["config"]["activation"] = function

    return change


def initialised_by(initializer: Json) -> Callable[[Json], None]:
    def change(config: Json) -> None:
        layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Dense")
        layer["config"]["kernel_initializer"] = initializer

    return change


def layer(name: str, module: str = "keras.layers", **config: Json) -> Json:
    return {"module": module, "class_name": name, "config": {"name": "it", **config}, "registered_name": None}


def function(name: str, module: str = "builtins") -> Json:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (inserted(layer("TFSMLayer", filepath="MARK", call_endpoint="serve")), "TFSMLayer"),
        (inserted(layer("JaxLayer", call_fn=None)), "JaxLayer"),
        (inserted(layer("FlaxLayer", "keras.src.utils.jax_layer")), "FlaxLayer"),
        (inserted(layer("StringLookup", vocabulary="/etc/passwd")), "StringLookup"),
        (inserted(layer("IntegerLookup", vocabulary="/etc/passwd")), "IntegerLookup"),
        (inserted(layer("TextVectorization", vocabulary="/etc/passwd")), "TextVectorization"),
        (inserted(layer("TimeDistributed", layer=layer("TFSMLayer", filepath="MARK"))), "TFSMLayer"),
        (inserted(layer("TFSMLayer", "keras.src.export.tfsm_layer", filepath="MARK")), "TFSMLayer"),
        (inserted(layer("get_file", "keras.utils", fname="x", origin="file:///MARK")), "get_file"),
        (inserted(layer("mkdir", "os", path="MARK")), "mkdir"),
        (inserted(layer("Popen", "subprocess", args=["touch", "MARK"])), "Popen"),
        (inserted(layer("Backbone", "keras_hub.models")), "Backbone"),
        (activated_by(function("get_file", "keras.utils")), "keras.utils.get_file"),
        (activated_by(function("enable_unsafe_deserialization", "keras.config")), "enable_unsafe_deserialization"),
        (activated_by(function("load_model", "keras.saving")), "load_model"),
        (activated_by(function("load_model", "keras.models")), "load_model"),
        (activated_by(function("system", "os")), "os.system"),
        (activated_by(function("ResNet50", "keras.applications")), "ResNet50"),
        (activated_by(function("deserialize", "keras.activations")), "deserialize"),
        (activated_by(function("eval")), "eval"),
        (initialised_by({"class_name": "get_file", "module": "keras.utils", "config": {"fname": "x"}}), "get_file"),
        (initialised_by({"class_name": "__typespec__", "module": "tensorflow", "config": []}), "__typespec__"),
    ],
)
def test_a_configuration_that_names_what_is_no_layer(
    folder: Path, tmp_path: Path, suffix: str, change: Callable[[Json], None], named: str
) -> None:
    path = with_config(folder / f"net{suffix}", tmp_path / f"net{suffix}", change)
    assert named in refusal(path)
    assert keras.src.saving.serialization_lib.in_safe_mode() is not False
    assert not list(tmp_path.glob("MARK*"))


@pytest.mark.parametrize(
    "change",
    [
        inserted(layer("GaussianNoise", stddev=0.5)),
        inserted(layer("Pipeline", layers=[layer("Rescaling", scale=1.0, offset=0.0)])),
        activated_by("silu"),
        activated_by(function("silu")),
        activated_by(function("silu", "keras.activations")),
        activated_by(function("silu", "keras.ops")),
        initialised_by({"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}),
    ],
)
def test_honest_configurations_of_the_same_kind(folder: Path, tmp_path: Path, change: Callable[[Json], None]) -> None:
    path = with_config(folder / "net.keras", tmp_path / "net.keras", change)
    np.testing.assert_allclose(logits_of(path), logits_of(folder / "net.keras"), atol=1e-6)


def test_what_keras_holds_safe_stays_so(folder: Path, tmp_path: Path) -> None:
    """A registered name does not let another class through: the older format goes by the class's name."""
    for suffix in SUFFIXES:
        hostile = layer("TFSMLayer", filepath=str(tmp_path)) | {"registered_name": "tests.files>Twice"}
        path = with_config(folder / f"net{suffix}", tmp_path / f"net{suffix}", inserted(hostile))
        assert "TFSMLayer runs what lies outside of the file" in refusal(path)


@keras.saving.register_keras_serializable("tests.files")
class Twice(Layer):  # type: ignore[misc] # Keras is untyped
    def call(self, x: Tensor) -> Tensor:
        return 2 * x


def half(x: Tensor) -> Tensor:
    return x / 2


keras.saving.register_keras_serializable("tests.files")(half)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_the_caller_has_registered_is_used(tmp_path: Path, suffix: str) -> None:
    layers, path = keras.layers, tmp_path / f"net{suffix}"
    network = keras.Sequential(
        [layers.Input((8, 8, 3)), Twice(), layers.GlobalAveragePooling2D(), layers.Dense(5, activation=half)]
    )
    with saving():
        network.save(path)
    np.testing.assert_allclose(logits_of(path), network(as_unit_float(IMAGES), training=False), atol=1e-6)


def own_loss(truth: Tensor, told: Tensor) -> Tensor:
    return truth - told


def test_a_loss_of_ones_own_is_not_asked_for(tmp_path: Path) -> None:
    network = convnet(0)
    network.compile(loss=own_loss)
    with saving():
        network.save(tmp_path / "net.keras")
    np.testing.assert_allclose(
        logits_of(tmp_path / "net.keras"), network(as_unit_float(IMAGES), training=False), atol=1e-6
    )


def test_backslashes_in_the_names_of_the_weights(folder: Path, tmp_path: Path) -> None:
    def change(file: h5py.Group) -> None:
        layers = file["layers"]
        assert isinstance(layers, h5py.Group)
        for name in list(layers):
            file.move(f"layers/{name}", f"layers\\{name}")
        del file["layers"]

    path = with_weights(folder / "net.keras", tmp_path / "net.keras", change)
    np.testing.assert_array_equal(logits_of(path), logits_of(folder / "net.keras"))


def test_a_file_of_tensorflow_1(folder: Path, tmp_path: Path) -> None:
    def change(config: Json) -> None:
        config["config"]["layers"].pop(0)
        config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 8, 8, 3]
        for one in config["config"]["layers"]:
            for key, value in one["config"].items():
                if key.endswith("_initializer"):
                    value["config"] = {**value["config"], "dtype": "float32"}
                    del value["module"], value["registered_name"]

    path = with_config(folder / "net.h5", tmp_path / "net.h5", change)
    np.testing.assert_array_equal(logits_of(path), logits_of(folder / "net.h5"))


def in_keras_2(config: Json) -> None:
    """Write a configuration as the ``.h5`` files of Keras 2 had it: without modules, with options that are gone."""
    if isinstance(config, list):
        for part in config:
            in_keras_2(part)
    elif isinstance(config, dict):
        for part in config.values():
            in_keras_2(part)
        name, inner = config.get("class_name"), config.get("config")
        if isinstance(name, str) and isinstance(inner, dict):
            for key in ("module", "registered_name", "build_config"):
                config.pop(key, None)
            if name == "DTypePolicy":
                config["class_name"] = "Policy"
            elif name in ("LSTM", "GRU", "SimpleRNN"):
                inner["time_major"] = False
            elif name == "DepthwiseConv2D":
                inner["groups"] = 1
            elif name == "SpatialDropout2D":
                inner |= {"trainable": True, "noise_shape": None}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_of_keras_2(tmp_path: Path, kind: str) -> None:
    layers, images = keras.layers, keras.Input((8, 8, 3))
    rows = layers.TimeDistributed(layers.Dense(4))(layers.Reshape((8, 24))(images))
    both = layers.Bidirectional(getattr(layers, kind)(6, return_sequences=True))(rows)
    check_keras_2(tmp_path, keras.Model(images, getattr(layers, kind)(5)(both)))


def test_convolutions_and_policies_of_keras_2(tmp_path: Path) -> None:
    layers = keras.layers
    made = [
        layers.Input((8, 8, 3)),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.SpatialDropout2D(0.5),
        layers.Conv2D(4, 3, dtype="mixed_float16"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5),
    ]
    check_keras_2(tmp_path, keras.Sequential(made))


def check_keras_2(place: Path, network: Any) -> None:  # noqa: ANN401 - Keras publishes no types
    """Check that a network in a file as of Keras 2 answers as it does, also where its layers are only listed."""
    with saving():
        network.save(place / "today.h5")
    told = network(as_unit_float(IMAGES), training=False)
    path = with_config(place / "today.h5", place / "old.h5", in_keras_2)
    np.testing.assert_allclose(logits_of(path), told, atol=1e-3)
    if type(network).__name__ == "Sequential":

        def listed(config: Json) -> None:
            config["config"] = config["config"]["layers"]

        np.testing.assert_allclose(logits_of(with_config(path, place / "listed.h5", listed)), told, atol=1e-3)


def test_what_changes_an_answer_is_not_left_out(tmp_path: Path) -> None:
    layers = keras.layers
    with saving():
        network = keras.Sequential([layers.Input((8, 8, 3)), layers.Reshape((8, 24)), layers.LSTM(5)])
        network.save(tmp_path / "today.h5")

    def change(config: Json) -> None:
        in_keras_2(config)
        config["config"]["layers"][-1]["config"]["time_major"] = True

    assert "time_major" in refusal(with_config(tmp_path / "today.h5", tmp_path / "old.h5", change))


def test_the_version_is_said_where_keras_cannot_read_a_file(folder: Path, tmp_path: Path) -> None:
    def change(config: Json) -> None:
        config["config"]["layers"][1]["config"]["renamed_since"] = 1

    path = with_config(folder / "net.h5", tmp_path / "net.h5", change)
    assert "Save it again with model.save(path)" in refusal(path)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.2.4-tf"
    assert "It was written by Keras 2.2.4-tf: open it with that version" in refusal(path)


def test_the_witness_is_the_file_as_keras_answers_it(folder: Path, tmp_path: Path) -> None:
    with saving():
        convnet(0, end="softmax").save(tmp_path / "told.keras")
    for path, output in (
        (folder / "net.keras", "logits"),
        (folder / "net.h5", "logits"),
        (tmp_path / "told.keras", "probabilities"),
    ):
        model: Any = LOADER.open(str(path), contract=NHWC.replace(output=output, classes=(2, 0, 1, 4, 3)), device="cpu")
        assert model.witness.name == "Keras"
        expected = model.vjp(as_unit_float(IMAGES))[0]
        if output == "probabilities":
            expected = expected - np.log(np.exp(expected).sum(1, keepdims=True))
        np.testing.assert_allclose(model.witness.logits(IMAGES), expected, atol=1e-5)
        assert model.witness.logits(IMAGES, plain=True).dtype == np.float32
        assert model.witness.resolution == 2.0**-23
        assert model.image_shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("put", [lambda tensor: {tensor.name: tensor}, lambda tensor: [tensor]])
def test_a_witness_of_structures(tmp_path: Path, suffix: str, put: Callable[[Tensor], Any]) -> None:
    plain = convnet(0)
    path = tmp_path / f"net{suffix}"
    with saving():
        keras.Model(put(plain.inputs[0]), put(plain.outputs[0])).save(path)
    model: Any = LOADER.open(str(path), contract=NHWC, device="cpu")
    np.testing.assert_allclose(model.witness.logits(IMAGES), plain(as_unit_float(IMAGES), training=False), atol=1e-5)
    np.testing.assert_allclose(model.witness.logits(IMAGES), model.vjp(as_unit_float(IMAGES))[0], atol=1e-5)


def test_a_witness_that_fails_names_its_file(tmp_path: Path) -> None:
    path, layers = tmp_path / "net.keras", keras.layers
    with saving():
        keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(5)]).save(path)
    model: Any = LOADER.open(str(path), contract=NHWC, device="cpu")
    with pytest.raises(ModelError) as caught:
        model.witness.logits(np.zeros((1, 9, 9, 3), np.uint8))
    assert str(caught.value).startswith(f"{path}: Keras cannot run the model (")


def test_a_witness_that_computes_in_half_precision_says_so(tmp_path: Path) -> None:
    with saving():
        convnet(0, dtype="mixed_float16").save(tmp_path / "net.keras")
    model: Any = LOADER.open(str(tmp_path / "net.keras"), contract=NHWC, device="cpu")
    assert model.witness.resolution == 2.0**-10
    np.testing.assert_allclose(model.witness.logits(IMAGES), model.vjp(as_unit_float(IMAGES))[0], atol=0.01)


def test_a_saved_model_has_no_witness(tmp_path: Path) -> None:
    convnet(0).export(tmp_path / "saved", verbose=False)
    model: Any = LOADER.open(str(tmp_path / "saved"), contract=NHWC, device="cpu")
    assert model.witness is None
