"""Every operator that ONNX Runtime knows, with odd inputs and attributes: some end the process that runs them.

So these cases show what they are to show only where models run in a child of the process that reads them.
"""

import importlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.reader import Case, Make, Reader
from tests.fuzz.readers.models import CLASSES, Models

__all__ = ["OPERATORS"]

_OPSETS = {"": 21, "com.microsoft": 1, "ai.onnx.ml": 4, "com.microsoft.nchwc": 1, "ai.onnx.preview.training": 1}
_SHAPES = ((), (1,), (4,), (0,), (1, 16), (16, 10), (2, 3, 4), (1, 1, 4, 4), (4, 4, 1, 1), (2, 2))
_TYPES = ("f4", "f4", "i8", "i8", "i4", "u1", "i1", "?", "f2", "f8")
_VALUES = ([0], [1], [-1], [2], [2**31 - 1], [2**40], [-(2**63)], [7, 3, 1], [100000])
_MOST_INPUTS, _MOST_OUTPUTS = 8, 4


@dataclass(frozen=True)
class _Operator:
    name: str
    domain: str
    least: int
    most: int
    outputs: int
    attributes: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class _Known(Models):
    operators: tuple[_Operator, ...] = ()


def _prepare(folder: Path) -> _Known:
    return _Known({}, folder, operators=_operators())


def _operators() -> tuple[_Operator, ...]:
    """Return what the installed runtime knows, each in its newest form."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")  # compiled
    newest: dict[tuple[str, str], Any] = {}
    for schema in state.get_all_operator_schema():
        before = newest.get((schema.domain, schema.name))
        if schema.domain in _OPSETS and (before is None or before.since_version < schema.since_version):
            newest[schema.domain, schema.name] = schema
    return tuple(
        _Operator(
            name=schema.name,
            domain=schema.domain,
            least=schema.min_input,
            most=min(schema.max_input, _MOST_INPUTS),
            outputs=min(max(schema.max_output, 1), _MOST_OUTPUTS),
            attributes=tuple(
                (name, str(x.type).rpartition(".")[2], x.required) for name, x in schema.attributes.items()
            ),
        )
        for _, schema in sorted(newest.items())
    )


def _case(random: Random, known: _Known, folder: Path) -> Case:
    operator = random.choice(known.operators)
    count = random.randint(operator.least, max(operator.least, min(operator.most, operator.least + 3)))
    arrays, names = dict[str, Any](), list[str]()
    for place in range(count):
        kind = random.randrange(8)
        if kind < 2 or (kind == 7 and place >= operator.least):
            names.append(("image", "flat", "")[min(kind, 2)])
            continue
        names.append(f"c{place}")
        arrays[f"c{place}"] = _array(random)
    given = {
        name: _attribute(random, kind) for name, kind, needed in operator.attributes if needed or random.random() < 0.5
    }
    given = {name: value for name, value in given.items() if value is not None}
    outputs = ["out", *(f"o{i}" for i in range(random.randint(0, operator.outputs - 1)))]
    path = _written(folder, operator.name, operator.domain, names, outputs, arrays, given)
    return Case(partial(known.asked, path), f"{operator.domain}.{operator.name} {names} {sorted(given)}")


def _array(random: Random) -> Any:  # noqa: ANN401 - of any type
    shape = random.choice(_SHAPES)
    with np.errstate(all="ignore"):
        values = np.resize(np.array(random.choice(_VALUES), np.int64), int(np.prod(shape)))
        return values.reshape(shape).astype(random.choice(_TYPES))


def _attribute(random: Random, kind: str) -> Any:  # noqa: ANN401 - of any type
    from onnx import TensorProto, helper, numpy_helper

    if kind == "TENSOR":
        return numpy_helper.from_array(np.ones(random.choice(((), (1,), (3,))), np.float32))
    if kind == "GRAPH":
        made = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Identity", ["image"], ["z"])], "g", [], [made])
    choices: dict[str, tuple[Any, ...]] = {
        "INT": (0, 1, -1, 2, 3, 7, 2**31, 2**40, -(2**63)),
        "INTS": ([1], [0], [1, 1], [2, 2], [-1], [2**40], [1, 1, 1, 1]),
        "FLOAT": (0.0, 1.0, -1.0, 1e30, float("nan")),
        "FLOATS": ([1.0], [0.5] * 10, [float("nan")]),
        "STRING": ("", "x", "NOTSET", "SAME_UPPER", "linear", "constant", "add", "relu"),
        "STRINGS": (["a"], ["a"] * 10, ["Tanh"]),
    }
    return random.choice(choices[kind]) if kind in choices else None


def _written(  # noqa: PLR0917 - what a node is
    folder: Path,
    name: str,
    domain: str,
    inputs: list[str],
    outputs: list[str],
    arrays: dict[str, Any],
    attributes: dict[str, Any],
) -> Path:
    """Write a linear model to whose answers the operator's first output is added."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node(name, inputs, outputs, domain=domain, **attributes),
        helper.make_node("Cast", ["out"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["flat", "W"], ["linear"]),
        helper.make_node("Add", ["linear", "sum"], ["logits"]),
    ]
    weights = {**arrays, "W": np.ones((16, CLASSES), np.float32)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", 4, 4, 1))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    opsets = [helper.make_opsetid(key, version) for key, version in _OPSETS.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(model, {"cae.layout": "NHWC", "cae.range": "0..1", "cae.output": "logits"})
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _one(name: str, inputs: list[str], arrays: dict[str, Any] | None = None, **attributes: Any) -> Make:  # noqa: ANN401
    def make(_: Random, known: _Known, folder: Path) -> Case:
        return Case(partial(known.asked, _written(folder, name, "", inputs, ["out"], arrays or {}, attributes)), name)

    return make


_EMPTY = np.zeros((0,), np.float32)

OPERATORS = Reader(
    name="operators",
    prepare=_prepare,
    make=_case,
    failures={
        "random numbers between a high and a low end": _one("RandomUniformLike", ["image"], low=1.0, high=0.0),
        "random numbers of no size": _one("RandomNormalLike", ["image"], scale=float("nan")),
        "the largest of nothing": _one("Max", ["c", "image"], {"c": _EMPTY}),
        "the smallest of nothing": _one("Min", ["image", "c"], {"c": _EMPTY}),
        "an axis beyond all others": _one(
            "OneHot",
            ["i", "d", "v"],
            {"i": np.zeros(4, np.int64), "d": np.array([3], np.int64), "v": np.array([0, 1], np.float32)},
            axis=-(2**63),
        ),
    },
    valid={"a sum": _one("Identity", ["image"])},
    heavy=True,
    memory=3 << 30,
    containable=True,
    ends_processes=True,
)
