"""Operators that arrange, choose and repeat values, as image classifiers are exported with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from tests.backends.onnx_cases import NEWEST, Case, Node, floats, integers, number, unary

__all__ = ["SHAPE_CASES"]

LARGEST, LEAST = 2**63 - 1, -(2**63)


def squeezed(axes: list[int]) -> list[Case]:
    """Sum away the axes 1 and 3, and squeeze."""
    summed: Node = ("Einsum", ["x"], ["s0"], {"equation": "nchw->nh"})
    shaped: Node = ("Reshape", ["s0", "kept"], ["s"], {})
    kept = integers(2, 1, 6, 1)
    return [
        Case("Squeeze", [summed, shaped, ("Squeeze", ["s"], ["y"], {"axes": axes})], {"kept": kept}, (12, 12)),
        Case(
            "Squeeze",
            [summed, shaped, ("Squeeze", ["s", "a"], ["y"], {})],
            {"kept": kept, "a": integers(*axes)},
            (13, NEWEST),
        ),
    ]


SQUEEZE = [
    *squeezed([1, 3]),
    *squeezed([-1, -3]),
    *squeezed([1, -1]),
    Case(
        "Squeeze",
        [("Reshape", ["x", "s"], ["r"], {}), ("Squeeze", ["r"], ["y"], {})],
        {"s": integers(2, 1, 144)},
    ),
    Case(
        "Squeeze",
        [("Reshape", ["x", "s"], ["r"], {}), ("Squeeze", ["r"], ["y"], {"axes": [1]})],
        {"s": integers(2, 1, 144)},
        (7, 12),
    ),
    *(unary("Unsqueeze", opsets=(7, 12), axes=axes) for axes in ([1], [1, 3])),
    *(unary("Unsqueeze", {"axes": integers(*axes)}, opsets=(13, NEWEST)) for axes in ([1], [-1, -2], [-3, 1])),
]

SHAPES = [
    *(unary("Flatten", opsets=(1, NEWEST), axis=axis) for axis in (0, 1, 3)),
    unary("Flatten", opsets=(11, NEWEST), axis=-1),
    unary("Reshape", {"shape": integers(0, -1, 12)}),
    unary("Reshape", {"shape": integers(-1, 8)}, opsets=(14, NEWEST), allowzero=1),
    Case(
        "Reshape",  # as exporters write a flatten of a dynamic batch
        [
            ("Shape", ["x"], ["s"], {}),
            ("Gather", ["s", "first"], ["n"], {"axis": 0}),
            ("Unsqueeze", ["n", "first1"], ["n1"], {}),
            ("Concat", ["n1", "rest"], ["t"], {"axis": 0}),
            ("Cast", ["t"], ["t32"], {"to": TensorProto.INT32}),
            ("Cast", ["t32"], ["t64"], {"to": TensorProto.INT64}),
            ("Reshape", ["x", "t64"], ["y"], {}),
        ],
        {"first": np.array(0, np.int64), "first1": integers(0), "rest": integers(-1)},
        (13, NEWEST),
    ),
    unary("Transpose", perm=[0, 3, 1, 2]),
    unary("Transpose"),
    Case("Concat", [("Concat", ["x", "x"], ["y"], {"axis": 1})]),
    Case("Concat", [("Concat", ["x", "x"], ["y"], {"axis": -1})], opsets=(11, NEWEST)),
    Case(
        "Split",
        [("Split", ["x"], ["a", "b"], {"axis": 1, "split": [1, 3]}), ("Mul", ["a", "b"], ["y"], {})],
        opsets=(7, 12),
    ),
    Case("Split", [("Split", ["x"], ["a", "b"], {"axis": 1}), ("Sub", ["a", "b"], ["y"], {})], opsets=(7, 17)),
    Case(
        "Split",
        [("Split", ["x", "sizes"], ["a", "b"], {"axis": -1}), ("Concat", ["b", "a"], ["y"], {"axis": 3})],
        {"sizes": integers(2, 4)},
        (13, NEWEST),
    ),
    Case(
        "Split",  # eight channels into 3, 3 and 2
        [
            ("Concat", ["x", "x"], ["xx"], {"axis": 1}),
            ("Split", ["xx"], ["a", "b", "c"], {"axis": 1, "num_outputs": 3}),
            ("Concat", ["c", "a"], ["y"], {"axis": 1}),
        ],
        opsets=(18, NEWEST),
    ),
    Case(
        "Split",
        [("Split", ["x"], ["a"], {"axis": 1, "num_outputs": 1}), ("Neg", ["a"], ["y"], {})],
        opsets=(18, NEWEST),
    ),
    unary("DepthToSpace", blocksize=2),
    unary("DepthToSpace", opsets=(11, NEWEST), blocksize=2, mode="CRD"),
    unary("SpaceToDepth", blocksize=2),
    unary("Trilu", opsets=(14, NEWEST), upper=0),
    unary("Trilu", {"k": np.array(1, np.int64)}, opsets=(14, NEWEST), upper=1),
    unary("Trilu", {"k": integers(-1)}, opsets=(14, NEWEST), upper=1),
    unary("Tile", {"repeats": integers(1, 2, 1, 3)}),
    unary("Expand", {"shape": integers(3, 1, 1, 6, 1)}, opsets=(8, NEWEST)),
]

PADDING = [
    unary("Pad", opsets=(7, 10), pads=[0, 0, 1, 2, 0, 0, 0, 3], value=0.5),
    unary("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3)}, opsets=(11, NEWEST)),
    unary("Pad", {"pads": integers(0, 1, -1, 2, 0, 0, 0, 3), "value": number(0.5)}, opsets=(11, NEWEST)),
    unary("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3)}, opsets=(11, NEWEST), mode="edge"),
    unary("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3)}, opsets=(11, NEWEST), mode="reflect"),
    *(
        unary("Pad", {"pads": integers(0, 1, -1, 2, 0, 2, 3, 0)}, opsets=(since, NEWEST), mode=mode)
        for mode, since in (("edge", 11), ("reflect", 11), ("wrap", 19))
    ),
    unary(
        "Pad",
        {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3), "value": np.full(1, 0.5, np.float32)},
        opsets=(11, NEWEST),
    ),
    unary(
        "Pad",
        {"pads": integers(0, 1, 2, 1), "axes": integers(-1, 2)},
        "pads,,axes",
        opsets=(18, NEWEST),
        mode="reflect",
    ),
    Case(
        "Pad",  # the amounts are computed
        [
            ("Shape", ["x"], ["s"], {}),
            ("Sub", ["s", "s"], ["none"], {}),
            ("Concat", ["none", "ends"], ["pads"], {"axis": 0}),
            ("Pad", ["x", "pads"], ["y"], {}),
        ],
        {"ends": integers(0, 0, 2, 1)},
        (11, NEWEST),
    ),
]


def sliced(starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None) -> Case:
    told = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
    return unary("Slice", {key: integers(*value) for key, value in told.items() if value}, opsets=(10, NEWEST))


INDEXING = [
    unary("Slice", opsets=(7, 9), starts=[1, 0], ends=[3, LARGEST], axes=[1, 3]),
    sliced([0, 1], [2, 3]),
    sliced([1], [LARGEST], [-1]),
    sliced([1, -5], [-1, 5], [2, 3], [1, 2]),
    sliced([-1], [LEAST], [3], [-1]),
    sliced([4], [0], [-2], [-2]),
    sliced([-1, LARGEST], [LEAST, 0], [1, 3], [-2, -1]),
    sliced([5, 2], [-20, 1], [2, 3], [-3, -1]),
    sliced([-20, 3], [20, -1], [1, 2], [3, 2]),
    unary(
        "Slice",
        {"s": np.array([5, 1], np.int32), "e": np.array([-7, 9], np.int32), "a": np.array([3, 2], np.int32)}
        | {"k": np.array([-2, 2], np.int32)},
        opsets=(10, NEWEST),
    ),
    unary("Gather", {"i": integers(0, 2, 1, 1).reshape(2, 2)}, axis=1),
    unary("Gather", {"i": np.array(-1, np.int64)}, opsets=(11, NEWEST), axis=2),
    unary("GatherElements", {"i": integers(0, 1, 2, 3, 4, -1).reshape(1, 1, 1, 6)}, opsets=(11, NEWEST), axis=3),
    unary("GatherND", {"i": integers(0, 1, 1, -1).reshape(2, 2)}, opsets=(11, NEWEST)),
    unary("GatherND", {"i": integers(1, 2).reshape(2, 1)}, opsets=(12, NEWEST), batch_dims=1),
    unary("GatherND", {"i": integers(*range(8)).reshape(2, 4, 1) % 6}, opsets=(12, NEWEST), batch_dims=2),
    unary("ScatterND", {"i": integers(0, 1, 1, 2).reshape(2, 2), "u": floats(1, 2, 6, 6)}, opsets=(11, NEWEST)),
    unary(
        "ScatterND",
        {"i": integers(1, 1).reshape(2, 1), "u": floats(1, 2, 4, 6, 6)},
        opsets=(16, NEWEST),
        reduction="add",
    ),
    unary("CumSum", {"axis": np.array(1, np.int64)}, opsets=(11, NEWEST)),
    unary("CumSum", {"axis": integers(2)}, opsets=(11, NEWEST)),
    unary("Scatter", {"i": integers(3, 1).reshape(1, 1, 1, 2), "u": floats(1, 1, 1, 1, 2)}, opsets=(9, 10), axis=3),
    unary(
        "ScatterElements",
        {"i": integers(-1, 1).reshape(1, 1, 1, 2), "u": floats(1, 1, 1, 1, 2)},
        opsets=(11, NEWEST),
        axis=3,
    ),
    unary(
        "ScatterElements",
        {"i": integers(1, 1).reshape(1, 1, 1, 2), "u": floats(1, 1, 1, 1, 2)},
        opsets=(16, NEWEST),
        axis=3,
        reduction="add",
    ),
    *(
        Case(
            "NonZero",
            [
                ("NonZero", ["mask"], ["places"], {}),
                ("Gather", ["x", "places"], ["y"], {"axis": 3}),
            ],
            {"mask": mask},
            (9, NEWEST),
        )
        for mask in (np.eye(6, dtype=np.float32), np.tri(6, 6, -4, np.float32) + np.eye(6, 6, 4, np.float32) * 2)
    ),
    Case(
        "OneHot",
        [
            ("ArgMax", ["x"], ["places"], {"axis": 1, "keepdims": 0}),
            ("OneHot", ["places", "depth", "values"], ["hot"], {"axis": 1}),
            ("Mul", ["x", "hot"], ["y"], {}),
        ],
        {"depth": np.array(4, np.int64), "values": np.array([0.2, 0.9], np.float32)},
        (9, NEWEST),
    ),
    Case(
        "OneHot",
        [("OneHot", ["places", "depth", "values"], ["hot"], {}), ("MatMul", ["x", "hot"], ["y"], {})],
        {"places": integers(0, -1, 2, 1, 7, 2), "depth": integers(3), "values": np.array([0.2, 0.9], np.float32)},
        (11, NEWEST),
    ),
    *(
        Case("TopK", [("TopK", ["x"], ["t", "i"], {"k": 3, "axis": axis}), ("Neg", ["t"], ["y"], {})], opsets=(7, 9))
        for axis in (1, 3)
    ),
    Case(
        "TopK",
        [("TopK", ["x", "k"], ["t", "i"], {"axis": 2}), ("Neg", ["t"], ["y"], {})],
        {"k": integers(3)},
        (10, NEWEST),
    ),
    Case(
        "TopK",  # the places of equal values
        [
            ("Floor", ["x"], ["f"], {}),
            ("TopK", ["f", "k"], ["v", "i"], {"axis": -1, "largest": 0}),
            ("GatherElements", ["x", "i"], ["y"], {"axis": 3}),
        ],
        {"k": integers(3)},
        (11, NEWEST),
    ),
    unary("CumSum", {"axis": np.array(-1, np.int64)}, opsets=(11, NEWEST), reverse=1, exclusive=1),
]


def filled(operator: str, nodes: list[Node], constants: dict[str, NDArray[Any]]) -> Case:
    return Case(operator, [*nodes, ("Mul", ["x", "c"], ["y"], {})], constants, (11, NEWEST))


_ONE_AND_A_HALF = numpy_helper.from_array(np.array([1.5], np.float32))
CONSTANTS = [
    Case("Constant", [("Constant", [], ["c"], {"value": _ONE_AND_A_HALF}), ("Mul", ["x", "c"], ["y"], {})]),
    Case(
        "Size",
        [("Size", ["x"], ["s"], {}), ("Cast", ["s"], ["f"], {"to": TensorProto.FLOAT}), ("Mul", ["x", "f"], ["y"], {})],
    ),
    Case(
        "EyeLike",
        [("EyeLike", ["s"], ["e"], {"k": 1}), ("MatMul", ["x", "e"], ["y"], {})],
        {"s": floats(1, 6, 6)},
        (9, NEWEST),
    ),
    Case("CastLike", [("CastLike", ["x", "l"], ["y"], {})], {"l": number(1)}, (15, NEWEST)),
    filled(
        "Range",
        [("Range", ["a", "b", "d"], ["i"], {}), ("Cast", ["i"], ["c"], {"to": TensorProto.FLOAT})],
        {"a": np.array(7, np.int32), "b": np.array(-4, np.int32), "d": np.array(-2, np.int32)},
    ),
    Case(
        "Constant", [("Constant", [], ["c"], {"value_float": 1.5}), ("Mul", ["x", "c"], ["y"], {})], opsets=(12, NEWEST)
    ),
    Case(
        "Constant",
        [("Constant", [], ["c"], {"value_floats": [1.5] * 6}), ("Mul", ["x", "c"], ["y"], {})],
        opsets=(12, NEWEST),
    ),
    Case(
        "Constant",
        [("Constant", [], ["s"], {"value_ints": [0, -1]}), ("Reshape", ["x", "s"], ["y"], {})],
        opsets=(12, NEWEST),
    ),
    filled("Constant", [("Constant", [], ["c"], {"value": _ONE_AND_A_HALF})], {}),
    filled(
        "ConstantOfShape", [("ConstantOfShape", ["size"], ["c"], {"value": _ONE_AND_A_HALF})], {"size": integers(6)}
    ),
    filled("Shape", [("Shape", ["x"], ["s"], {}), ("ConstantOfShape", ["s"], ["c"], {"value": _ONE_AND_A_HALF})], {}),
    Case(
        "Shape",
        [
            ("Shape", ["x"], ["s"], {"start": -2}),
            ("ConstantOfShape", ["s"], ["c"], {"value": _ONE_AND_A_HALF}),
            ("Mul", ["x", "c"], ["y"], {}),
        ],
        opsets=(15, NEWEST),
    ),
    filled("Range", [("Range", ["a", "b", "d"], ["c"], {})], {"a": number(0), "b": number(6), "d": number(1)}),
    Case(
        "Cast",
        [
            ("Cast", ["x"], ["i"], {"to": TensorProto.INT32}),
            ("Cast", ["i"], ["f"], {"to": TensorProto.FLOAT}),
            ("Add", ["x", "f"], ["y"], {}),
        ],
    ),
]


def resized(mode: str, centres: str, rounding: str = "round_prefer_floor", **numbers: NDArray[Any]) -> Case:
    inputs = ",scales" if "scales" in numbers else ",,sizes"
    return unary(
        "Resize",
        numbers,
        inputs,
        opsets=(13, NEWEST),
        mode=mode,
        coordinate_transformation_mode=centres,
        nearest_mode=rounding,
    )


DOUBLE = np.array([1, 1, 2, 2], np.float32)
UNEVEN = np.array([1, 1, 1.7, 0.6], np.float32)
RESIZING = [
    *(unary("Upsample", opsets=(7, 8), mode=mode, scales=[1.0, 1.0, 2.0, 1.4]) for mode in ("nearest", "linear")),
    *(
        unary("Upsample", {"scales": scales}, opsets=(9, 9), mode="linear")
        for scales in (DOUBLE, np.array([1, 1, 1.5, 1], np.float32))
    ),
    *(unary("Resize", {"scales": UNEVEN}, opsets=(10, 10), mode=mode) for mode in ("nearest", "linear")),
    *(
        resized(mode, centres, "ceil" if centres == "asymmetric" else "round_prefer_ceil", scales=UNEVEN)
        for mode in ("nearest", "linear", "cubic")
        for centres in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    ),
    *(
        unary("Resize", {"scales": UNEVEN}, ",scales", opsets=(18, NEWEST), mode=mode, antialias=1, exclude_outside=out)
        for mode in ("linear", "cubic")
        for out in (0, 1)
    ),
    unary(
        "Resize",
        {"scales": UNEVEN},
        ",scales",
        opsets=(13, NEWEST),
        mode="cubic",
        cubic_coeff_a=-0.5,
        exclude_outside=1,
    ),
    *(
        unary(
            "Resize",
            {"roi": np.array([0, 0, -0.1, 0.2, 1, 1, 1.1, 0.9], np.float32), "sizes": integers(2, 4, 5, 9)},
            "roi,,sizes",
            opsets=(13, NEWEST),
            mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize",
            extrapolation_value=0.5,
        )
        for mode in ("nearest", "linear", "cubic")
    ),
    *(
        unary(
            "Resize",
            {"sizes": integers(5, 9)},
            ",,sizes",
            opsets=(18, NEWEST),
            axes=[3, 2],
            mode="linear",
            keep_aspect_ratio_policy=policy,
        )
        for policy in ("not_larger", "not_smaller")
    ),
    unary(
        "Resize",
        {"scales": UNEVEN},
        ",scales",
        opsets=(19, NEWEST),
        mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
    unary("Resize", {"scales": DOUBLE}, opsets=(10, 10)),
    unary(
        "Resize",
        {"roi": np.zeros(0, np.float32), "scales": DOUBLE},
        opsets=(11, NEWEST),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    resized("nearest", "half_pixel", scales=DOUBLE),
    resized("nearest", "half_pixel", "round_prefer_ceil", sizes=integers(2, 4, 12, 18)),
    resized("linear", "half_pixel", sizes=integers(2, 4, 9, 4)),
    resized("linear", "align_corners", sizes=integers(2, 4, 9, 4)),
    resized("cubic", "pytorch_half_pixel", scales=DOUBLE),
    resized("cubic", "align_corners", sizes=integers(2, 4, 9, 4)),
    Case(
        "Resize",  # to the size of another tensor
        [
            ("Shape", ["x2"], ["s"], {}),
            ("Resize", ["x", "", "", "s"], ["r"], {"mode": "linear"}),
            ("Mul", ["r", "x2"], ["y"], {}),
        ],
        {"x2": floats(1, 2, 4, 12, 9)},
        (13, NEWEST),
    ),
]

SHAPE_CASES = SQUEEZE + SHAPES + PADDING + INDEXING + CONSTANTS + RESIZING
