"""Keras files of both forms, and SavedModel folders: bytes, configurations, members, and the messages in them."""

import contextlib
import io
import json
import shutil
import zipfile
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.mutations import edited_bytes, edited_value, json_bytes, places
from tests.fuzz.reader import Case, Make, Reader
from tests.fuzz.readers.models import CLASSES, SHAPE, Models

__all__ = ["HDF5", "KERAS", "SAVEDMODEL"]

_CONTRACT = 'layout = "NHWC", range = [0, 1], output = "probabilities"'
_CLASSES = (
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "StringLookup", "Bidirectional", "TimeDistributed", "Wrapper"),
    *("Functional", "Model", "Sequential", "InputLayer", "RNN", "Embedding", "Dropout", "RandomFlip", "JaxLayer"),
    *("NotThere", "__lambda__", "__tuple__", "__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"),
    *("__keras_tensor__", "function", "TextVectorization", "Rescaling", "Pipeline", "SpectralNormalization"),
)
_FUNCTIONS = ("get_file", "enable_unsafe_deserialization", "load_model", "system", "eval", "getattr", "set_random_seed")
_MODULES = (
    "os",
    "builtins",
    "keras",
    "keras.utils",
    "keras.src.utils",
    "keras.config",
    "keras.saving",
    "tensorflow",
    None,
)
_OPERATIONS = (
    "Abort",
    "Timestamp",
    "PyFunc",
    "WriteFile",
    "ReadFile",
    "Relu",
    "NoSuch",
    "QueueDequeueV2",
    "RandomUniform",
    "",
)
_MEMORY = 6 << 30


def _prepare(folder: Path) -> Models:
    """Write a small convolutional network in each form, and a functional one."""
    from cae_backends.tensorflow.runtime import load_keras

    keras, place = load_keras(), folder / "valid"
    place.mkdir()
    layers = keras.layers
    keras.utils.set_random_seed(0)
    plain = keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv2D(2, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    plain.save(place / "plain.keras")
    plain.save(place / "plain.h5")
    plain.export(str(place / "folder"), verbose=False)
    images = keras.Input(SHAPE)
    flat = layers.Flatten()(images)
    branched = layers.Softmax()(layers.Dense(CLASSES)(layers.Concatenate()([flat, flat])))
    keras.Model(images, branched).save(place / "branched.keras")
    files = {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}
    return Models(files, place, contract=_CONTRACT)


def _case(models: Models, path: Path, what: str, *, parses: bool = True) -> Case:
    return Case(partial(models.asked, path), what, parses)


# -- .keras archives


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _edited_config(random: Random, config: Any) -> tuple[Any, str]:  # noqa: ANN401 - JSON
    if random.random() < 0.6:
        return edited_value(random, config)
    words = ("class_name", "module", "registered_name")
    known, done = [place for place in places(config) if place and place[-1] in words], list[str]()
    for _ in range(random.choice((1, 1, 2))):
        place = random.choice(known)
        holder = config
        with contextlib.suppress(KeyError):  # an edit before has replaced what is around it
            for key in place[:-1]:
                holder = holder[key]
        if place[-1] not in holder:
            continue
        holder[place[-1]] = random.choice(_MODULES if place[-1] == "module" else _CLASSES)
        if random.random() < 0.2:
            holder |= {
                "class_name": random.choice(_FUNCTIONS),
                "module": random.choice(_MODULES),
                "config": {"fname": "x"},
            }
        done.append(f"{place[-1]}={holder[place[-1]]}")
    return config, "; ".join(done)


def _keras(random: Random, models: Models, folder: Path) -> Case:
    name, path = random.choice(("plain.keras", "branched.keras")), folder / "m.keras"
    if random.random() < 0.3:
        path.write_bytes(edited_bytes(random, models.files[name], most=5))
        return _case(models, path, f"{name}: bytes", parses=zipfile.is_zipfile(path))
    members, what = _members(models.files[name]), ""
    if random.random() < 0.75:
        config, what = _edited_config(random, json.loads(members["config.json"]))
        members["config.json"] = json_bytes(config)
    else:
        chosen = random.choice(list(members))
        match random.randrange(4):
            case 0:
                del members[chosen]
            case 1 | 2:
                members[chosen] = edited_bytes(random, members[chosen])
            case _:
                members[random.choice(("../evil", "/tmp/evil", "assets/../../x", f"{chosen}\0"))] = b"x"  # noqa: S108
        what = f"member {chosen}"
    return _case(models, _zip(path, members), f"{name}: {what}")


def _bad_checksum(_: Random, models: Models, folder: Path) -> Case:
    path, content = folder / "m.keras", bytearray(models.files["plain.keras"])
    place = content.find(b"\x89HDF") + 5000
    content[place] ^= 255
    path.write_bytes(bytes(content))
    return _case(models, path, "a byte of the weights")


def _config_bomb(_: Random, models: Models, folder: Path) -> Case:
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("config.json", "w", force_zip64=True) as member:
            for _block in range(64):
                member.write(b" " * (1 << 24))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    return _case(models, path, "a gigabyte of blanks")


def _pipe(name: str) -> Make:
    def make(_: Random, models: Models, folder: Path) -> Case:
        import os

        os.mkfifo(folder / name)
        return _case(models, folder / name, "a pipe", parses=False)

    return make


def _whole(name: str) -> Make:
    def make(_: Random, models: Models, folder: Path) -> Case:
        (folder / name).write_bytes(models.files[name])
        return _case(models, folder / name, "valid")

    return make


KERAS = Reader(
    name="keras",
    prepare=_prepare,
    make=_keras,
    failures={
        "a bad checksum": _bad_checksum,
        "a configuration that is a bomb": _config_bomb,
        "a pipe": _pipe("m.keras"),
    },
    valid={name: _whole(name) for name in ("plain.keras", "branched.keras")},
    heavy=True,
    memory=_MEMORY,
    containable=True,
)


# -- HDF5

_ATTRIBUTES: tuple[Any, ...] = (
    *(5, 1.5, np.array([1, 2]), b"{}", b"\xff", "", "[]", "null", '"x"', "[" * 900 + "]" * 900, np.bool_(1)),
)


def _hdf5(random: Random, models: Models, folder: Path) -> Case:
    import h5py

    path, what = folder / "m.h5", "bytes"
    path.write_bytes(models.files["plain.h5"])
    kind = random.randrange(6)
    if kind < 2:
        path.write_bytes(edited_bytes(random, models.files["plain.h5"], most=5))
        return _case(models, path, what, parses=h5py.is_hdf5(path))
    with h5py.File(path, "r+") as opened:
        file: Any = opened  # what it holds has no types
        if kind < 4:
            config, what = _edited_config(random, json.loads(file.attrs["model_config"]))
            text = json.dumps(config)
            file.attrs["model_config"] = text if len(text) < 60_000 else "{}"  # an attribute holds no more
        elif kind == 4:
            file.attrs["model_config"] = random.choice((*_ATTRIBUTES, h5py.Empty("f")))
            what = "attribute"
        else:
            weights = file["model_weights"]
            layer, links = random.choice(list(weights)), (h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/"))
            if random.random() < 0.3:
                weights.attrs["layer_names"] = random.choice(([b"x"], 5, "x"))
            else:
                del weights[layer]
                if random.random() < 0.6:
                    weights[layer] = random.choice(links)
            what = f"weights of {layer}"
    return _case(models, path, what)


def _config_number(_: Random, models: Models, folder: Path) -> Case:
    import h5py

    path = folder / "m.h5"
    path.write_bytes(models.files["plain.h5"])
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = 5
    return _case(models, path, "a number for a configuration")


HDF5 = Reader(
    name="hdf5",
    prepare=_prepare,
    make=_hdf5,
    failures={"a configuration that is a number": _config_number, "a pipe": _pipe("m.h5")},
    valid={"plain.h5": _whole("plain.h5")},
    heavy=True,
    memory=_MEMORY,
    containable=True,
)


# -- SavedModel


def _copied(models: Models, folder: Path) -> Path:
    return Path(shutil.copytree(models.folder / "folder", folder / "saved"))


def _saved_model(random: Random, models: Models, folder: Path) -> Case:
    saved, kind = _copied(models, folder), random.randrange(7)
    description = saved / "saved_model.pb"
    if kind < 2:
        description.write_bytes(edited_bytes(random, description.read_bytes(), most=5))
        what = "bytes"
    elif kind == 2:
        file = random.choice(sorted((saved / "variables").iterdir()))
        file.write_bytes(edited_bytes(random, file.read_bytes()))
        what = file.name
    else:
        what = _edit_message(random, description)
    return _case(models, saved, what, parses=_is_saved_model(description))


def _message(path: Path) -> Any:  # noqa: ANN401 - TensorFlow publishes no types
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    description = SavedModel()
    description.ParseFromString(path.read_bytes())
    return description


def _is_saved_model(path: Path) -> bool:
    try:
        return bool(_message(path).meta_graphs)
    except Exception:  # noqa: BLE001 - the question is whether anything at all is wrong
        return False


def _edit_message(random: Random, path: Path) -> str:
    saved = _message(path)
    graph, kind = saved.meta_graphs[0], random.randrange(10)
    nodes = [node for function in graph.graph_def.library.function for node in function.node_def]
    node = random.choice([*nodes, *graph.graph_def.node])
    match kind:
        case 0 | 1:
            node.op = random.choice(_OPERATIONS)
        case 2 | 3:
            node.input[:] = [*node.input][:-1] if node.input and random.random() < 0.5 else [*node.input, "x"]
        case 4:
            del graph.graph_def.library.function[random.randrange(len(graph.graph_def.library.function))]
        case 5:
            graph.signature_def.clear()
        case 6:
            for signature in graph.signature_def.values():
                for tensor in signature.inputs.values():
                    tensor.dtype = random.choice((3, 4, 7, 10, 99))
                    tensor.tensor_shape.Clear()
        case 7:
            del graph.object_graph_def.nodes[random.randrange(len(graph.object_graph_def.nodes)) :]
        case 8:
            attribute = random.choice(list(node.attr) or ["x"])
            node.attr[attribute].i = random.choice((0, -1, 2**40))
        case _:
            node.name = random.choice(("", "x", random.choice(nodes).name))
    path.write_bytes(saved.SerializeToString())
    return f"message {kind}"


def _cut_objects(_: Random, models: Models, folder: Path) -> Case:
    saved = _copied(models, folder)
    description = _message(saved / "saved_model.pb")
    del description.meta_graphs[0].object_graph_def.nodes[1:]
    (saved / "saved_model.pb").write_bytes(description.SerializeToString())
    return _case(models, saved, "objects cut")


def _valid_saved(_: Random, models: Models, folder: Path) -> Case:
    return _case(models, _copied(models, folder), "valid")


SAVEDMODEL = Reader(
    name="savedmodel",
    prepare=_prepare,
    make=_saved_model,
    failures={"objects cut": _cut_objects},
    valid={"a folder": _valid_saved},
    heavy=True,
    memory=_MEMORY,
    containable=True,
)
