"""ONNX graphs that are wrong in themselves are refused in a sentence, whatever the library that reads them raises."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from cae_backends.torch.opening import open_onnx
from cae_core.contract import Contract
from cae_core.errors import ModelError

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]

LOGITS = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
IMAGES = np.random.default_rng(0).random((3, 6, 6, 3), np.float32)
KERNEL = {"k": np.zeros((3, 3, 1, 1), np.float32)}


def short(kind: int, dims: tuple[int, ...] = (3,)) -> TensorProto:
    """A weight with fewer bytes than its shape takes."""
    return TensorProto(data_type=kind, dims=dims, raw_data=b"abc")


def graph(
    *nodes: onnx.NodeProto,
    constants: Mapping[str, NDArray[Any] | np.floating[Any] | TensorProto] | None = None,
    opset: int = 18,
    output: str = "y",
) -> onnx.ModelProto:
    """``nodes`` make h of the images; a linear layer behind it answers y."""
    weights = np.random.default_rng(0).standard_normal((108, 5)).astype(np.float32)
    tensors = []
    for name, value in {**(constants or {}), "w": weights}.items():
        tensors.append(value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value)))
        tensors[-1].name = name
    tail = [helper.make_node("Flatten", ["h"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    made = helper.make_graph(
        [*nodes, *tail],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 6, 6))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def one(operator: str, *further: str, constants: Any = None, opset: int = 18, **told: Any) -> onnx.ModelProto:  # noqa: ANN401
    return graph(helper.make_node(operator, ["x", *further], ["h"], **told), constants=constants, opset=opset)


def referring() -> onnx.ModelProto:
    """An attribute that refers to one of a function, in no function."""
    node = helper.make_node("LeakyRelu", ["x"], ["h"])
    node.attribute.append(AttributeProto(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT))
    return graph(node)


def constant(**told: Any) -> onnx.ModelProto:  # noqa: ANN401
    return graph(helper.make_node("Constant", [], ["c"], **told), helper.make_node("Add", ["x", "c"], ["h"]))


def of_scalar(*nodes: onnx.NodeProto, constants: Any = None, opset: int = 18) -> onnx.ModelProto:  # noqa: ANN401
    """``nodes`` make r of s, which has no axes."""
    total = helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0)
    return graph(total, *nodes, helper.make_node("Add", ["x", "r"], ["h"]), constants=constants, opset=opset)


def changed(change: Callable[[onnx.ValueInfoProto], object]) -> onnx.ModelProto:
    proto = one("Relu")
    change(proto.graph.input[0])
    return proto


DAMAGED: dict[str, Callable[[], onnx.ModelProto]] = {
    "constant without a value": constant,
    "constant of a short tensor": lambda: constant(value=short(TensorProto.DOUBLE)),
    "padding of no kernel": lambda: one("Conv", auto_pad="SAME_UPPER"),
    "padding by strides of 0": lambda: one("Conv", "k", constants=KERNEL, auto_pad="SAME_UPPER", strides=[0, 0]),
    "padding by one stride": lambda: one("Conv", "k", constants=KERNEL, auto_pad="SAME_UPPER", strides=[1]),
    "padding that is not text": lambda: one("Conv", "k", constants=KERNEL, auto_pad=b"\xff\xfe"),
    "padding that is a number": lambda: one("Conv", "k", constants=KERNEL, auto_pad=3),
    "windows with a stride of 0": lambda: one("MaxPool", kernel_shape=[1, 1], strides=[0, 0]),
    "rounded windows with a stride of 0": lambda: one("MaxPool", kernel_shape=[1, 1], strides=[0, 0], ceil_mode=1),
    "a group norm without channels": lambda: one(
        "GroupNormalization", "c", "c", constants={"c": np.ones(0, np.float32)}, opset=21, num_groups=1
    ),
    "infinite sizes": lambda: one("Resize", "", "c", constants={"c": np.array([1, 1, np.inf, 1], np.float32)}),
    "steps of 0": lambda: graph(
        helper.make_node("Range", ["a", "b", "a"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["h"]),
        constants={"a": np.float32(0), "b": np.float32(1)},
    ),
    "steps without an end": lambda: graph(
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["h"]),
        constants={"a": np.float32(0), "b": np.float32(np.inf), "c": np.float32(1)},
    ),
    "a scalar flattened": lambda: of_scalar(helper.make_node("Flatten", ["s"], ["r"], axis=-1)),
    "a scalar normalised": lambda: of_scalar(
        helper.make_node("RMSNormalization", ["s", "c"], ["r"]), constants={"c": np.float32(1)}, opset=23
    ),
    "a scalar padded": lambda: of_scalar(
        helper.make_node("Pad", ["s", "c", "", "c"], ["r"]), constants={"c": np.array([0])}
    ),
    "short weights": lambda: one("Add", "c", constants={"c": short(TensorProto.DOUBLE)}),
    "short weights of 16 bits": lambda: one("Add", "c", constants={"c": short(TensorProto.BFLOAT16)}),
    "a short switch": lambda: one("Dropout", "", "c", constants={"c": short(TensorProto.BOOL, (5,))}),
    "weights without a type": lambda: one("Dropout", "", "c", constants={"c": short(TensorProto.UNDEFINED)}),
    "weights of a quintillion": lambda: one("Add", "c", constants={"c": short(TensorProto.DOUBLE, (2**40, 2**40))}),
    "a reference out of a function": referring,
    "an input without a shape": lambda: changed(lambda x: x.type.tensor_type.ClearField("shape")),
    "an input without a type": lambda: changed(lambda x: x.ClearField("type")),
    "an input that is a sequence": lambda: changed(
        lambda x: x.type.sequence_type.elem_type.tensor_type.shape.SetInParent()
    ),
}  # fmt: skip


@pytest.mark.parametrize("output", ["logits", "probabilities"])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_graph_is_refused_in_a_sentence(tmp_path: Path, name: str, output: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(DAMAGED[name]().SerializeToString())
    with pytest.raises(ModelError) as caught:
        open_onnx(path, contract=LOGITS.replace(output=output), device="cpu").predict(IMAGES)
    assert "\n" not in str(caught.value)


HONEST: dict[str, Callable[[], onnx.ModelProto]] = {
    "constant": lambda: constant(value=numpy_helper.from_array(np.ones(6, np.float32))),
    "padding": lambda: one("Conv", "k", constants=KERNEL, auto_pad="SAME_UPPER"),
    "windows": lambda: one("MaxPool", kernel_shape=[1, 1], strides=[1, 1]),
    "weights": lambda: one("Add", "c", constants={"c": np.ones(6)}),
    "switch": lambda: one("Dropout", "", "c", constants={"c": np.zeros((), bool)}),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_its_honest_twin_is_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(HONEST[name]().SerializeToString())
    assert open_onnx(path, contract=LOGITS, device="cpu").predict(IMAGES).labels.shape == (3,)


def test_a_sparse_weight_without_a_type_is_refused(tmp_path: Path) -> None:
    proto = one("Add", "c")
    proto.graph.sparse_initializer.add(dims=[6]).values.name = "c"
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="a sparse weight cannot be read"):
        open_onnx(tmp_path / "m.onnx", contract=LOGITS, device="cpu")


def test_two_weights_of_one_name_are_refused(tmp_path: Path) -> None:
    """Programs differ in which of them they take."""
    proto = one("Relu")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((108, 5), np.float32), "w"))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"the graph has two weights called 'w'\. Export"):
        open_onnx(tmp_path / "m.onnx", contract=LOGITS, device="cpu")


@pytest.mark.parametrize("order", [0, 1])
def test_the_largest_in_no_order_are_refused(tmp_path: Path, order: int) -> None:
    node = helper.make_node("TopK", ["x", "k"], ["h", "places"], sorted=order)
    (tmp_path / "m.onnx").write_bytes(graph(node, constants={"k": np.array([6])}).SerializeToString())
    if order:
        open_onnx(tmp_path / "m.onnx", contract=LOGITS, device="cpu")
        return
    with pytest.raises(ModelError, match=r"operator TopK .* has sorted = 0 \(an order that ONNX leaves open\)"):
        open_onnx(tmp_path / "m.onnx", contract=LOGITS, device="cpu")
