"""An ONNX file's own functions as part of its graph, with what they say as the runtime reads it.

onnx's inliner forgets the values that a function gives its own attributes, and passes over a function that is written
for another version of the standard operators; so both are settled before it is asked.
"""

from collections.abc import Iterator

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, defs, inliner

from cae_core.errors import ModelError, first_line

__all__ = ["STANDARD", "inlined"]

STANDARD = frozenset({"", "ai.onnx"})
"""The two names of the domain of ONNX's own operators."""


def inlined(proto: ModelProto, opset: int, *, origin: str) -> ModelProto:
    """Return a copy in which the file's own functions are part of the graph.

    Args:
        proto: as the file has it.
        opset: of the standard operators in its graph.
        origin: what the model is called in messages.

    Raises:
        ModelError: a function cannot be read, stands for one of ONNX's own operators, or is written for another opset.
    """
    copy = ModelProto()
    copy.CopyFrom(proto)
    for named in (*copy.opset_import, *_nodes(copy.graph)):
        if named.domain == "ai.onnx":
            named.domain = ""
    if not copy.functions:
        return copy
    for function in copy.functions:
        _refuse_standard(function, origin)
        _speak(function, opset)
    _give_defaults(copy)
    try:
        result: ModelProto = inliner.inline_local_functions(copy)
    except Exception as exc:  # a foreign library reads a foreign file: whatever it raises, the file is at fault
        raise ModelError(
            f"{origin}: the file's functions cannot be read ({first_line(exc)}). Export it again."
        ) from exc
    _refuse_left(result, copy, opset, origin)
    return result


def _nodes(part: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """Yield the nodes, those inside of branches and loops included."""
    for node in part.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph)


def _refuse_standard(function: FunctionProto, origin: str) -> None:
    if function.domain in STANDARD:
        raise ModelError(
            f"{origin}: the file has a function of its own for the operator {function.name!r} of ONNX's domain, which "
            "some programs take and others do not. Export the model with standard operators."
        )


def _opset_of(function: FunctionProto, opset: int) -> int:
    return next((entry.version for entry in function.opset_import if not entry.domain), opset)


def _speak(function: FunctionProto, opset: int) -> None:
    """Let a function import the graph's opset, where its operators mean the same in both."""
    for entry in function.opset_import:
        names = {node.op_type for node in _nodes(function) if not node.domain}
        if not entry.domain and all(_since(name, entry.version) == _since(name, opset) for name in names):
            entry.version = opset


def _since(operator: str, opset: int) -> int | None:
    """Return the opset that brought what ``operator`` means in ``opset``; None where it has no such operator."""
    if not defs.has(operator, opset, ""):
        return None
    return int(defs.get_schema(operator, max_inclusive_version=opset).since_version)


def _give_defaults(proto: ModelProto) -> None:
    """Write into every call of a function the values of attributes that it leaves to the function."""
    known = {(function.domain, function.name, function.overload): function for function in proto.functions}
    for part in (proto.graph, *proto.functions):
        for node in _nodes(part):
            called = known.get((node.domain, node.op_type, node.overload))
            if called is not None:
                given = {attribute.name for attribute in node.attribute}
                node.attribute.extend(value for value in called.attribute_proto if value.name not in given)


def _refuse_left(proto: ModelProto, before: ModelProto, opset: int, origin: str) -> None:
    """Refuse calls that the inliner has left as they were."""
    known = {(function.domain, function.name, function.overload): function for function in before.functions}
    for node in _nodes(proto.graph):
        called = known.get((node.domain, node.op_type, node.overload))
        if called is not None:
            raise ModelError(
                f"{origin}: the file's function {called.name!r} is written for opset {_opset_of(called, opset)} of "
                f"ONNX's operators and its graph for opset {opset}. Export the model with one opset."
            )
