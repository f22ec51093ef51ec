"""A linear ONNX model with its weights in a second file, dense and sparse, and with texts that are none."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from cae_core.contract import Contract

LOGITS = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
WEIGHTS = np.random.default_rng(5).standard_normal((16, 3)).astype(np.float32)
DATA = "weights.bin"


def _takes_other_bytes() -> bool:
    try:
        onnx.ModelProto.FromString(b"\x12\x01\xff")  # a producer's name
    except UnicodeDecodeError:
        return False
    return True


takes_other_bytes = pytest.mark.skipif(
    not _takes_other_bytes(), reason="this protobuf itself refuses texts that are not UTF-8"
)
runtime_of_today = pytest.mark.skipif(
    int(onnxruntime.__version__.split(".")[1]) < 31, reason="this ONNX Runtime itself refuses such a file"
)


def outside(name: str, values: NDArray[np.float32] | NDArray[np.int64], *, offset: int = 0) -> TensorProto:
    """A tensor that the model says to lie in `DATA`."""
    tensor = numpy_helper.from_array(values, name)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": DATA, "offset": str(offset), "length": str(size)}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def linear(*weights: TensorProto, sparse: SparseTensorProto | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"], name="matrix")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        weights,
        sparse_initializer=[] if sparse is None else [sparse],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def dense(folder: Path) -> Path:
    """A model with its weights in a second file."""
    (folder / DATA).write_bytes(WEIGHTS.tobytes())
    path = folder / "m.onnx"
    path.write_bytes(linear(outside("w", WEIGHTS)).SerializeToString())
    return path


def sparse(folder: Path) -> Path:
    """The same as sparse weights of which values and places lie in the second file."""
    places = np.arange(WEIGHTS.size)
    (folder / DATA).write_bytes(WEIGHTS.tobytes() + places.tobytes())
    part = SparseTensorProto(dims=WEIGHTS.shape)
    part.values.CopyFrom(outside("w", WEIGHTS.ravel()))
    part.indices.CopyFrom(outside("", places, offset=WEIGHTS.nbytes))
    path = folder / "m.onnx"
    path.write_bytes(linear(sparse=part).SerializeToString())
    return path


def spoilt(folder: Path, text: str) -> Path:
    """A model in which ``text`` is not UTF-8."""
    proto = linear(numpy_helper.from_array(WEIGHTS, "w"))
    proto.doc_string, proto.producer_name, proto.producer_version = "commentary", "produced by", "version 1"
    proto.graph.node[0].doc_string = "of a node"
    proto.metadata_props.add(key="a key", value="a value")
    for node in proto.graph.node:
        node.name = node.name or "flattening"
    path = folder / "m.onnx"
    raw = proto.SerializeToString()
    assert text.encode() in raw
    path.write_bytes(raw.replace(text.encode(), b"\xff\xfe" + text.encode()[2:]))
    return path
