"""Changes to an ONNX graph that keep its meaning and that onnx2torch needs, and what it would get wrong without a word.

onnx2torch takes the weights of a convolution as initializers only, knows no automatic padding and no transposed
convolution whose pads differ, and ignores some attributes and outputs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper
from onnx2torch.utils.safe_shape_inference import safe_shape_inference

from cae_backends.torch.onnx_functions import written_out

__all__ = ["changed_part", "rewritten"]

_ONE_OUTPUT = ("Dropout", "LayerNormalization", "MaxPool")
"""Operators with further outputs, of which onnx2torch gives the first only."""

_SLICE_WITH_INPUTS = 10
"""From this opset on a Slice takes its numbers as inputs."""


def rewritten(proto: ModelProto) -> ModelProto:
    """Return a copy of a neutral ``proto`` with the same answers, its shapes inferred, that onnx2torch can read."""
    copy: ModelProto = written_out(safe_shape_inference(proto))
    _make_initializers(copy.graph)
    shapes = _static_shapes(copy.graph)
    used = _used_values(copy.graph)
    for node in copy.graph.node:
        while node.input and not node.input[-1]:  # optional inputs that are left out
            node.input.pop()
        while node.op_type in _ONE_OUTPUT and len(node.output) > 1 and node.output[-1] not in used:
            node.output.pop()
        if node.op_type == "Conv":
            _make_padding_explicit(node, shapes)
    if max((entry.version for entry in copy.opset_import if not entry.domain), default=0) >= _SLICE_WITH_INPUTS:
        _crop_after_transposed(copy.graph)
    return copy


def changed_part(node: NodeProto, constants: Mapping[str, onnx.TensorProto]) -> str | None:
    """Return what of ``node`` onnx2torch would leave out or do otherwise; None where it is faithful.

    Args:
        node: of a graph that was `rewritten`.
        constants: the graph's initializers.
    """
    told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    # up to opset 13 a batch norm says by its further outputs, used or not, that it takes the batch's own statistics
    by_outputs = node.op_type == "BatchNormalization" and len(node.output) > 1
    if told.get("training_mode", 0) or by_outputs or (node.op_type == "Dropout" and _is_set(node.input[2:], constants)):
        return "training_mode"
    if node.op_type == "BatchNormalization" and not told.get("spatial", 1):
        return "spatial = 0 (a mean for each pixel)"
    if node.op_type == "TopK" and not told.get("sorted", 1):
        return "sorted = 0 (an order that ONNX leaves open)"
    if node.op_type in _ONE_OUTPUT and len(node.output) > 1:
        return "further outputs that are used"
    return None


def _is_set(names: Sequence[str], constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether any of these inputs is not known to be false."""
    return any(name not in constants or numpy_helper.to_array(constants[name]).any() for name in names)


def _make_initializers(graph: onnx.GraphProto) -> None:
    """Turn constant nodes, and copies of constants, into initializers."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    kept = []
    for node in graph.node:
        value = None
        if node.op_type == "Constant":
            value = _constant_value(node.attribute[0])
        elif node.op_type == "Identity" and node.input[0] in constants:
            value = constants[node.input[0]]
        if value is None or node.output[0] in outputs:
            kept.append(node)
            continue
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        constants[tensor.name] = tensor
        graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)


def _constant_value(attribute: AttributeProto) -> onnx.TensorProto | None:
    if attribute.name == "value":
        return attribute.t
    types = {"value_float": "float32", "value_floats": "float32", "value_int": "int64", "value_ints": "int64"}
    if attribute.name not in types:
        return None
    return numpy_helper.from_array(np.asarray(helper.get_attribute_value(attribute), types[attribute.name]))


def _static_shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Return the shapes that are known; an axis that is not known has the size 0."""
    infos = (*graph.input, *graph.value_info)
    shapes = {info.name: [axis.dim_value for axis in info.type.tensor_type.shape.dim] for info in infos}
    return shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def _used_values(graph: onnx.GraphProto) -> set[str]:
    used = {value.name for value in graph.output}
    for node in graph.node:
        used.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):  # a subgraph may use any value
                used |= _used_values(attribute.g)
    return used


def _make_padding_explicit(node: NodeProto, shapes: dict[str, list[int]]) -> None:
    """Replace ``auto_pad`` by the pads that it stands for, where the image's size is known."""
    told = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    automatic = told.get("auto_pad", b"NOTSET").decode()
    sizes = shapes.get(node.input[0], [])[2:]
    kernel = told.get("kernel_shape") or shapes.get(node.input[1], [])[2:]
    if not automatic.startswith("SAME") or not sizes or not all(sizes) or not kernel:
        return
    pads = _same_pads(
        sizes,
        kernel=kernel,
        strides=told.get("strides", [1] * len(sizes)),
        dilations=told.get("dilations", [1] * len(sizes)),
        more_at_end=automatic == "SAME_UPPER",
    )
    kept = [attribute for attribute in node.attribute if attribute.name not in ("auto_pad", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", pads)])


def _crop_after_transposed(graph: onnx.GraphProto) -> None:
    """Cut the borders of a transposed convolution in a node of its own, where its pads differ between both sides."""
    for place, node in reversed(list(enumerate(graph.node))):
        told = {attribute.name: attribute for attribute in node.attribute}
        pads = list(told["pads"].ints) if node.op_type == "ConvTranspose" and "pads" in told else []
        axes = len(pads) // 2
        if pads[:axes] == pads[axes:]:
            continue
        node.attribute.remove(told["pads"])
        cropped, node.output[0] = node.output[0], f"{node.output[0]}/whole"
        ends = [-pad if pad else np.iinfo(np.int64).max for pad in pads[axes:]]
        numbers = {"starts": pads[:axes], "ends": ends, "axes": range(2, 2 + axes)}
        names = [f"{cropped}/{name}" for name in numbers]
        graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in zip(names, numbers.values(), strict=True)
        )
        crop = helper.make_node("Slice", [node.output[0], *names], [cropped], name=f"{node.name}/crop")
        graph.node.insert(place + 1, crop)


def _same_pads(
    sizes: Sequence[int],
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    more_at_end: bool,
) -> list[int]:
    """Return the pads for ceil(size / stride) windows: the beginnings of all axes, then their ends."""
    totals = [
        max(0, (-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size)
        for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    smaller, larger = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*smaller, *larger] if more_at_end else [*larger, *smaller]
