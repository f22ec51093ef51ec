"""One network in the dialects of ONNX that are found, written node by node: nothing of ours writes what it reads.

The network takes canonical images of 8 x 8 pixels and has ten classes. A dialect is a graph that undoes what its
contract does to an image, runs the network, and tells the answer in its own way.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_core.arrays import Floats32
from cae_core.contract import Contract

SIDE, HIDDEN, CLASSES = 8, 12, 10
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ORDER = (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)
"""Of the classes, in a model that has its own."""

Case: TypeAlias = dict[str, Any]

AXES: dict[str, tuple[Any, ...]] = {
    "layout": ("NHWC", "NCHW", "HW", "FLAT", "FLAT_NCHW", "COLUMN"),
    "channels": ("RGB", "BGR", "GRAY", "REPEATED"),
    "dtype": ("float32", "float16", "float64", "uint8", "int8", "int32", "quantised"),
    "range": ((0, 1), (0, 255), (-1, 1), "mean and std", "mean image"),
    "output": (
        *("logits", "probabilities", "labels", "column of labels", "names", "dictionaries", "dictionaries of names"),
        *("rank 4", "int8 scores", "uint8 probabilities", "second output", "named output"),
    ),
    "order": ("same", "by number", "by name"),
    "batch": ("n", 1, 5),
    "opset": (7, 9, 11, 13, 17, 21),
    "resize": (None, "nearest"),
}
INTEGERS = ("uint8", "int8", "int32")
KINDS = {
    "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "int32": TensorProto.INT32, "quantised": TensorProto.INT8,
}  # fmt: skip
SCALE, ZERO = 1 / 128, -128  # from 0 to 2 in int8
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.5)


def is_possible(case: Case) -> bool:
    whole = case["dtype"] in (*INTEGERS, "quantised")
    labels = case["output"] in ("labels", "column of labels", "names", "dictionaries", "dictionaries of names")
    return not (
        (case["layout"] == "HW" and case["channels"] != "GRAY")
        or (whole and case["range"] != (0, 1))  # integers have a range of their own
        or (case["order"] == "by name" and labels and case["output"] != "names")
        or (case["output"] == "dictionaries of names" and case["order"] != "same")
    )


def cover(seed: int = 0) -> list[Case]:
    """Return cases in which every two values of two axes that can meet do so."""
    random = np.random.default_rng(seed)

    def draw(fixed: Case) -> Case | None:
        for _ in range(50):
            case = {name: values[random.integers(len(values))] for name, values in AXES.items()} | fixed
            if is_possible(case):
                return case
        return None

    cases: list[Case] = []
    missing = dict.fromkeys(pair for one, other in itertools.combinations(AXES, 2) for pair in _pairs(one, other))
    while missing:
        (one, value), (other, second) = next(iter(missing))
        drawn = [case for case in (draw({one: value, other: second}) for _ in range(8)) if case is not None]
        if not drawn:
            missing.pop(((one, value), (other, second)))  # these two cannot meet
            continue
        best = max(drawn, key=lambda case: sum(pair in missing for pair in pairs_of(case)))
        cases.append(best)
        for pair in pairs_of(best):
            missing.pop(pair, None)
    return cases


def _pairs(one: str, other: str) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    yield from itertools.product(((one, value) for value in AXES[one]), ((other, value) for value in AXES[other]))


def pairs_of(case: Case) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    yield from itertools.combinations(((name, case[name]) for name in AXES), 2)


def weights(channels: int) -> tuple[Floats32, Floats32, Floats32, Floats32]:
    random = np.random.default_rng(channels)
    made = [
        random.normal(size=shape) * size
        for shape, size in (
            ((SIDE * SIDE * channels, HIDDEN), 0.6),
            (HIDDEN, 1),
            ((HIDDEN, CLASSES), 0.6),
            (CLASSES, 0.2),
        )
    ]
    first, a, second, b = (array.astype(np.float32) for array in made)
    return first - first.mean(axis=0), a, second, b


def logits_of(images: NDArray[np.uint8]) -> Floats32:
    """What the network answers, in NumPy."""
    first, a, second, b = weights(images.shape[3])
    x = images.reshape(len(images), -1).astype(np.float32) / 255
    return np.asarray(np.maximum(x @ first + a, 0) @ second + b, np.float32)


def contract_of(case: Case) -> Contract:
    """The contract of a dialect, as somebody would write it who knows the model."""
    fields: Case = {
        "layout": "FLAT" if case["layout"] == "COLUMN" else case["layout"],
        "channels": {"REPEATED": "RGB"}.get(case["channels"], case["channels"]),
        "range": case["range"] if isinstance(case["range"], tuple) else (0, 1),
        "output": {
            "probabilities": "probabilities", "labels": "labels", "column of labels": "labels", "names": "labels",
            "dictionaries": "probabilities", "dictionaries of names": "probabilities",
            "uint8 probabilities": "probabilities", "second output": "probabilities",
        }.get(case["output"], "logits"),
    }  # fmt: skip
    if case["range"] == "mean and std":
        fields |= {"mean": MEAN, "std": STD} if fields["channels"] != "GRAY" else {"mean": MEAN[:1], "std": STD[:1]}
    if case["range"] == "mean image":
        fields |= {"mean_image": _mean_image(case), "std": (0.5,)}
    if case["dtype"] in INTEGERS:
        fields |= {"dtype": case["dtype"], "range": (-128, 127) if case["dtype"] == "int8" else (0, 255)}
    if case["dtype"] == "quantised":
        fields |= {"dtype": "int8", "scale": SCALE, "zero_point": ZERO, "range": (0, 1.9921875)}
    if case["resize"] is not None:
        fields |= {"size": (2 * SIDE, 2 * SIDE), "resize": case["resize"]}
    if case["output"] == "named output":
        fields["output_name"] = "answer"
    if case["order"] == "by number":
        fields["classes"] = ORDER
        if case["output"] == "names":
            fields["class_names"] = tuple(NAMES[place] for place in ORDER)
    if case["order"] == "by name":
        fields["class_names"] = tuple(NAMES[place] for place in ORDER)
    return Contract(**fields)


def _mean_image(case: Case) -> Floats32:
    side = SIDE if case["resize"] is None else 2 * SIDE
    channels = 1 if case["channels"] == "GRAY" else 3
    return np.random.default_rng(5).random((side, side, channels), np.float32)


class _Graph:
    """Nodes of which each takes what the one before it made."""

    def __init__(self, opset: int) -> None:
        self.opset, self.name = opset, "image"
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(
        self,
        operator: str,
        *more: object,
        domain: str = "",
        to: str | None = None,
        to_type: int | None = None,
        **more_of: Any,  # noqa: ANN401 - as the operator wants them
    ) -> str:
        made = to or f"t{len(self.nodes)}"
        names = [self.name]
        for value in more:
            names.append(f"c{len(self.constants)}")
            self.constants.append(numpy_helper.from_array(np.asarray(value), names[-1]))
        attributes: dict[str, Any] = more_of if to_type is None else {"to": to_type}
        self.nodes.append(helper.make_node(operator, names, [made], domain=domain, **attributes))
        self.name = made
        return made


def write(path: Path, case: Case) -> None:
    """Write a dialect, without any contract inside."""
    side = SIDE if case["resize"] is None else 2 * SIDE
    channels = 1 if case["channels"] == "GRAY" else 3
    graph = _Graph(case["opset"])
    _read(graph, case, side, channels)
    outputs = _answer(graph, case)
    axes = {
        "NHWC": (side, side, channels), "NCHW": (channels, side, side), "HW": (side, side),
        "COLUMN": (side * side * channels, 1),
    }.get(case["layout"], (side * side * channels,))  # fmt: skip
    taken = helper.make_tensor_value_info("image", KINDS[case["dtype"]], [case["batch"], *axes])
    made = helper.make_graph(graph.nodes, "dialect", [taken], outputs, graph.constants)
    opsets = [helper.make_opsetid("", case["opset"]), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=10 if case["opset"] > 18 else 8), path)


def _read(graph: _Graph, case: Case, side: int, channels: int) -> None:
    """From the model's tensor back to the canonical pixels, (n, 8 * 8 * k)."""
    if case["dtype"] != "float32":
        graph.add("Cast", to_type=TensorProto.FLOAT)
    last = case["layout"] in ("NCHW", "FLAT_NCHW")
    graph.add("Reshape", np.array([-1, channels, side, side] if last else [-1, side, side, channels]))
    if last:
        graph.add("Transpose", perm=[0, 2, 3, 1])
    _undo(graph, case)
    if case["channels"] == "BGR":
        graph.add("Gather", np.array([2, 1, 0]), axis=3)
    if case["channels"] == "REPEATED":
        graph.add("Gather", np.array([1]), axis=3)
    if case["resize"] is not None:
        for axis in (1, 2):
            graph.add("Gather", np.arange(0, side, 2), axis=axis)
    graph.add("Reshape", np.array([-1, SIDE * SIDE * (1 if case["channels"] in ("GRAY", "REPEATED") else 3)]))


def _undo(graph: _Graph, case: Case) -> None:
    told = contract_of(case)
    if case["dtype"] == "quantised":
        graph.add("Sub", np.float32(ZERO))
        graph.add("Mul", np.float32(SCALE))
    if told.std is not None:
        graph.add("Mul", np.array(told.std, np.float32))
    if told.mean is not None:
        graph.add("Add", np.array(told.mean, np.float32))
    if told.mean_image is not None:
        graph.add("Add", told.mean_image)
    low, high = told.range
    graph.add("Sub", np.float32(low))
    graph.add("Div", np.float32(high - low))


def _answer(graph: _Graph, case: Case) -> list[onnx.ValueInfoProto]:  # noqa: PLR0911 - one for each way to answer
    """From the pixels to the answer; returns the graph's outputs."""
    first, a, second, b = weights(1 if case["channels"] in ("GRAY", "REPEATED") else 3)
    graph.add("MatMul", first)
    graph.add("Add", a)
    graph.add("Relu", to="features")
    graph.add("MatMul", second)
    graph.add("Add", b)
    if case["order"] != "same":
        graph.add("Gather", np.array(ORDER), axis=1)
    batch, rows = case["batch"], [case["batch"], CLASSES]
    of = helper.make_tensor_value_info
    match case["output"]:
        case "logits":
            graph.add("Identity", to="y")
        case "probabilities":
            graph.add("Softmax", axis=1, to="y")
        case "labels" | "column of labels" as kind:
            keep = int(kind != "labels")
            graph.add("ArgMax", axis=1, keepdims=keep, to="y")
            return [of("y", TensorProto.INT64, [batch, *[1] * keep])]
        case "names":
            graph.add("ArgMax", axis=1, keepdims=0)
            own = NAMES if case["order"] == "same" else [NAMES[place] for place in ORDER]
            keys: dict[str, Any] = {"keys_int64s": list(range(CLASSES)), "values_strings": list(own)}
            graph.add("LabelEncoder", domain="ai.onnx.ml", to="y", **keys)
            return [of("y", TensorProto.STRING, [batch])]
        case "dictionaries" | "dictionaries of names" as kind:
            graph.add("Softmax", axis=1)
            keys = (
                {"classlabels_strings": list(NAMES)}
                if "names" in kind
                else {"classlabels_int64s": list(range(CLASSES))}
            )
            graph.add("ZipMap", domain="ai.onnx.ml", to="y", **keys)
            key = TensorProto.STRING if "names" in kind else TensorProto.INT64
            row = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
            return [helper.make_value_info("y", helper.make_sequence_type_proto(row))]
        case "rank 4":
            graph.add("Reshape", np.array([-1, CLASSES, 1, 1]), to="y")
            return [of("y", TensorProto.FLOAT, [*rows, 1, 1])]
        case "int8 scores":
            graph.add("Mul", np.float32(8))
            graph.add("Cast", to_type=TensorProto.INT8, to="y")
            return [of("y", TensorProto.INT8, rows)]
        case "uint8 probabilities":
            graph.add("Softmax", axis=1)
            graph.add("Mul", np.float32(255))
            graph.add("Cast", to_type=TensorProto.UINT8, to="y")
            return [of("y", TensorProto.UINT8, rows)]
        case "second output":
            graph.add("Softmax", axis=1, to="y")
            return [of("features", TensorProto.FLOAT, [batch, HIDDEN]), of("y", TensorProto.FLOAT, rows)]
        case "named output":
            scores = graph.add("Identity", to="answer")
            graph.add("Neg", to="y")
            return [of("y", TensorProto.FLOAT, rows), of(scores, TensorProto.FLOAT, rows)]
    return [of("y", TensorProto.FLOAT, rows)]
