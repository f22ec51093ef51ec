"""Random ONNX graphs of one to four operators, as `operator_sweep.py` tries them.

An operator is written by one short function that draws its attributes, shapes and form from the sketch's random
numbers; `FAMILIES` lists them. Most graphs are valid. Those that are not, ONNX Runtime refuses, and they are counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, defs, helper, numpy_helper

__all__ = ["FAMILIES", "FORMS", "OPSETS", "SHAPES", "Family", "Sketch", "Unfit", "finished"]

OPSETS = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25)
"""The opsets that are drawn: those that ONNX Runtime 1.31 takes without reserve."""

FORMS = ("plain", "plain", "constant nodes", "copied constants", "open sides", "fixed batch", "weights as inputs")
"""How a graph is written around its operators."""

LARGEST = 2**63 - 1


class Unfit(Exception):  # noqa: N818 - it is no error: another operator is drawn
    """The operator does not exist at this opset, or takes no such input."""


@dataclass
class Sketch:
    """A graph that grows; ``value`` is the name of its last tensor, ``shape`` that tensor's shape.

    Attributes:
        rng: draws everything.
        opset: of the standard operators.
        images: the shape of x, which is two images.
        shape: of the last tensor.
    """

    rng: np.random.Generator
    opset: int
    images: tuple[int, ...]
    shape: tuple[int, ...]
    value: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def pick(self, *choices: Any) -> Any:  # noqa: ANN401 - any of what it is given
        """Return one of ``choices``."""
        return choices[self.rng.integers(len(choices))]

    def chance(self, share: float = 0.5) -> bool:
        """Return true in a ``share`` of cases."""
        return bool(self.rng.random() < share)

    def number(self, low: float, high: float) -> float:
        """Return a float32 number."""
        return float(np.float32(self.rng.uniform(low, high)))

    def whole(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def constant(self, value: object, dtype: str = "float32") -> str:
        """Add a constant, and return its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def floats(self, *shape: int) -> str:
        """Add random numbers between 0.2 and 1, of either sign, and return their name."""
        return self.constant(self.rng.uniform(0.2, 1.0, shape) * self.rng.choice([-1, 1], shape))

    def positive(self, *shape: int) -> str:
        """Add random numbers between 0.2 and 1, and return their name."""
        return self.constant(self.rng.uniform(0.2, 1.0, shape))

    def one(self, value: float, dtype: str = "float32") -> str:
        """Add a constant that must be one number: written as such, or as a list of one."""
        return self.constant([value] if self.chance(0.3) else value, dtype)

    def node(self, operator: str, inputs: Sequence[str], outputs: int = 1, **told: Any) -> list[str]:  # noqa: ANN401
        """Add a node, and return its outputs' names."""
        if not defs.has(operator, self.opset, ""):
            raise Unfit(operator)
        names = [f"v{len(self.nodes)}_{place}" for place in range(outputs)]
        given = {name: value for name, value in told.items() if value is not None}
        self.nodes.append(helper.make_node(operator, list(inputs), names, **given))
        return names

    def then(self, operator: str, *further: str, **told: Any) -> None:  # noqa: ANN401
        """Add a node that takes the last value, and whose only output becomes the last value."""
        (self.value,) = self.node(operator, [self.value, *further], **told)

    def needs(self, condition: bool) -> None:  # noqa: FBT001 - the condition is the sentence
        """Raise `Unfit` unless ``condition``."""
        if not condition:
            raise Unfit


Family: TypeAlias = Callable[[Sketch], None]


def finished(sketch: Sketch, form: str = "plain") -> onnx.ModelProto:
    """Return the sketch as a model whose input is x and whose output is the sketch's last value."""
    nodes, constants = list(sketch.nodes), dict(sketch.constants)
    answer = sketch.value
    if any(answer in node.output and len(node.output) > 1 for node in nodes):
        answer = "y"
        nodes.append(helper.make_node("Identity", [sketch.value], [answer]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, _input_shape(form, sketch.images))]
    if form == "constant nodes":
        made = [(name, numpy_helper.from_array(value, name)) for name, value in constants.items()]
        nodes = [helper.make_node("Constant", [], [name], value=tensor) for name, tensor in made] + nodes
        constants = {}
    elif form == "copied constants":
        copies = [helper.make_node("Identity", [f"{name}_of"], [name]) for name in constants]
        nodes, constants = copies + nodes, {f"{name}_of": value for name, value in constants.items()}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    if form == "weights as inputs":
        inputs += [helper.make_tensor_value_info(each.name, each.data_type, list(each.dims)) for each in initializers]
    output = helper.make_tensor_value_info(answer, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "sweep", inputs, [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", sketch.opset)], ir_version=10)


SHAPES = ((2, 4, 6, 6), (2, 3, 7, 5), (2, 6, 5, 8), (2, 4, 1, 1), (2, 2, 9, 3))
"""The shapes of x."""


def _input_shape(form: str, shape: Sequence[int]) -> list[int | str]:
    if form == "fixed batch":
        return list(shape)
    return ["n", shape[1], "h", "w"] if form == "open sides" else ["n", *shape[1:]]


_SMOOTH = ("Atan", "Cos", "Exp", "Identity", "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh", "Neg", "Erf")
_KINKED = ("Abs", "Relu", "HardSwish", "Mish", "Sinh", "Cosh", "Asinh")
_JUMPING = ("Ceil", "Floor", "Round", "Sign")
_NARROW = {"Acos": 0.8, "Asin": 0.8, "Atanh": 0.8, "Tan": 1.0}


def functions(s: Sketch) -> None:
    """Write a function without attributes."""
    name = s.pick(*_SMOOTH, *_KINKED, *_NARROW)
    if name in _NARROW:  # which are functions of numbers from -1 to 1
        s.then("Tanh")
        s.then("Mul", s.constant(_NARROW[name]))
    s.then(name)


def positive_functions(s: Sketch) -> None:
    """Write a function of positive numbers."""
    s.then("Abs")
    s.then("Add", s.constant(0.3))
    s.then(s.pick("Log", "Sqrt", "Reciprocal"))


def jumping_functions(s: Sketch) -> None:
    """Write a function with jumps."""
    s.then("Mul", s.constant(2.7))
    before = s.value
    s.then(s.pick(*_JUMPING))
    s.then("Add", before)


def activations(s: Sketch) -> None:
    """Write an activation with attributes."""
    name = s.pick("Elu", "Celu", "LeakyRelu", "HardSigmoid", "Selu", "ThresholdedRelu", "Shrink", "Gelu", "Swish")
    told = {
        "Elu": {"alpha": s.number(0.3, 2)},
        "Celu": {"alpha": s.number(0.3, 2)},
        "LeakyRelu": {"alpha": s.number(-0.5, 0.5)},
        "HardSigmoid": {"alpha": s.number(0.1, 0.6), "beta": s.number(0.2, 0.8)},
        "Selu": {"alpha": s.number(0.5, 2), "gamma": s.number(0.5, 2)},
        "ThresholdedRelu": {"alpha": s.number(0, 0.7)},
        "Shrink": {"lambd": s.number(0.1, 0.6), "bias": s.number(0, 0.5)},
        "Gelu": {"approximate": s.pick("none", "tanh")},
        "Swish": {"alpha": s.number(0.3, 2)},
    }[name]
    s.then(name, **(told if s.chance(0.7) else {}))


def prelu(s: Sketch) -> None:
    """Write a PRelu whose slope has any shape that ONNX can broadcast."""
    rank = s.whole(0, len(s.shape))
    shape = [size if s.chance(0.6) else 1 for size in s.shape[len(s.shape) - rank :]]
    if len(shape) == len(s.shape):
        shape[0] = 1
    s.then("PRelu", s.floats(*shape))


def clip(s: Sketch) -> None:
    """Write a Clip with one bound, both, none, or one that is computed."""
    low, high = s.number(-0.9, 0.1), s.number(0.2, 0.9)
    if s.opset < 11:
        s.then("Clip", **({"min": low} if s.chance(0.7) else {}), **({"max": high} if s.chance(0.7) else {}))
        return
    bounds = [s.one(low) if s.chance(0.7) else "", s.one(high) if s.chance(0.7) else ""]
    if s.chance(0.1):
        bounds[1] = s.node("ReduceMax", [s.value], keepdims=0)[0]
    s.then("Clip", *bounds)


def arithmetic(s: Sketch) -> None:
    """Write an operator of two tensors, in either order."""
    name = s.pick("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum")
    rank = s.whole(0, len(s.shape))
    shape = [size if s.chance(0.6) else 1 for size in s.shape[len(s.shape) - rank :]]
    if len(shape) == len(s.shape):
        shape[0] = 1
    alike = s.opset < 8 and name in ("Max", "Min", "Mean", "Sum")  # which took no other shapes then
    other = s.node("Neg", [s.value])[0] if alike else s.floats(*shape)
    inputs = [s.value, other]
    if s.chance(0.3) and name != "Div":
        inputs.reverse()
    (s.value,) = s.node(name, inputs)


def powers(s: Sketch) -> None:
    """Write a Pow, a Mod or a product with itself."""
    kind = s.pick("square", "root", "cube", "tensor", "mod", "self")
    if kind == "self":
        s.then("Mul", s.value)
    elif kind == "mod":
        s.then("Mod", s.constant(0.37), fmod=1)
    elif kind == "square":
        s.then("Pow", s.constant(2, "int64") if s.opset >= 12 and s.chance() else s.constant(2))
    elif kind == "cube":
        s.then("Pow", s.constant([3]))
    else:
        s.then("Abs")
        s.then("Add", s.constant(0.2))
        s.then("Pow", s.constant(0.5) if kind == "root" else s.positive(s.shape[-1]))


def choices(s: Sketch) -> None:
    """Write a Where that a comparison decides."""
    level = s.constant(s.number(-0.5, 0.5))
    name = s.pick("Greater", "Less", "GreaterOrEqual", "LessOrEqual")
    chosen = s.node(name, [s.value, level])[0]
    if s.chance(0.4):
        other = s.node("Less", [s.value, s.constant(0.7)])[0]
        chosen = s.node(s.pick("And", "Or", "Xor"), [chosen, other])[0]
    chosen = s.node("Not", [chosen])[0] if s.chance(0.3) else chosen
    other = s.node("Mul", [s.value, s.constant(-0.5)])[0]
    (s.value,) = s.node("Where", [chosen, s.value, other])


def infinities(s: Sketch) -> None:
    """Write IsInf or IsNaN of a division by zero."""
    quotient = s.node("Div", [s.node("Round", [s.value])[0], s.constant(0.0)])[0]
    name = s.pick("IsInf", "IsNaN")
    told = {"detect_positive": s.whole(0, 1), "detect_negative": s.whole(0, 1)} if name == "IsInf" else {}
    found = s.node(name, [quotient], **told)[0]
    (s.value,) = s.node("Where", [found, s.value, s.node("Neg", [s.value])[0]])


def _sides(s: Sketch) -> tuple[int, ...]:
    """Return the sides of the maps, which are put in one row in some cases."""
    s.needs(len(s.shape) >= 3)
    if len(s.shape) == 4 and s.chance(0.2):
        s.then("Reshape", s.constant([*s.shape[:2], -1], "int64"))
        return (s.shape[2] * s.shape[3],)
    return s.shape[2:]


def convolution(s: Sketch) -> None:
    """Write a Conv."""
    channels, sides = s.shape[1], _sides(s)
    group = s.pick(*(g for g in (1, 2, channels) if channels % g == 0))
    kernel = [min(s.whole(1, 3), side) for side in sides]
    weight = s.floats(group * s.whole(1, 2), channels // group, *kernel)
    told = {"strides": [s.whole(1, 3) for _ in sides], "group": group, **_padding(s, kernel)}
    if s.chance(0.2):
        told["dilations"] = [s.whole(1, 2) for _ in sides]
    bias = [s.floats(s.constants[weight].shape[0])] if s.chance() else []
    if s.chance(0.15):  # weights that are computed
        weight = s.node("Mul", [weight, s.constant(0.5)])[0]
    s.then("Conv", weight, *bias, kernel_shape=kernel if s.chance() else None, **told)


def transposed(s: Sketch) -> None:
    """Write a ConvTranspose."""
    channels, sides = s.shape[1], _sides(s)
    group = s.pick(*(g for g in (1, 2, channels) if channels % g == 0))
    kernel, strides = [s.whole(1, 3) for _ in sides], [s.whole(1, 3) for _ in sides]
    weight = s.floats(channels, s.whole(1, 2), *kernel)
    told: dict[str, Any] = {"strides": strides, "group": group}
    kind = s.pick("plain", "pads", "output padding", "automatic", "output shape")
    if kind in ("pads", "output padding"):
        told["pads"] = [s.whole(0, width - 1) for width in kernel * 2]
    if kind == "output padding":
        told["output_padding"] = [s.whole(0, stride - 1) for stride in strides]
    if kind == "automatic":
        told["auto_pad"] = s.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    if kind == "output shape":
        whole = [(side - 1) * stride + width for side, stride, width in zip(sides, strides, kernel, strict=True)]
        told["output_shape"] = [max(1, size + s.whole(-1, 1)) for size in whole]
    if s.chance(0.2):
        told["dilations"] = [s.whole(1, 2) for _ in sides]
    s.then("ConvTranspose", weight, *([s.floats(s.constants[weight].shape[1] * group)] if s.chance() else []), **told)


def _padding(s: Sketch, kernel: Sequence[int]) -> dict[str, Any]:
    kind = s.pick("none", "same", "any", "automatic")
    if kind == "none":
        return {}
    if kind == "automatic":
        return {"auto_pad": s.pick("SAME_UPPER", "SAME_LOWER", "VALID")}
    half = [s.whole(0, width - 1) for width in kernel]
    return {"pads": half * 2 if kind == "same" else [*half, *(s.whole(0, width - 1) for width in kernel)]}


def pooling(s: Sketch) -> None:
    """Write a MaxPool, an AveragePool or an LpPool."""
    sides = _sides(s)
    name = s.pick("MaxPool", "AveragePool", "MaxPool", "AveragePool", "LpPool")
    kernel = [s.whole(1, 3) for _ in sides]
    told: dict[str, Any] = {"kernel_shape": kernel, **_padding(s, kernel)}
    if s.chance(0.8):
        told["strides"] = [s.whole(1, 3) for _ in sides]
    since = {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[name]
    if s.opset >= since and s.chance(0.4):
        told["dilations"] = [s.whole(1, 3) for _ in sides]
    if s.opset >= (18 if name == "LpPool" else 10) and s.chance(0.4):
        told["ceil_mode"] = 1
    if name == "AveragePool" and s.chance():
        told["count_include_pad"] = 1
    if name == "LpPool":
        told["p"] = s.pick(1, 2, 3)
    if name == "MaxPool" and s.opset >= 8 and s.chance(0.3):
        told["storage_order"] = 1
    s.then(name, **told)


def global_pooling(s: Sketch) -> None:
    """Write a pooling over everything."""
    s.needs(len(s.shape) >= 3)
    name = s.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    s.then(name, p=s.pick(1, 2, 3) if name == "GlobalLpPool" else None)


def resize(s: Sketch) -> None:
    """Write a Resize or an Upsample, in any mode."""
    s.needs(len(s.shape) == 4)
    scales = [1.0, 1.0, s.number(0.4, 2.7), s.number(0.4, 2.7)]
    scales = [float(round(scale)) or 1.0 for scale in scales] if s.chance(0.3) else scales
    if s.opset < 11:
        mode = s.pick("nearest", "linear")
        scales = [max(1.0, scale) for scale in scales] if s.opset < 10 else scales
        if s.opset >= 9:
            s.then("Upsample" if s.opset == 9 else "Resize", s.constant(scales), mode=mode)
        else:
            s.then("Upsample", scales=scales, mode=mode)
        return
    told: dict[str, Any] = {"mode": s.pick("nearest", "linear", "cubic")}
    centres = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
    told["coordinate_transformation_mode"] = s.pick(*centres, *(["half_pixel_symmetric"] if s.opset >= 19 else []))
    if told["mode"] == "nearest":
        told["nearest_mode"] = s.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if told["mode"] == "cubic" and s.chance():
        told |= {"cubic_coeff_a": s.number(-1, -0.3), "exclude_outside": s.whole(0, 1)}
    if s.opset >= 18 and told["mode"] != "nearest" and s.chance(0.3):
        told["antialias"] = 1
    axes = [2, 3] if s.opset >= 18 and s.chance(0.4) else None
    region = s.constant([]) if s.opset < 13 else ""
    kept = [] if axes else [0.0, 0.0]
    if told["coordinate_transformation_mode"] == "tf_crop_and_resize":
        ends = [s.number(0.6, 1.2), s.number(0.6, 1.2)]
        region = s.constant([*kept, s.number(-0.2, 0.3), s.number(-0.2, 0.3), *(1.0 for _ in kept), *ends])
        told["extrapolation_value"] = 0.3
    if s.chance():
        s.then("Resize", region, s.constant(scales[2:] if axes else scales), **told, axes=axes)
        return
    sizes = [s.whole(1, 14), s.whole(1, 14)]
    policy = s.pick("not_larger", "not_smaller") if axes and s.chance(0.4) else None
    nothing = s.constant([]) if s.opset < 13 else ""
    wanted = s.constant(sizes if axes else [*s.shape[:2], *sizes], "int64")
    s.then("Resize", region, nothing, wanted, **told, axes=axes, keep_aspect_ratio_policy=policy)


def normalization(s: Sketch) -> None:
    """Write a normalisation."""
    rank, channels = len(s.shape), s.shape[1]
    name = s.pick("Batch", "Batch", "Instance", "Layer", "Layer", "Group", "RMS", "LRN", "MeanVariance", "Lp")
    told: dict[str, Any] = {"epsilon": s.number(1e-5, 1e-2)} if name not in ("LRN", "MeanVariance", "Lp") else {}
    if name == "Batch":
        s.then("BatchNormalization", *(s.positive(channels) for _ in range(4)), **told)
    elif name == "Instance":
        s.needs(rank >= 3)
        s.then("InstanceNormalization", s.floats(channels), s.floats(channels), **told)
    elif name in ("Layer", "RMS"):
        axis = s.whole(1, rank - 1)
        shape = s.shape[axis:]
        scale = s.pick(shape, [1] * len(shape), shape[-1:], [1, *shape], [1])
        bias = [s.floats(*s.pick(shape, shape[-1:], [1]))] if name == "Layer" and s.chance() else []
        told["axis"] = axis if s.chance() else axis - rank
        s.then(f"{name}Normalization", s.floats(*scale), *bias, **told)
    elif name == "Group":
        groups = s.pick(*(g for g in (1, 2, channels) if channels % g == 0))
        width = groups if s.opset < 21 else channels
        s.then("GroupNormalization", s.floats(width), s.floats(width), num_groups=groups, **told)
    elif name == "LRN":
        s.needs(rank == 4)
        s.then("LRN", size=s.whole(1, 5), alpha=s.number(0.1, 2), beta=s.number(0.3, 1), bias=s.number(0.5, 2))
    elif name == "MeanVariance":
        s.then("MeanVarianceNormalization", axes=s.pick(None, [2, 3], [1, 2, 3], [1]))
    else:
        s.then("LpNormalization", axis=s.whole(-rank, rank - 1), p=s.pick(1, 2))


_REDUCED = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def reduction(s: Sketch) -> None:
    """Write a reduction."""
    name = f"Reduce{s.pick(*_REDUCED)}"
    if name == "ReduceLogSum":
        s.then("Abs")
        s.then("Add", s.constant(0.1))
    rank = len(s.shape)
    count = s.whole(0, 2)
    axes = sorted(s.rng.permutation(np.arange(1, rank))[:count].tolist())
    axes = [axis - rank for axis in axes] if s.opset >= 11 and s.chance(0.3) else axes
    keep = s.pick(None, 0, 1)
    if s.opset >= (13 if name == "ReduceSum" else 18):
        further = [s.constant(axes, "int64")] if axes or s.chance() else []
        s.then(name, *further, keepdims=keep, noop_with_empty_axes=s.pick(None, 0, 1))
    else:
        s.then(name, keepdims=keep, axes=axes or None)


def extreme_places(s: Sketch) -> None:
    """Write an ArgMax or ArgMin, with ties, as a part of the answer."""
    ties = s.node("Floor", [s.node("Mul", [s.value, s.constant(3.0)])[0]])[0] if s.chance(0.4) else s.value
    told = {"axis": s.whole(1 - len(s.shape), len(s.shape) - 1) if s.opset >= 11 else s.whole(0, len(s.shape) - 1)}
    if s.opset >= 12 and s.chance(0.4):
        told["select_last_index"] = 1
    places = s.node(s.pick("ArgMax", "ArgMin"), [ties], **told)[0]
    number = s.node("Cast", [places], to=TensorProto.FLOAT)[0]
    (s.value,) = s.node("Add", [s.value, number])


def largest(s: Sketch) -> None:
    """Write a TopK, with or without ties."""
    axis = s.whole(1, len(s.shape) - 1)
    k = s.whole(1, s.shape[axis])
    told: dict[str, Any] = {"axis": axis}
    if s.opset >= 11:
        told |= {"axis": axis - len(s.shape) if s.chance(0.3) else axis, "largest": s.whole(0, 1)}
    further = [s.constant([k], "int64")] if s.opset >= 10 else []
    values, places = s.node("TopK", [s.value, *further], 2, **told, **({} if further else {"k": k}))
    number = s.node("Cast", [places], to=TensorProto.FLOAT)[0]
    (s.value,) = s.node("Add", [values, number]) if s.chance() else [values]


def slicing(s: Sketch) -> None:
    """Write a Slice with any starts, ends and steps."""
    rank = len(s.shape)
    axes = sorted(s.rng.permutation(rank - 1)[: s.whole(1, 2)].tolist())
    axes = [axis + 1 for axis in axes]
    starts, ends, steps = [], [], []
    for axis in axes:
        size = s.shape[axis]
        step = s.pick(1, 1, 2, 3, -1, -2) if s.opset >= 10 else 1
        low, high = s.pick(0, 1, -size, -size - 3), s.pick(size, -1, LARGEST, size + 2)
        if s.opset < 10 or step > 0:
            starts.append(low)
            ends.append(high)
        else:
            starts.append(s.pick(-1, size - 1, size + 4, LARGEST))
            ends.append(s.pick(-size - 1, 0, -LARGEST - 1))
        steps.append(step)
    if s.opset < 10:
        s.then("Slice", starts=starts, ends=ends, axes=axes)
        return
    kind = s.pick("int64", "int64", "int32")
    limits = np.iinfo(kind)
    numbers = [np.clip(values, limits.min, limits.max) for values in (np.array(starts), np.array(ends))]
    named = [axis - rank for axis in axes] if s.chance(0.3) else axes
    s.then("Slice", *(s.constant(value, kind) for value in (*numbers, named, steps)))


def shapes(s: Sketch) -> None:
    """Write an operator that rearranges."""
    n, *rest = s.shape
    size = int(np.prod(rest))
    name = s.pick(
        "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Split", "Concat", "Expand", "Tile", "Depth"
    )
    if name == "Reshape":
        s.then("Reshape", s.constant(s.pick([0, -1], [-1, size], [n, *rest[::-1]], [0, 1, -1], [0, 0, -1]), "int64"))
    elif name == "Flatten":
        s.then("Flatten", axis=s.pick(None, 1, 2) if s.opset < 11 else s.pick(None, 1, -1, -2))
    elif name == "Transpose":
        s.then("Transpose", perm=[0, *(1 + s.rng.permutation(len(rest))).tolist()])
    elif name == "Squeeze":
        s.then("Reshape", s.constant([0, 1, -1, 1], "int64"))
        axes = s.pick([1], [3], [1, 3], None) if s.opset < 11 else s.pick([1], [-1], [-1, 1], None)
        if s.opset >= 13:
            s.then("Squeeze", *([] if axes is None else [s.constant(axes, "int64")]))
        else:
            s.then("Squeeze", axes=axes)
    elif name == "Unsqueeze":
        axes = s.pick([1], [1, 3]) if s.opset < 11 else s.pick([1], [-1], [-1, 1], [2, -3])
        further = [s.constant(axes, "int64")] if s.opset >= 13 else []
        s.then("Unsqueeze", *further, **({} if further else {"axes": axes}))
    elif name == "Split":
        _split(s)
    elif name == "Concat":
        other = s.node("Neg", [s.value])[0]
        axis = s.whole(1, len(rest))
        (s.value,) = s.node(
            "Concat", [s.value, other], axis=axis - s.chance() * (len(rest) + 1) if s.opset >= 11 else axis
        )
    elif name == "Expand":
        s.then("Expand", s.constant(s.pick([1], [3, *[1] * len(s.shape)], [1] * len(s.shape)), "int64"))
    elif name == "Tile":
        s.then("Tile", s.constant([1, *(s.whole(1, 2) for _ in rest)], "int64"))
    else:
        _depth(s)


def _split(s: Sketch) -> None:
    axes = [axis for axis in range(1, len(s.shape)) if s.shape[axis] > 1]
    s.needs(bool(axes))
    axis = s.pick(*axes)
    first = s.whole(1, s.shape[axis] - 1)
    sizes = [first, s.shape[axis] - first]
    further = [s.constant(sizes, "int64")] if s.opset >= 13 else []
    told = {} if further else {"split": sizes}
    s.value = s.pick(*s.node("Split", [s.value, *further], 2, axis=axis, **told))


def _depth(s: Sketch) -> None:
    s.needs(len(s.shape) == 4)
    if s.shape[1] % 4 == 0 and s.chance():
        s.then("DepthToSpace", blocksize=2, **({"mode": s.pick("DCR", "CRD")} if s.opset >= 11 else {}))
    else:
        s.needs(s.shape[2] % 2 == 0 and s.shape[3] % 2 == 0)
        s.then("SpaceToDepth", blocksize=2)


def padding(s: Sketch) -> None:
    """Write a Pad in any mode, of any axes, also by negative amounts."""
    rank = len(s.shape)
    mode = s.pick("constant", "constant", "reflect", "edge", *(["wrap"] if s.opset >= 19 else []))
    axes = sorted(s.rng.permutation(np.arange(1, rank))[: s.whole(1, 2)].tolist())
    amounts = {axis: (_amount(s, s.shape[axis], mode), _amount(s, s.shape[axis], mode)) for axis in axes}
    listed = axes if s.opset >= 18 and s.chance() else list(range(rank))
    pads = [amounts.get(axis, (0, 0))[side] for side in (0, 1) for axis in listed]
    if s.opset < 11:
        s.then("Pad", pads=pads, mode=mode, value=s.number(-1, 1))
        return
    value = s.one(s.number(-1, 1)) if mode == "constant" and s.chance() else ""
    further = [s.constant([axis - rank for axis in listed] if s.chance(0.3) else listed, "int64")]
    s.then("Pad", s.constant(pads, "int64"), *([value, *further] if listed is axes else [value]), mode=mode)


def _amount(s: Sketch, size: int, mode: str) -> int:
    return s.whole(-1 if size > 2 else 0, min(3, size - 1) if mode == "reflect" else 3)


def gathering(s: Sketch) -> None:
    """Write an operator that takes or puts values by places."""
    rank = len(s.shape)
    axis = s.whole(1, rank - 1)
    size = s.shape[axis]
    low = -size if s.opset >= 11 else 0
    name = s.pick("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot", "NonZero", "CumSum")
    kind = s.pick("int64", "int32")
    if name == "Gather":
        shape = s.pick([], [2], [2, 2])
        s.then("Gather", s.constant(s.rng.integers(low, size, shape), kind), axis=axis)
    elif name in ("GatherElements", "ScatterElements"):
        shape = [*s.shape[:axis], s.whole(1, size), *s.shape[axis + 1 :]]
        order = s.rng.permuted(np.broadcast_to(np.arange(size), [*s.shape[:axis], *s.shape[axis + 1 :], size]), axis=-1)
        places = np.moveaxis(order[..., : shape[axis]], -1, axis)
        further = [s.floats(*shape)] if name == "ScatterElements" else []
        told = {"reduction": s.pick("none", "add")} if further and s.opset >= 16 else {}
        s.then(name, s.constant(places, kind), *further, axis=axis, **told)
    elif name == "GatherND":
        s.then("GatherND", s.constant(s.rng.integers(0, 2, [3, 1]), "int64"))
    elif name == "ScatterND":
        s.then("ScatterND", s.constant([[1]], "int64"), s.floats(1, *s.shape[1:]))
    elif name == "OneHot":
        flat = s.node("ArgMax", [s.value], axis=1, keepdims=0)[0]
        hot = s.node("OneHot", [flat, s.one(s.shape[1], "int64"), s.constant([0.1, 0.9])], axis=s.pick(1, -1))[0]
        s.then("ReduceMax", **({"axes": [1]} if s.opset < 18 else {}), keepdims=1)
        s.then("Add", s.node("ReduceMean", [hot], keepdims=0)[0])
    elif name == "NonZero":
        found = s.node("NonZero", [s.constant([[1.0, 0.0], [0.0, 1.0]])])[0]
        number = s.node("Cast", [found], to=TensorProto.FLOAT)[0]
        s.then("Add", s.node("ReduceSum", [s.node("Mul", [number, s.constant([[1.0], [3.0]])])[0]], keepdims=0)[0])
    else:
        s.then("CumSum", s.one(axis - rank, "int64"), exclusive=s.pick(None, 0, 1), reverse=s.pick(None, 0, 1))


def making(s: Sketch) -> None:
    """Write an operator that makes numbers, and add them."""
    name = s.pick("Range", "ConstantOfShape", "Trilu", "EyeLike", "Size", "Shape")
    width = s.shape[-1]
    if name == "Range":
        numbers = [s.constant(0.0), s.constant(width), s.constant(1.0)]
        s.then("Add", s.node("Range", numbers)[0])
    elif name == "ConstantOfShape":
        value = numpy_helper.from_array(np.array([1.5], np.float32))
        s.then("Add", s.node("ConstantOfShape", [s.constant([width], "int64")], value=value)[0])
    elif name == "Trilu":
        s.then("Trilu", *([s.one(s.whole(-2, 2), "int64")] if s.chance() else []), upper=s.pick(None, 0, 1))
    elif name == "EyeLike":
        s.then("MatMul", s.node("EyeLike", [s.floats(width, width)], k=s.whole(-1, 1))[0])
    elif name == "Size":
        s.then("Mul", s.node("Cast", [s.node("Size", [s.constant([1.0, 2.0])])[0]], to=TensorProto.FLOAT)[0])
    else:
        told = {"start": s.whole(-3, 1), "end": s.pick(None, -1, 3)} if s.opset >= 15 else {}
        sides = s.node("Cast", [s.node("Shape", [s.value], **told)[0]], to=TensorProto.FLOAT)[0]
        s.then("Mul", s.node("ReduceMax", [sides], keepdims=0)[0])


def products(s: Sketch) -> None:
    """Write a MatMul, a Gemm or an Einsum."""
    name = s.pick("MatMul", "Gemm", "Einsum", "Attention")
    width = s.shape[-1]
    if name == "MatMul":
        s.then("MatMul", s.floats(width, s.whole(1, 4)))
    elif name == "Gemm":
        s.then("Flatten")
        features, out = int(np.prod(s.shape[1:])), s.whole(2, 4)
        turned = s.chance()
        bias = s.pick([], [out], [1, out], [1])
        s.then(
            "Gemm",
            s.floats(*((out, features) if turned else (features, out))),
            *([s.floats(*bias)] if bias or s.opset < 11 else []),
            transB=int(turned),
            alpha=s.number(0.3, 2),
            beta=s.number(0.3, 2),
        )
    elif name == "Einsum":
        s.needs(len(s.shape) == 4)
        equation = s.pick("nchw->nhc", "nchw,nchw->nc", "...w->...", "nchw,ndhw->ncd", "nchw")
        (s.value,) = s.node("Einsum", [s.value] * (1 + equation.count(",")), equation=equation)
    else:
        s.needs(len(s.shape) >= 3)
        weights = s.node("Softmax", [s.node("MatMul", [s.value, s.floats(width, width)])[0]])[0]
        (s.value,) = s.node("Mul", [weights, s.value])


def softmax(s: Sketch) -> None:
    """Write a Softmax or a LogSoftmax."""
    rank = len(s.shape)
    axis = s.whole(0 if s.opset < 11 else -rank, rank - 1)
    s.then(s.pick("Softmax", "LogSoftmax"), axis=axis if s.chance(0.8) else None)


def recurrent(s: Sketch) -> None:
    """Write an RNN, a GRU or an LSTM over the rows."""
    s.needs(len(s.shape) == 4)
    n, c, h, w = s.shape
    kind, hidden = s.pick("RNN", "GRU", "LSTM"), s.whole(2, 3)
    direction = s.pick("forward", "reverse", "bidirectional")
    both, gates = 2 if direction == "bidirectional" else 1, {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    s.then("Transpose", perm=[2, 0, 1, 3])
    s.then("Reshape", s.constant([h, n, c * w], "int64"))
    weights = [s.floats(both, gates * hidden, c * w), s.floats(both, gates * hidden, hidden)]
    bias = s.floats(both, 2 * gates * hidden) if s.chance() else ""
    initial = [s.floats(both, n, hidden) for _ in range(2 if kind == "LSTM" else 1)] if s.chance(0.4) else []
    told: dict[str, Any] = {"linear_before_reset": s.whole(0, 1)} if kind == "GRU" else {}
    if kind == "RNN" and s.chance():
        told["activations"] = ["Relu"] * both
    inputs = [s.value, *weights, bias, "", *initial]
    every, last = s.node(kind, inputs, 2, hidden_size=hidden, direction=direction, **told)
    chosen, perm = (every, [2, 0, 1, 3]) if s.chance() else (last, [1, 0, 2])
    (s.value,) = s.node("Transpose", [chosen], perm=perm)  # the batch comes first again


def quantization(s: Sketch) -> None:
    """Write a pair of QuantizeLinear and DequantizeLinear, or dequantised weights."""
    if s.chance():
        kind = s.pick("uint8", "int8")
        scale, zero = s.constant(s.number(0.01, 0.05)), s.constant(s.pick(0, 5, 100), kind)
        whole = s.node("QuantizeLinear", [s.value, scale, zero])[0]
        number = s.node("DequantizeLinear", [whole, scale, zero])[0]
        (s.value,) = s.node("Add", [number, s.value])
        return
    channels = s.shape[1]
    weight = s.constant(s.rng.integers(-100, 100, [3, channels, *([1] * (len(s.shape) - 2))]), "int8")
    per_part = s.opset >= 13 and s.chance()
    scale = s.positive(3) if per_part else s.constant(0.02)
    told = {"axis": 0} if per_part else {}
    s.then("Conv", s.node("DequantizeLinear", [weight, scale], **told)[0])


def sampling(s: Sketch) -> None:
    """Write a GridSample."""
    s.needs(len(s.shape) == 4)
    modes = ("bilinear", "nearest", "bicubic") if s.opset < 20 else ("linear", "nearest", "cubic")
    grid = s.constant(s.rng.uniform(-1.2, 1.2, [s.shape[0], 4, 3, 2]))
    padded = s.pick("zeros", "border", "reflection")
    s.then("GridSample", grid, mode=s.pick(*modes), padding_mode=padded, align_corners=s.whole(0, 1))


def attention(s: Sketch) -> None:
    """Write an operator that the specification defines by others."""
    s.needs(len(s.shape) == 4)
    n, c, h, w = s.shape
    name = s.pick("Attention", "RotaryEmbedding", "CenterCropPad", "AffineGrid")
    if name == "Attention":
        s.needs(c % 2 == 0)
        s.then("Transpose", perm=[0, 2, 3, 1])
        s.then("Reshape", s.constant([n, h * w, c], "int64"))
        heads = s.pick(1, 2)
        told = {"is_causal": s.pick(None, 1), "scale": s.pick(None, 0.4), "softcap": s.pick(None, 2.0)}
        keys = s.node("MatMul", [s.value, s.floats(c, c)])[0]
        values = s.node("MatMul", [s.value, s.floats(c, c)])[0]
        mask = [s.floats(h * w, h * w)] if s.chance(0.3) else []
        s.then("Attention", keys, values, *mask, q_num_heads=heads, kv_num_heads=heads, **told)
    elif name == "RotaryEmbedding":
        s.needs(w % 2 == 0)
        further = [s.floats(n, h, w // 2), s.floats(n, h, w // 2)]
        s.then("RotaryEmbedding", *further, interleaved=s.whole(0, 1))
    elif name == "CenterCropPad":
        s.then("CenterCropPad", s.constant([s.whole(1, 8), s.whole(1, 8)], "int64"), axes=[2, 3])
    else:
        grid = s.node("AffineGrid", [s.floats(n, 2, 3), s.constant([n, c, 3, 4], "int64")])[0]
        s.then("GridSample", grid)


def copies(s: Sketch) -> None:
    """Write an operator that changes nothing at inference."""
    name = s.pick("Dropout", "Dropout", "Identity", "CastLike", "Cast")
    if name == "Dropout" and s.opset >= 12:
        further = [s.constant(0.4)] + ([s.constant(0, "bool")] if s.chance() else [])
        s.then("Dropout", *further, seed=s.pick(None, 7))
    elif name == "Cast":
        (s.value,) = s.node("Cast", [s.node("Cast", [s.value], to=TensorProto.DOUBLE)[0]], to=TensorProto.FLOAT)
    elif name == "CastLike":
        s.then("CastLike", s.constant([1.0]))
    else:
        s.then(name)


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        functions,
        positive_functions,
        jumping_functions,
        activations,
        prelu,
        clip,
        arithmetic,
        powers,
        choices,
        infinities,
        convolution,
        transposed,
        pooling,
        global_pooling,
        resize,
        normalization,
        reduction,
        extreme_places,
        largest,
        slicing,
        shapes,
        padding,
        gathering,
        making,
        products,
        softmax,
        recurrent,
        quantization,
        sampling,
        attention,
        copies,
    )
}
"""Name -> what writes one operator of this kind."""
