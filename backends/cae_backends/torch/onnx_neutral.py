"""An ONNX graph in names of our own: what another party wrote into a file is data, and nothing else.

onnx2torch calls its modules after the nodes, and torch.fx writes those names into Python source, unescaped: the name of
a node would be code. So every node and value gets a name that is made here before anything else reads the graph, and
no text of the file is left in it but the attributes that operators define.

The same pass brings a graph into the one form that the conversion reads: functions inlined, nodes in the order of
computation, nothing that the answer does not need, dense weights, float32.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cae_backends.onnx.order import in_order, needed_for
from cae_backends.torch.onnx_inlining import STANDARD, inlined
from cae_core.errors import ModelError, first_line

__all__ = ["HALVES", "Neutral", "damaged_graphs_refused", "image_value", "neutral"]

HALVES: dict[int, float] = {TensorProto.FLOAT16: 2.0**-10, TensorProto.BFLOAT16: 2.0**-7}
"""Element type of less precision than float32 -> its relative resolution."""

_TO_SINGLE = (*HALVES, TensorProto.DOUBLE)
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
_IR_VERSION = 10
"""Of the copy, which holds nothing that a later version brought; onnx2torch refuses the oldest ones."""


@dataclass(frozen=True)
class Neutral:
    """A graph with one image input and one answer.

    Attributes:
        proto: a copy; its nodes are ``node_0``, ``node_1`` …, its values ``value_0``, ``value_1`` ….
        names: of each node, as messages quote it: the file's own name of the node, or of what it makes.
        resolution: relative, of the coarsest arithmetic that the file asks for; the copy computes in float32.
    """

    proto: ModelProto
    names: Mapping[str, str]
    resolution: float


_FREE, _RATIO = 1 << 26, 512
"""Bytes that any sparse weight may become, and of a larger one's bytes to those of its values."""


@contextmanager
def damaged_graphs_refused(origin: str) -> Iterator[None]:
    """Turn whatever fails in the body, which reads a graph of another party, into an error that names the model.

    A graph can be wrong in more ways than anybody lists: attributes of another type, inputs that are missing, weights
    that are shorter than their shape.

    Raises:
        ModelError: the body failed; one of its own passes as it is.
    """
    try:
        yield
    except ModelError:
        raise
    except onnx.shape_inference.InferenceError as exc:
        raise ModelError(
            f"{origin}: the graph contradicts itself ({first_line(exc)}). Export the model again."
        ) from exc
    except Exception as exc:
        raise ModelError(
            f"{origin}: the graph is damaged or not as ONNX defines it ({first_line(exc)}). Export the model again."
        ) from exc


def neutral(proto: ModelProto, *, origin: str, output: str | None = None) -> Neutral:
    """Return the graph that makes ``output`` in a form of our own; ``proto`` stays as it is.

    Args:
        proto: as the file has it.
        origin: what the model is called in messages.
        output: the file's name of the answer; None: the graph's only output.

    Raises:
        ModelError: the file is newer than the installed onnx, its graph is no graph, or it holds operators or nested
            graphs that cannot be converted.
    """
    with damaged_graphs_refused(origin):
        return _neutral(proto, origin=origin, output=output)


def _neutral(proto: ModelProto, *, origin: str, output: str | None) -> Neutral:
    opset = _opset(proto, origin)
    copy = inlined(proto, opset, origin=origin)
    graph = copy.graph
    _make_dense(graph, origin)
    taken = image_value(copy, origin=origin)
    answer = output or graph.output[0].name
    nodes, read = needed_for([answer], in_order(graph, origin=origin))
    _refuse_foreign(nodes, opset, origin)
    made = _Made(graph, nodes, read, taken=taken, answer=answer)
    neutral_proto = helper.make_model(
        made.graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_VERSION
    )
    resolution = max((HALVES[kind] for kind in _element_types(graph, nodes) if kind in HALVES), default=2.0**-23)
    return Neutral(neutral_proto, made.names, resolution)


def image_value(proto: ModelProto, *, origin: str) -> onnx.ValueInfoProto:
    """Return the graph's only input; weights that an old exporter lists among the inputs are none.

    Raises:
        ModelError: it has none, or several.
    """
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer} | {x.values.name for x in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{origin}: a classifier of images has one input; found {names}. Export it with one.")
    found: onnx.ValueInfoProto = inputs[0]
    return found


def _opset(proto: ModelProto, origin: str) -> int:
    """Return the version of the standard operators; refuse what is newer than the installed onnx."""
    opset = max((entry.version for entry in proto.opset_import if entry.domain in STANDARD), default=1)
    newest = onnx.defs.onnx_opset_version()
    for what, found, known in (("IR version", proto.ir_version, onnx.IR_VERSION), ("opset", opset, newest)):
        if found > known:
            raise ModelError(
                f"{origin}: the file has {what} {found}, and the installed onnx {onnx.__version__} knows up to {known}"
                ". Update onnx and ONNX Runtime, or export the model for an older version."
            )
    return opset


def _make_dense(graph: GraphProto, origin: str) -> None:
    """Turn sparse weights, which pruning tools write, into dense ones."""
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse, sparse.values.name, origin))
    del graph.sparse_initializer[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.SPARSE_TENSOR:
                dense = _dense(attribute.sparse_tensor, "", origin)
                attribute.CopyFrom(helper.make_attribute("value", dense))


def _dense(sparse: onnx.SparseTensorProto, name: str, origin: str) -> TensorProto:
    try:
        values = numpy_helper.to_array(sparse.values)
        places = numpy_helper.to_array(sparse.indices)
        size = math.prod(sparse.dims) * values.itemsize
        if size > max(_FREE, _RATIO * values.nbytes):
            raise ValueError(f"{values.nbytes} bytes would become {size}")  # noqa: TRY301 - said with the others
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        dense[tuple(places.T) if places.ndim == 2 else np.unravel_index(places, dense.shape)] = values
    except Exception as exc:  # whatever it raises, the file is at fault
        raise ModelError(f"{origin}: a sparse weight cannot be read ({first_line(exc)}). Export it again.") from exc
    return numpy_helper.from_array(dense, name)


def _refuse_foreign(nodes: Iterable[NodeProto], opset: int, origin: str) -> None:
    for node in nodes:
        where = f"operator {node.op_type!r}" if not node.op_type.isidentifier() else f"operator {node.op_type}"
        if node.domain or not onnx.defs.has(node.op_type, ""):
            domain = repr(node.domain) if node.domain else "ai.onnx"
            raise ModelError(
                f"{origin}: {where} of the domain {domain} (node {_name_of(node)}) is not one of ONNX's own, and what "
                "it computes does not stand in the file. Export the model with standard operators."
            )
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ModelError(
                f"{origin}: {where} (opset {opset}, node {_name_of(node)}) cannot be converted to torch (it holds a "
                "graph of its own). Export the model without control flow, or use the framework that it comes from."
            )


def _name_of(node: NodeProto) -> str:
    """Return the file's name of a node, quoted: one without a name is named after what it makes."""
    return repr(node.name or next(iter(filter(None, node.output)), ""))


class _Made:
    """The graph in its new names.

    Attributes:
        graph: made anew from what the old one computes with.
        names: the new names of the nodes -> the file's, quoted.
    """

    def __init__(
        self, graph: GraphProto, nodes: list[NodeProto], read: set[str], *, taken: onnx.ValueInfoProto, answer: str
    ) -> None:
        self._values: dict[str, str] = {"": ""}
        self.names: dict[str, str] = {}
        image = _input(taken, self._value(taken.name))
        made = [self._node(node) for node in nodes]
        weights = [self._weight(tensor) for tensor in graph.initializer if tensor.name in read]
        new = self._value(answer)
        if not any(new in node.output[:1] and len(node.output) == 1 for node in made):
            # one of several outputs of a node, or none: the conversion takes the answer for all that a node makes
            made.append(helper.make_node("Identity", [new], ["answer"], name=f"node_{len(made)}"))
            self.names[made[-1].name] = repr(answer)
            new = "answer"
        told = helper.make_tensor_value_info(new, _answer_type(graph, answer), None)
        self.graph = helper.make_graph(made, "graph", [image], [told], weights)

    def _value(self, name: str) -> str:
        return self._values.setdefault(name, f"value_{len(self._values)}")

    def _node(self, node: NodeProto) -> NodeProto:
        new = NodeProto(op_type=node.op_type, name=f"node_{len(self.names)}")
        self.names[new.name] = _name_of(node)
        new.input.extend(self._value(name) for name in node.input)
        new.output.extend(self._value(name) for name in node.output)
        for names in (new.input, new.output):
            while names and not names[-1]:  # optional ones that are left out
                names.pop()
        new.attribute.extend(_attribute(attribute) for attribute in node.attribute)
        return new

    def _weight(self, tensor: TensorProto) -> TensorProto:
        new = _single(tensor)
        new.name = self._value(tensor.name)
        return new


def _input(taken: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    tensor = taken.type.tensor_type
    kind = TensorProto.FLOAT if tensor.elem_type in _TO_SINGLE else tensor.elem_type
    if not tensor.HasField("shape"):
        return helper.make_tensor_value_info(name, kind, None)
    # a size of 0 or less is how some tools write a free one
    sizes = [axis.dim_value if axis.dim_value > 0 else f"axis_{place}" for place, axis in enumerate(tensor.shape.dim)]
    return helper.make_tensor_value_info(name, kind, sizes)


def _answer_type(graph: GraphProto, answer: str) -> int:
    told = next((value.type.tensor_type.elem_type for value in graph.output if value.name == answer), TensorProto.FLOAT)
    return TensorProto.FLOAT if told in _TO_SINGLE else told


def _attribute(attribute: AttributeProto) -> AttributeProto:
    new = AttributeProto()
    new.CopyFrom(attribute)
    new.doc_string = ""
    if new.type == AttributeProto.TENSOR:
        new.t.CopyFrom(_single(attribute.t))
        new.t.name = ""
    if new.name in _TYPE_ATTRIBUTES and new.i in _TO_SINGLE:
        new.i = TensorProto.FLOAT
    return new


def _single(tensor: TensorProto) -> TensorProto:
    """Return a copy in float32 where the tensor holds other floats."""
    if tensor.data_type in _TO_SINGLE:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32))
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.doc_string = ""
    return copy


def _element_types(graph: GraphProto, nodes: Iterable[NodeProto]) -> set[int]:
    """Return the element types that a graph names: of its input, weights and constants, and of what it casts to."""
    kinds = {value.type.tensor_type.elem_type for value in graph.input}
    kinds |= {tensor.data_type for tensor in graph.initializer}
    for node in nodes:
        for attribute in node.attribute:
            kinds.add(attribute.t.data_type)
            if attribute.name in _TYPE_ATTRIBUTES:
                kinds.add(attribute.i)
    return kinds
