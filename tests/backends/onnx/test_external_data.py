"""Weights beside an ONNX file: what is missing, cut or elsewhere is told by its name, and nothing outside is opened."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cae_backends.onnx.external_data import check_external_data
from cae_backends.onnxruntime import LOADER
from cae_core.contract import Contract, metadata_of
from cae_core.errors import ModelError
from cae_core.opening.model_files import ModelFiles

pytestmark = pytest.mark.hostile

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
DATA = "model.onnx.data"
BYTES = 48 * 5 * 4


def saved(folder: Path, **said: str) -> Path:
    """A linear model with its weights in a second file; ``said`` replaces what the model says of them."""
    weights = np.random.default_rng(1).standard_normal((48, 5)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, metadata_of(CONTRACT))
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location=DATA, size_threshold=0)
    (tensor,) = model.graph.initializer
    kept = {entry.key: entry.value for entry in tensor.external_data} | said
    del tensor.external_data[:]
    for key, value in kept.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path) -> str:
    """The suspect is refused, and for the same reason as where the check is called before anything is opened."""
    with pytest.raises(ModelError) as caught:
        LOADER.open(str(path), contract=None, device="cpu")
    with pytest.raises(ModelError) as checked:
        check_external_data(onnx.load(path, load_external_data=False), path)
    assert str(checked.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def checked(path: Path) -> None:
    check_external_data(onnx.load(path, load_external_data=False), path)


def test_complete_weights_are_taken(tmp_path: Path) -> None:
    path = saved(tmp_path)
    checked(path)
    answer = LOADER.open(str(path), contract=None, device="cpu").predict(np.zeros((2, 4, 4, 3), np.uint8))
    assert answer.labels.shape == (2,)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data.unlink(), "which is not there"),
        (lambda data: data.write_bytes(data.read_bytes()[:100]), f"100 bytes, and the tensor w ends at byte {BYTES}"),
        (lambda data: data.write_bytes(b""), "has 0 bytes"),
        (lambda data: (data.unlink(), data.mkdir()), "is none"),
        (lambda data: (data.unlink(), data.symlink_to(data.name)), "cannot be read"),
    ],
    ids=["missing", "cut", "empty", "folder", "link to itself"],
)  # fmt: skip
def test_a_spoilt_file_of_weights_is_told_by_its_name(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    path = saved(tmp_path)
    spoil(tmp_path / DATA)
    message = refused(path)
    assert DATA in message
    assert words in message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"offset": "64"}, f"ends at byte {BYTES + 64}"),
        ({"offset": "-4"}, "the offset of the tensor w"),
        ({"offset": "far"}, "found far"),
        ({"offset": "9" * 40}, "the offset of the tensor w"),
        ({"length": "12"}, f"takes {BYTES} bytes, and the model says that {DATA} holds 12"),
        ({"length": "99999999"}, "holds 99999999"),
        ({"length": "١٢"}, "the length of the tensor w"),
        ({"location": "other.bin"}, "other.bin, which is not there"),
        ({"location": "*/_ORT_MEM_ADDR_/*"}, "_ORT_MEM_ADDR_/*, which is not there"),
        ({"location": ""}, "does not name"),
        ({"location": "a\0b"}, "'a\\x00b' cannot be read"),
        ({"location": "a" * 5000}, "cannot be read"),
        ({"location": "C:\\secret.bin"}, "the absolute path C:\\secret.bin"),
    ],
)
def test_a_wrong_place_is_told(tmp_path: Path, said: dict[str, str], words: str) -> None:
    message = refused(saved(tmp_path, **said))
    assert words in message
    assert len(message) < 500


def test_a_place_without_a_length_is_measured_by_the_tensor(tmp_path: Path) -> None:
    path = saved(tmp_path, length="")
    checked(path)
    (tmp_path / DATA).write_bytes(bytes(BYTES - 1))
    with pytest.raises(ModelError, match=f"has {BYTES - 1} bytes"):
        checked(path)


@pytest.mark.parametrize("way", ["upwards", "absolute", "link", "folder of links"])
def test_nothing_outside_of_the_folder_is_opened(tmp_path: Path, way: str) -> None:
    folder, secret = tmp_path / "model", tmp_path / "secret.bin"
    folder.mkdir()
    secret.write_bytes(bytes(BYTES))
    locations = {"upwards": "../secret.bin", "absolute": str(secret), "link": "link.bin"}
    location = locations.get(way, "elsewhere/secret.bin")
    (folder / "link.bin").symlink_to(secret)
    (folder / "elsewhere").symlink_to(tmp_path)
    message = refused(saved(folder, location=location))
    assert "its weights must lie" in message


def test_a_link_within_the_folder_is_no_file_of_the_model(tmp_path: Path) -> None:
    """The runtime reads it; whoever hashes the model's files does not."""
    path = saved(tmp_path, location="link.bin")
    (tmp_path / "link.bin").symlink_to(DATA)
    with pytest.raises(ModelError, match=r"link\.bin leads out of it, or is a link"):
        _ = ModelFiles(str(path)).digest


def test_a_store_of_links_into_one_folder_is_taken(tmp_path: Path) -> None:
    """As a cache of downloads has it: names on one side, contents under their hashes on the other."""
    blobs, names = tmp_path / "blobs", tmp_path / "names"
    blobs.mkdir()
    names.mkdir()
    path = saved(blobs)
    os.rename(blobs / DATA, blobs / "hash")  # noqa: PTH104
    (names / "model.onnx").symlink_to(path)
    (names / DATA).symlink_to(blobs / "hash")
    checked(names / "model.onnx")


def test_tensors_of_subgraphs_attributes_and_functions_are_looked_at(tmp_path: Path) -> None:
    lost = TensorProto(name="lost", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    lost.external_data.add(key="location", value="lost.bin")
    constant = helper.make_node("Constant", [], ["c"], value=lost)
    branch = helper.make_graph([constant], "branch", [], [])
    for nodes, functions in (
        ([constant], []),
        ([helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], []),
        ([], [helper.make_function("own", "f", [], ["c"], [constant], [helper.make_opsetid("", 18)])]),
    ):
        model = helper.make_model(helper.make_graph(nodes, "g", [], []), functions=functions)
        with pytest.raises(ModelError, match=r"lost\.bin, which is not there"):
            check_external_data(model, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("kind", "numbers", "needed"),
    [(TensorProto.INT4, 5, 3), (TensorProto.BFLOAT16, 5, 10), (TensorProto.INT64, 5, 40), (99, 5, 0)],
)
def test_the_size_of_a_tensor_follows_its_type(tmp_path: Path, kind: int, numbers: int, needed: int) -> None:
    tensor = TensorProto(name="w", data_type=kind, dims=[numbers], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    (tmp_path / "w.bin").write_bytes(bytes(needed))
    check_external_data(model, tmp_path / "model.onnx")
    if needed:
        (tmp_path / "w.bin").write_bytes(bytes(needed - 1))
        with pytest.raises(ModelError, match=f"ends at byte {needed}"):
            check_external_data(model, tmp_path / "model.onnx")
