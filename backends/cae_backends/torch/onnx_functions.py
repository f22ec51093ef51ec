"""Standard operators that ONNX itself defines by others, such as Attention, written out where nobody converts them."""

from onnx import GraphProto, ModelProto, defs, helper, inliner
from onnx2torch.node_converters import get_converter
from onnx2torch.utils.safe_shape_inference import safe_shape_inference

__all__ = ["written_out"]


def written_out(proto: ModelProto) -> ModelProto:
    """Return ``proto`` with those operators replaced by their definitions, or itself where it has none.

    Args:
        proto: its shapes and types inferred, on which some definitions depend.
    """
    opset = max((entry.version for entry in proto.opset_import if not entry.domain), default=0)
    names = {node.op_type for node in proto.graph.node if not node.domain}
    unknown = sorted(name for name in names if _is_defined(name, opset) and not _is_converted(name, opset))
    if not unknown:
        return proto
    copy = ModelProto()
    copy.CopyFrom(proto)
    _tell_types(copy.graph)
    functions = [("", name) for name in unknown]
    try:
        inlined = inliner.inline_selected_functions(copy, functions, inline_schema_functions=True)
    except RuntimeError:  # an input of unknown type, on which the definition depends: the operator stays unknown
        return proto
    _drop_unused(inlined.graph)
    if any(node.op_type == "Constant" and not node.attribute for node in inlined.graph.node):
        return proto  # the definition depends on an option that the node leaves out
    written: ModelProto = safe_shape_inference(inlined)
    return written


def _tell_types(graph: GraphProto) -> None:
    """Write down the types of the weights, which shape inference leaves out and the definitions ask for."""
    known = {info.name for info in (*graph.value_info, *graph.input)}
    for tensor in graph.initializer:
        if tensor.name not in known:
            graph.value_info.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))


def _drop_unused(graph: GraphProto) -> None:
    """Drop what a definition computes from options that the node does not have."""
    used, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    nodes = kept[::-1]
    del graph.node[:]
    graph.node.extend(nodes)


def _is_defined(name: str, opset: int) -> bool:
    if not defs.has(name, opset, ""):
        return False
    schema = defs.get_schema(name, max_inclusive_version=opset)
    # both are missing in onnx's own type information
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]


def _is_converted(name: str, opset: int) -> bool:
    try:
        get_converter(name, opset)
    except NotImplementedError:
        return False
    return True
