"""Operators that compute values, as image classifiers are exported with them, in the forms that differ."""

import itertools

import numpy as np

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
    unary("PRelu", {"slope": floats(1, 4, 1, 1)}),
    unary("Selu"),
    unary("Selu", alpha=1.2, gamma=0.9),
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
    unary("Mod", {"c": number(0.3)}, opsets=(10, NEWEST), fmod=1),
    unary("Pow", {"c": integers(2)}, opsets=(12, NEWEST)),
    *(compared(name) for name in ("Greater", "Less")),
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
    unary("LRN", size=3),
    unary("LayerNormalization", {"scale": floats(1, 6)}, opsets=(17, NEWEST)),
    unary("LayerNormalization", {"scale": floats(1, 6, 6), "bias": floats(2, 6, 6)}, opsets=(17, NEWEST), axis=2),
    unary("Dropout"),
    unary("Dropout", {"ratio": number(0.5), "training": np.array(0, np.bool_)}, opsets=(12, NEWEST)),
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
    *(unary("ReduceMean", keepdims=keep) for keep in (0, 1)),
    unary("ReduceMean", {"axes": integers()}, opsets=(18, NEWEST), noop_with_empty_axes=1),
]

VALUE_CASES = FUNCTIONS + CLIP + ARITHMETIC + PRODUCTS + CONVOLUTIONS + POOLING + NORMALIZATIONS + REDUCTIONS
