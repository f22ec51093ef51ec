"""Operators that compute values, as image classifiers are exported with them, in the forms that differ."""

import itertools
from typing import Any

import numpy as np
from onnx import TensorProto

from tests.backends.onnx_cases import NEWEST, Case, Node, compared, floats, integers, number, unary

__all__ = ["VALUE_CASES"]

NORM = {"scale": floats(1, 4), "bias": floats(2, 4), "mean": floats(3, 4), "var": floats(4, 4)}

FUNCTIONS = [
    *(unary(name) for name in ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "LeakyRelu", "Neg")),
    *(unary(name) for name in ("Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tan", "Tanh")),
    *(unary(name, opsets=(9, NEWEST)) for name in ("Asinh", "Cosh", "Sinh")),
    *(unary(name, low=0.2) for name in ("Log", "Reciprocal", "Sqrt")),
    unary("Celu", opsets=(12, NEWEST), alpha=0.7),
    unary("Elu", alpha=0.7),
    unary("Gelu", opsets=(20, NEWEST)),
    unary("Gelu", opsets=(20, NEWEST), approximate="tanh"),
    unary("HardSigmoid", alpha=0.25, beta=0.4),
    unary("HardSwish", opsets=(14, NEWEST)),
    unary("LeakyRelu", alpha=0.3),
    unary("Mish", opsets=(18, NEWEST)),
    *(unary("PRelu", {"slope": floats(1, *shape)}) for shape in ((4, 1, 1), (6,), (6, 1), (1,), (), (4, 6, 6))),
    unary("Selu"),
    unary("Selu", alpha=1.2, gamma=0.9),
    unary("Shrink", opsets=(9, NEWEST), lambd=0.3, bias=0.2),
    unary("Swish", opsets=(24, NEWEST), alpha=0.7),
    unary("ThresholdedRelu", opsets=(10, NEWEST), alpha=0.3),
    *(unary(name, opsets=(13, NEWEST)) for name in ("LogSoftmax", "Softmax")),
    *(unary(name, axis=1) for name in ("LogSoftmax", "Softmax")),
    # acosh takes numbers from 1 on, the others from -1 to 1
    *(
        Case(name, [("Mul", ["x", "half"], ["h"], {}), (name, ["h"], ["y"], {})], {"half": number(0.5)})
        for name in ("Acos", "Asin")
    ),
    Case(
        "Atanh",
        [("Mul", ["x", "half"], ["h"], {}), ("Atanh", ["h"], ["y"], {})],
        {"half": number(0.5)},
        (9, NEWEST),
    ),
    Case("Acosh", [("Add", ["x", "two"], ["h"], {}), ("Acosh", ["h"], ["y"], {})], {"two": number(2.5)}, (9, NEWEST)),
]

CLIP = [
    unary("Clip", opsets=(6, 10), min=-0.2, max=0.5),
    unary("Clip", {"low": number(-0.2), "high": number(0.5)}, opsets=(11, NEWEST)),
    unary("Clip", {"high": number(0.5)}, ",high", opsets=(11, NEWEST)),
    unary("Clip", {"low": number(0.0)}, "low,", opsets=(11, NEWEST)),
    unary("Clip", opsets=(11, NEWEST)),
    unary("Clip", {"low": np.full(1, -0.2, np.float32), "high": np.full(1, 0.5, np.float32)}, opsets=(11, NEWEST)),
    Case(
        "Clip",
        [("ReduceMean", ["x"], ["high"], {"keepdims": 0}), ("Clip", ["x", "", "high"], ["y"], {})],
        opsets=(11, NEWEST),
    ),
]

ARITHMETIC = [
    *(unary(name, {"c": floats(1, 4, 1, 1)}, low=0.2) for name in ("Add", "Sub", "Mul", "Div", "Pow")),
    *(Case(name, [(name, ["c", "x"], ["y"], {})], {"c": floats(1, 6)}, low=0.2) for name in ("Sub", "Div", "Pow")),
    *(unary(name, {"c": number(0.3), "d": floats(2, 4, 1, 6)}, opsets=(8, NEWEST)) for name in ("Max", "Mean")),
    *(unary(name, {"c": number(0.3), "d": floats(2, 4, 1, 6)}, opsets=(8, NEWEST)) for name in ("Min", "Sum")),
    *(
        Case(name, [(name, ["x", "c"], ["y"], {})], {"c": floats(1, 2, 4, 6, 6)})
        for name in ("Max", "Mean", "Min", "Sum")
    ),
    unary("Mod", {"c": number(0.3)}, opsets=(10, NEWEST), fmod=1),
    unary("Pow", {"c": integers(2)}, opsets=(12, NEWEST)),
    *(compared(name) for name in ("Greater", "Less")),
    *(
        Case(
            name,  # where the quotient by zero is such
            [
                ("Round", ["x"], ["whole"], {}),
                ("Div", ["whole", "zero"], ["quotient"], {}),
                (name, ["quotient"], ["chosen"], told),
                ("Add", ["x", "x"], ["twice"], {}),
                ("Where", ["chosen", "x", "twice"], ["y"], {}),
            ],
            {"zero": number(0.0)},
            (11, NEWEST),
        )
        for name, told in (
            ("IsNaN", {}),
            ("IsInf", {}),
            ("IsInf", {"detect_negative": 0}),
            ("IsInf", {"detect_positive": 0}),
        )
    ),
    Case(
        "IsNaN",
        [
            ("IsNaN", ["c"], ["chosen"], {}),
            ("Neg", ["x"], ["minus"], {}),
            ("Where", ["chosen", "x", "minus"], ["y"], {}),
        ],
        {"c": np.array([np.nan, 1, 2, np.nan, 3, 4], np.float32)},
        (9, NEWEST),
    ),
    Case("Equal", compared("Equal").nodes, {"level": number(0.6)}, (11, NEWEST)),
    *(
        Case(name, compared(name).nodes, {"level": number(0.6)}, (12, NEWEST))
        for name in ("GreaterOrEqual", "LessOrEqual")
    ),
    Case(
        "Not",
        [
            ("Greater", ["x", "low"], ["a"], {}),
            ("Less", ["x", "high"], ["b"], {}),
            ("And", ["a", "b"], ["c"], {}),
            ("Not", ["b"], ["d"], {}),
            ("Or", ["c", "d"], ["e"], {}),
            ("Where", ["e", "x", "low"], ["y"], {}),
        ],
        {"low": number(-0.3), "high": number(0.4)},
        (9, NEWEST),
    ),
]

_FLAT: Node = ("Flatten", ["x"], ["f"], {"axis": 1})
PRODUCTS = [
    Case(
        "Gemm",
        [_FLAT, ("Gemm", ["f", "w", "b"], ["y"], {"alpha": 0.5, "beta": 2.0})],
        {"w": floats(1, 144, 3), "b": floats(2, 3)},
    ),
    Case(
        "Gemm", [_FLAT, ("Gemm", ["f", "w", "b"], ["y"], {"transB": 1})], {"w": floats(1, 3, 144), "b": floats(2, 1, 3)}
    ),
    Case("Gemm", [_FLAT, ("Gemm", ["f", "w"], ["y"], {"transA": 1})], {"w": floats(1, 2, 4)}, (11, NEWEST)),
    unary("MatMul", {"w": floats(1, 6, 3)}),
    Case("MatMul", [("MatMul", ["w", "x"], ["y"], {})], {"w": floats(1, 3, 6)}),
    Case("Einsum", [("Einsum", ["x", "x"], ["y"], {"equation": "nchw,ndhw->ncd"})], opsets=(12, NEWEST)),
]

CONVOLUTIONS = [
    unary("Conv", {"w": floats(1, 6, 2, 3, 3), "b": floats(2, 6)}, pads=[1, 1, 1, 1], strides=[2, 1], group=2),
    unary("Conv", {"w": floats(1, 4, 1, 3, 3)}, pads=[0, 0, 1, 1], strides=[2, 2], group=4),
    unary("Conv", {"w": floats(1, 5, 4, 3, 3)}, pads=[2, 2, 2, 2], dilations=[2, 2]),
    unary("Conv", {"w": floats(1, 5, 4, 3, 3)}, "w,"),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 2, 2), "b": floats(2, 3)}, strides=[2, 2]),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 3, 3)}, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 3, 3)}, opsets=(10, NEWEST), strides=[2, 2], pads=[0, 0, 1, 1]),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 3, 2)}, opsets=(10, NEWEST), strides=[2, 2], pads=[1, 0, 2, 1]),
    unary("Conv", {"w": floats(1, 3, 4, 2, 1)}, auto_pad="SAME_UPPER", strides=[3, 3]),
    Case("Conv", [("Mul", ["w0", "w0"], ["w"], {}), ("Conv", ["x", "w"], ["y"], {})], {"w0": floats(1, 3, 4, 3, 3)}),
    *(
        unary("ConvTranspose", {"w": floats(1, 4, 3, 2, 1), "b": floats(2, 3)}, strides=[3, 2], **dict[str, Any](told))
        for told in (
            {"auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER", "output_padding": [2, 0]},
            {"output_shape": [16, 11]},
            {"output_shape": [18, 12]},
        )
    ),
    *(
        case
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for case in (
            unary("Conv", {"w": floats(1, 3, 4, 3, 2)}, auto_pad=pad, strides=[2, 1]),
            unary("MaxPool", auto_pad=pad, strides=[2, 1], kernel_shape=[3, 2]),
            unary("AveragePool", auto_pad=pad, strides=[2, 1], kernel_shape=[3, 2]),
        )
    ),
]

POOLING = [
    unary("AveragePool", kernel_shape=[2, 2], opsets=(7, NEWEST), count_include_pad=1, pads=[1, 1, 1, 1]),
    unary("AveragePool", kernel_shape=[2, 2], opsets=(7, NEWEST), count_include_pad=1, pads=[0, 0, 1, 1]),
    unary("AveragePool", kernel_shape=[3, 3], strides=[1, 2], pads=[1, 1, 1, 1]),
    unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
    unary("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 2, 0, 2]),
    unary("AveragePool", kernel_shape=[4, 4], strides=[4, 4], opsets=(10, NEWEST), ceil_mode=1),
    unary("AveragePool", kernel_shape=[3, 3], strides=[4, 2], pads=[1, 1, 1, 1], opsets=(10, NEWEST), ceil_mode=1),
    # dilations that the specification would pad, and the runtime does not
    unary("MaxPool", kernel_shape=[2, 3], dilations=[3, 2], auto_pad="SAME_LOWER", opsets=(10, NEWEST)),
    unary("MaxPool", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2], opsets=(10, NEWEST)),
    unary("MaxPool", kernel_shape=[3, 2], strides=[4, 3], pads=[0, 1, 2, 0], opsets=(10, NEWEST), ceil_mode=1),
    unary("MaxPool", kernel_shape=[2, 2], storage_order=1, opsets=(8, NEWEST)),
    unary("MaxPool", kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 1, 1, 1], opsets=(10, NEWEST)),
    unary("AveragePool", kernel_shape=[2, 2], dilations=[2, 3], opsets=(19, NEWEST)),
    unary("AveragePool", kernel_shape=[3, 2], strides=[4, 3], pads=[0, 1, 2, 0], opsets=(10, NEWEST), ceil_mode=1),
    unary("AveragePool", kernel_shape=[2, 1], strides=[2, 3], auto_pad="SAME_UPPER", opsets=(19, NEWEST)),
    *(unary("LpPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1], p=p) for p in (1, 2, 3)),
    unary("LpPool", kernel_shape=[2, 2], dilations=[3, 2], ceil_mode=1, opsets=(18, NEWEST)),
    *(unary("GlobalLpPool", opsets=(7, 21), p=p) for p in (1, 3)),
    unary("GlobalAveragePool"),
    unary("GlobalMaxPool"),
    unary("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], opsets=(10, NEWEST)),
    unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
    unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    unary("MaxPool", kernel_shape=[3, 3], strides=[4, 2], pads=[1, 1, 1, 1], opsets=(10, NEWEST), ceil_mode=1),
]

NORMALIZATIONS = [
    unary("BatchNormalization", NORM, epsilon=1e-3),
    unary("GroupNormalization", {"scale": floats(1, 2), "bias": floats(2, 2)}, opsets=(18, 20), num_groups=2),
    unary("GroupNormalization", {"scale": floats(1, 4), "bias": floats(2, 4)}, opsets=(21, NEWEST), num_groups=2),
    unary("InstanceNormalization", {"scale": floats(1, 4), "bias": floats(2, 4)}),
    *(unary("LRN", size=size, alpha=0.5) for size in (1, 3, 5)),
    *(unary("LpNormalization", axis=axis, p=p) for axis, p in ((1, 2), (-1, 1))),
    unary("MeanVarianceNormalization", opsets=(9, NEWEST)),
    unary("MeanVarianceNormalization", opsets=(9, NEWEST), axes=[2, 3]),
    unary("RMSNormalization", {"scale": floats(1, 6, 6)}, opsets=(23, NEWEST), axis=2),
    Case(
        "InstanceNormalization",
        [
            ("ReduceMax", ["x"], ["p"], {"axes": [2, 3]}),
            ("InstanceNormalization", ["p", "s", "b"], ["y"], {"epsilon": 0.1}),
        ],
        {"s": floats(1, 4), "b": floats(2, 4)},
        (7, 17),
    ),
    *(
        unary("LayerNormalization", {"scale": floats(1, *s), "bias": floats(2, *b)}, opsets=(17, NEWEST), axis=axis)
        for s, b, axis in (((1, 1, 6), (6,), 2), ((1,), (1,), -1), ((4, 1, 6), (6, 6), 1))
    ),
    unary("LayerNormalization", {"scale": floats(1, 6)}, opsets=(17, NEWEST)),
    unary("LayerNormalization", {"scale": floats(1, 6, 6), "bias": floats(2, 6, 6)}, opsets=(17, NEWEST), axis=2),
    unary("Dropout"),
    unary("Dropout", {"ratio": number(0.5), "training": np.array(0, np.bool_)}, opsets=(12, NEWEST)),
]


def _with_places(operator: str, opsets: tuple[int, int], **told: int) -> Case:
    """Add the places, which have no gradient, to x."""
    nodes: list[Node] = [
        (operator, ["x"], ["places"], told),
        ("Cast", ["places"], ["numbers"], {"to": TensorProto.FLOAT}),
        ("Add", ["x", "numbers"], ["y"], {}),
    ]
    return Case(operator, nodes, {}, opsets)


PLACES = [
    *(_with_places(name, (7, NEWEST), axis=2) for name in ("ArgMax", "ArgMin")),
    *(_with_places(name, (12, NEWEST), axis=-1, select_last_index=1) for name in ("ArgMax", "ArgMin")),
]


def _over_rows(kind: str, gates: int, directions: int, initial: int, **told: object) -> Case:
    """Read the rows one after the other; two units a direction."""
    nodes: list[Node] = [
        ("Transpose", ["x"], ["t"], {"perm": [2, 0, 1, 3]}),
        ("Reshape", ["t", "shape"], ["rows"], {}),
        (kind, ["rows", "w", "r", "b", "", "h", "c"][: 5 + initial], ["every", "last"], {"hidden_size": 2, **told}),
        ("Transpose", ["every"], ["y"], {"perm": [2, 0, 1, 3]}),
    ]
    constants = {
        "shape": integers(6, 2, 24),
        "w": floats(1, directions, gates * 2, 24) - np.float32(0.6),
        "r": floats(2, directions, gates * 2, 2) - np.float32(0.6),
        "b": floats(3, directions, gates * 4),
        "h": floats(4, directions, 2, 2),
        "c": floats(5, directions, 2, 2),
    }
    return Case(kind, nodes, {name: constants[name] for name in ("shape", *nodes[2][1][1:4], *nodes[2][1][5:])})


RECURRENT = [
    _over_rows("RNN", 1, 1, 0, direction="reverse", activations=["Relu"]),
    _over_rows("RNN", 1, 2, 1, direction="bidirectional"),
    _over_rows("GRU", 3, 2, 1, direction="bidirectional"),
    _over_rows("GRU", 3, 1, 0, linear_before_reset=1),
    _over_rows("LSTM", 4, 1, 2),
    _over_rows("LSTM", 4, 2, 0, direction="bidirectional"),
]

QUANTIZATION = [
    *(
        Case(
            operator,
            [
                ("QuantizeLinear", ["x", "scale", "zero"], ["whole"], {}),
                ("DequantizeLinear", ["whole", "scale", "zero"], ["number"], {}),
                ("Add", ["x", "number"], ["y"], {}),
            ],
            {"scale": number(0.006), "zero": np.array(zero, kind)},
            (10, NEWEST),
        )
        for operator in ("QuantizeLinear", "DequantizeLinear")
        for zero, kind in ((100, np.uint8), (-3, np.int8))
    ),
    Case(
        "DequantizeLinear",  # weights that are stored as integers, a scale for each output channel
        [("DequantizeLinear", ["w", "scale"], ["weight"], {"axis": 0}), ("Conv", ["x", "weight"], ["y"], {})],
        {"w": np.arange(-50, 58, dtype=np.int8).reshape(3, 4, 3, 3), "scale": floats(1, 3)},
        (13, NEWEST),
    ),
]

_GRID = floats(1, 2, 3, 5, 2) * np.float32(2.4) - np.float32(1.4)
SAMPLING = [
    *(
        unary("GridSample", {"grid": _GRID}, opsets=(16, 19), mode=mode, padding_mode=padding, align_corners=corners)
        for mode, padding, corners in (("bilinear", "zeros", 0), ("nearest", "border", 1), ("bicubic", "reflection", 0))
    ),
    *(unary("GridSample", {"grid": _GRID}, opsets=(20, NEWEST), mode=mode) for mode in ("linear", "nearest", "cubic")),
]

REDUCED = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
REDUCTIONS = [
    *(
        unary(f"Reduce{name}", opsets=(7 if min(axes) >= 0 else 11, 17), low=0.2, axes=axes, keepdims=keep)
        for name, (axes, keep) in itertools.product(REDUCED, (([2, 3], 1), ([-1, -2], 0)))
    ),
    *(
        unary(f"Reduce{name}", {"axes": integers(*axes)}, opsets=(18, NEWEST), low=0.2, keepdims=keep)
        for name, (axes, keep) in itertools.product(REDUCED, (([2, 3], 1), ([-1, -2], 0)))
    ),
    unary("ReduceSum", opsets=(7, 12), axes=[2, 3]),
    unary("ReduceSum", {"axes": integers(-1, -2)}, opsets=(13, NEWEST), keepdims=0),
    unary("ReduceSum", {"axes": integers()}, opsets=(13, NEWEST), keepdims=0),
    unary("ReduceSum", {"axes": integers()}, opsets=(13, NEWEST), noop_with_empty_axes=1),
    *(
        unary(f"Reduce{name}", {"axes": integers()}, opsets=(18, NEWEST), low=0.2, noop_with_empty_axes=1)
        for name in REDUCED
    ),
    *(unary("ReduceMean", keepdims=keep) for keep in (0, 1)),
    unary("ReduceMean", {"axes": integers()}, opsets=(18, NEWEST), noop_with_empty_axes=1),
]

VALUE_CASES = [
    *FUNCTIONS,
    *CLIP,
    *ARITHMETIC,
    *PRODUCTS,
    *CONVOLUTIONS,
    *POOLING,
    *NORMALIZATIONS,
    *PLACES,
    *RECURRENT,
    *QUANTIZATION,
    *SAMPLING,
    *REDUCTIONS,
]
