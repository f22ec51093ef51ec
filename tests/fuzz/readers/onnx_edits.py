"""Edits of ONNX models as the messages that they are: whatever protobuf can write, sensible or not."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

__all__ = ["base_models", "edited_model"]

_METADATA = {"cae.layout": "NHWC", "cae.range": "0..1", "cae.output": "logits"}
_FLOAT = TensorProto.FLOAT
_TYPES = (
    *(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, TensorProto.UINT8),
    *(TensorProto.INT8, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.STRING, TensorProto.UINT64),
    *(TensorProto.COMPLEX64, TensorProto.FLOAT8E4M3FN, TensorProto.INT4, 0, 99),
)
_OPERATORS = (
    *("Relu", "Identity", "Loop", "If", "Scan", "ConstantOfShape", "RandomNormalLike", "NonZero", "Reshape", "Expand"),
    *("Tile", "Range", "Foo", "", "SequenceConstruct", "Optional", "StringNormalizer", "CastLike", "Einsum", "Dropout"),
    *(
        "GridSample",
        "Det",
        "TopK",
        "Unique",
        "BitShift",
        "Split",
        "Attention",
        "QuantizeLinear",
        "DFT",
        "LSTM",
        "Resize",
    ),
)
_DOMAINS = ("com.evil", "ai.onnx.ml", "com.microsoft", "ai.onnx", "\x1b[2J", "org.pytorch.aten")
_DIMS = (0, 1, -1, 3, 4, 2**31, 2**62, 1000)
_SHAPES: tuple[list[int], ...] = ([], [0], [-1], [2**40], [16, 0], [2**31, 2**31, 2**31], [1] * 300, [10], [16, 10])
_LOCATIONS = (
    *(
        "../../../../etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        "w.bin",
        "",
        ".",
        "..",
        "a" * 5000,
        "\0",
        "*/_ORT_MEM_ADDR_/*",
    ),
    *("/proc/self/environ", "//etc/passwd", "file:///etc/passwd", "link.bin", "none.bin"),
)
_OFFSETS = ("0", "-1", "99999999999999999999", "x", "4096")
_LENGTHS = ("10", "0", "-1", "99999999999999", str(2**63), "640", "x")
_INTS: tuple[list[int], ...] = ([], [0], [-1], [2**40], [0] * 1000, [1, 1], [3, 3, 3], [2**63 - 1] * 4, [0, 0, 0, 0])
_SAID = (
    *("", "NHWC", "NCHW", "0..1", "1..0", "nan..1", "-inf..inf", "0..1..2", "0..1e308", "logits", "labels", "[4, 4]"),
    *(
        "probabilities",
        "[0, 0]",
        "[-3, 8]",
        "[20000, 20000]",
        "[4096, 4096]",
        "bilinear",
        "nearest",
        "bicubic",
        "[1e400]",
    ),
    *(
        "[0,1,2,3,4,5,6,7,8,9]",
        "[9,8,7,6,5,4,3,2,1,0]",
        "[" * 2000,
        "9" * 5000,
        "[]",
        "[0.5]",
        "[NaN]",
        "null",
        "m.npz",
    ),
    *("/etc/passwd", "image", "x", "uint8", "float32", "RGB", "GRAY", "BGR", "\x1b[2J"),
)
_KEYS = (
    "layout",
    "range",
    "output",
    "size",
    "resize",
    "classes",
    "mean",
    "std",
    "mean_image",
    "input",
    "dtype",
    "channels",
)


def _array(name: str, *shape: int) -> TensorProto:
    values = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(np.abs(values) if name == "variance" else values, name)


def _model(nodes: list[Any], weights: list[TensorProto], answer: Any, **said: str) -> bytes:  # noqa: ANN401
    image = helper.make_tensor_value_info("image", _FLOAT, ("n", 4, 4, 1))
    graph = helper.make_graph(nodes, "g", [image], [answer], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {**_METADATA, **said})
    return bytes(model.SerializeToString())


def base_models() -> dict[str, bytes]:
    """Return small valid models: a linear one, a convolutional one, one that ends in a softmax, one of labels."""
    node, logits = helper.make_node, helper.make_tensor_value_info("logits", _FLOAT, ("n", 10))
    flat = node("Flatten", ["image"], ["flat"], axis=1)
    convolution = [
        node("Transpose", ["image"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "kernel"], ["c"], pads=[1] * 4, kernel_shape=[3, 3]),
        node("BatchNormalization", ["c", "scale", "bias", "mean", "variance"], ["normal"]),
        node("Relu", ["normal"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"], axis=1),
    ]
    weights = [
        _array("kernel", 4, 1, 3, 3),
        *(_array(x, 4) for x in ("scale", "bias", "mean", "variance")),
        _array("w", 16, 10),
    ]
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, ("n",))
    return {
        "linear": _model([flat, node("MatMul", ["flat", "w"], ["logits"])], [_array("w", 16, 10)], logits),
        "convolution": _model([*convolution, node("MatMul", ["f", "w"], ["logits"])], weights, logits),
        "softmax": _model(
            [*convolution, node("MatMul", ["f", "w"], ["l"]), node("Softmax", ["l"], ["logits"], axis=1)],
            weights,
            logits,
            **{"cae.output": "probabilities"},
        ),
        "labels": _model(
            [flat, node("MatMul", ["flat", "w"], ["l"]), node("ArgMax", ["l"], ["labels"], axis=1, keepdims=0)],
            [_array("w", 16, 10)],
            labels,
            **{"cae.output": "labels"},
        ),
    }


def edited_model(random: Random, content: bytes) -> tuple[bytes, str]:
    """Return a model with one to three edits, and which."""
    model, done = onnx.load_from_string(content), list[str]()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        edit = random.choice(_EDITS)
        if model.graph.node and model.graph.input and model.graph.initializer:
            edit(random, model)
            done.append(edit.__name__.removeprefix("_"))
    return model.SerializeToString(), " ".join(done)


def _input_type(random: Random, model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = random.choice(_TYPES)


def _output_type(random: Random, model: ModelProto) -> None:
    for output in model.graph.output:
        output.type.tensor_type.elem_type = random.choice(_TYPES)


def _input_shape(random: Random, model: ModelProto) -> None:
    shape = model.graph.input[0].type.tensor_type.shape
    kind = random.randrange(4)
    if kind == 0:
        model.graph.input[0].type.tensor_type.ClearField("shape")
    elif kind == 1:
        del shape.dim[random.randrange(4) :]
    elif shape.dim:
        axis = random.choice(shape.dim)
        axis.Clear()
        axis.dim_value = random.choice(_DIMS)


def _output_shape(random: Random, model: ModelProto) -> None:
    for output in model.graph.output:
        output.type.tensor_type.shape.dim.add().dim_value = random.choice((1, 0, 3, -5))


def _further_input(random: Random, model: ModelProto) -> None:
    name, shape = random.choice(("y", "image", "", "w")), random.choice((None, (1,), ("n", 4, 4, 1)))
    model.graph.input.append(helper.make_tensor_value_info(name, random.choice(_TYPES) or 1, shape))
    if random.random() < 0.4:
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), name))


def _further_output(random: Random, model: ModelProto) -> None:
    name = random.choice((random.choice(model.graph.node).output[0] if model.graph.node[0].output else "x", "none", ""))
    shape = random.choice((None, (), ("n", 10), ("n",)))
    model.graph.output.append(helper.make_tensor_value_info(name, random.choice(_TYPES) or 1, shape))


def _no_outputs(_: Random, model: ModelProto) -> None:
    del model.graph.output[:]


def _operator(random: Random, model: ModelProto) -> None:
    random.choice(model.graph.node).op_type = random.choice(_OPERATORS)


def _domain(random: Random, model: ModelProto) -> None:
    random.choice(model.graph.node).domain = random.choice(_DOMAINS)


def _versions(random: Random, model: ModelProto) -> None:
    if random.random() < 0.7:
        model.opset_import[0].version = random.choice((*range(28), 99, 2**40, -1))
    else:
        model.ir_version = random.choice((0, 1, 3, 4, 7, 9, 10, 11, 12, 13, 14, 99, -1))


def _wires(random: Random, model: ModelProto) -> None:
    """Let a node read what is not there, or what comes after it; or write what is there already."""
    node, nodes = random.choice(model.graph.node), model.graph.node
    names = ["nowhere", "", "image", *(name for other in nodes for name in other.output)]
    ends = node.input if random.random() < 0.6 else node.output
    if ends:
        ends[random.randrange(len(ends))] = random.choice(names)


def _nodes(random: Random, model: ModelProto) -> None:
    node = random.choice(model.graph.node)
    if random.random() < 0.5:
        model.graph.node.append(node)
    else:
        model.graph.node.remove(node)


def _weight_shape(random: Random, model: ModelProto) -> None:
    tensor = random.choice(model.graph.initializer)
    del tensor.dims[:]
    tensor.dims.extend(random.choice(_SHAPES))


def _weight_type(random: Random, model: ModelProto) -> None:
    random.choice(model.graph.initializer).data_type = random.choice(_TYPES)


def _weight_bytes(random: Random, model: ModelProto) -> None:
    tensor = random.choice(model.graph.initializer)
    raw = tensor.raw_data
    tensor.raw_data = random.choice((b"", raw[:-1], raw * 2, b"\xff" * len(raw), b"\0\0\xc0\x7f" * (len(raw) // 4)))


def _outside(random: Random, model: ModelProto) -> None:
    tensor = random.choice(model.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    said = (("location", _LOCATIONS), ("offset", _OFFSETS), ("length", _LENGTHS))
    for key, values in said:
        if random.random() < 0.9:
            entry = tensor.external_data.add()
            entry.key, entry.value = key, random.choice(values)


def _attribute(random: Random, model: ModelProto) -> None:
    node = random.choice(model.graph.node)
    if not node.attribute:
        value = random.choice((0, -5, 2**40, [1, 2], "a", 1.5))
        node.attribute.append(helper.make_attribute(random.choice(("axis", "perm", "to", "x")), value))
        return
    attribute = random.choice(node.attribute)
    if attribute.type == attribute.INTS and random.random() < 0.8:
        del attribute.ints[:]
        attribute.ints.extend(random.choice(_INTS))
    elif attribute.type == attribute.INT and random.random() < 0.8:
        attribute.i = random.choice((0, -1, 99, 2**40, -(2**63)))
    else:
        attribute.type = random.randrange(15)  # pyright: ignore[reportAttributeAccessIssue] # also none of them


def _subgraph(random: Random, model: ModelProto) -> None:
    body, kind = onnx.GraphProto(), random.choice(("If", "Loop", "Scan"))
    body.CopyFrom(model.graph)
    held: dict[str, Any] = {"body": body}
    if kind == "If":
        held = {"then_branch": body, "else_branch": body}
    elif kind == "Scan":
        held["num_scan_inputs"] = random.choice((0, 1, 5, -1))
    node = helper.make_node(kind, random.choice(([], ["image"], ["image"] * 3)), ["sub"], **held)
    model.graph.node.insert(random.randrange(len(model.graph.node) + 1), node)


def _function(random: Random, model: ModelProto) -> None:
    own, relu = helper.make_opsetid("com.evil", 1), helper.make_node("Relu", ["x"], ["y"])
    bodies: tuple[list[Any], ...] = ([relu], [helper.make_node("F", ["x"], ["y"], domain="com.evil")], [])
    made = helper.make_function(
        "com.evil", "F", ["x"], ["y"], random.choice(bodies), [helper.make_opsetid("", 17), own]
    )
    model.functions.append(made)
    model.opset_import.append(own)
    _before(model, helper.make_node("F", ["image"], ["first"], domain="com.evil"))


def _before(model: ModelProto, node: Any) -> None:  # noqa: ANN401 - a NodeProto that makes "first" of "image"
    """Put a node before all others, which read what it makes."""
    model.graph.node.insert(0, node)
    for later in model.graph.node[1:]:
        for place, name in enumerate(later.input):
            if name == "image":
                later.input[place] = "first"


def _sparse(random: Random, model: ModelProto) -> None:
    sparse, places = onnx.SparseTensorProto(), random.choice(([0, 5], [0, 10**9], [-1, 3], [5, 0]))
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), random.choice(("w", "other"))))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array(places, np.int64), "places"))
    sparse.dims.extend(random.choice(([16, 10], [10], [2**40, 2**20], [0], [60000, 60000])))
    model.graph.sparse_initializer.append(sparse)
    for tensor in list(model.graph.initializer):
        if tensor.name == sparse.values.name:
            model.graph.initializer.remove(tensor)


def _grown(random: Random, model: ModelProto) -> None:
    """Make the image larger, or another shape of it, before it is looked at."""
    sizes = ([1, 100, 100, 1], [0, 0, 0, 0], [-1, -1, 1, 1], [1, 4, 4, 1], [2**31, 1, 1, 1], [1] * 9, [2, 1, 1, 1])
    model.graph.initializer.append(numpy_helper.from_array(np.array(random.choice(sizes), np.int64), "sizes"))
    kind = random.choice(("Tile", "Expand", "Reshape", "Resize", "Pad"))
    _before(model, helper.make_node(kind, ["image", "sizes"], ["first"]))


def _metadata(random: Random, model: ModelProto) -> None:
    key = f"cae.{random.choice(_KEYS)}"
    for entry in [entry for entry in model.metadata_props if entry.key == key]:
        model.metadata_props.remove(entry)
    entry = model.metadata_props.add()
    entry.key, entry.value = key, random.choice(_SAID)


def _names(random: Random, model: ModelProto) -> None:
    names = ("", "\x1b[31mUPHELD\x1b[0m", "a\nb", "x" * 10**5, 'a")(__import__("os")', "image", "w")
    match random.randrange(3):
        case 0:
            model.graph.name = random.choice(names)
        case 1:
            random.choice(model.graph.node).name = random.choice(names)
        case _:
            model.graph.input[0].name = random.choice(names)


def _end(random: Random, model: ModelProto) -> None:
    """Put a node behind the answer."""
    last = model.graph.output[0].name if model.graph.output else "logits"
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        *(
            ("Cast", {"to": random.choice(_TYPES) or 1}),
            ("Transpose", {}),
            ("Flatten", {"axis": 0}),
            ("Softmax", {"axis": 0}),
        ),
        *(
            ("ArgMax", {"axis": 1}),
            ("ReduceSum", {}),
            ("Shape", {}),
            ("Size", {}),
            ("NonZero", {}),
            ("Exp", {}),
            ("IsNaN", {}),
        ),
    )
    kind, attributes = random.choice(kinds)
    model.graph.node.append(helper.make_node(kind, [last], ["ended"], **attributes))
    if model.graph.output:
        shape = random.choice((("n", 10), None, ("n",)))
        made = helper.make_tensor_value_info("ended", random.choice((*_TYPES, _FLOAT, _FLOAT)) or 1, shape)
        model.graph.output[0].CopyFrom(made)


_EDITS: tuple[Callable[[Random, ModelProto], None], ...] = (
    *(
        _input_type,
        _output_type,
        _input_shape,
        _input_shape,
        _output_shape,
        _further_input,
        _further_output,
        _no_outputs,
    ),
    *(
        _operator,
        _domain,
        _versions,
        _wires,
        _wires,
        _nodes,
        _weight_shape,
        _weight_type,
        _weight_bytes,
        _outside,
        _outside,
    ),
    *(_attribute, _attribute, _subgraph, _function, _sparse, _grown, _metadata, _metadata, _names, _end, _end),
)
