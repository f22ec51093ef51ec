"""Writing an ONNX file: with its contract inside, checked before it has its name, and the same bytes every time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.files.storage import replacing

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto

__all__ = ["checked_file", "drop_unused", "number_names", "portable", "read_with_one_output", "set_metadata"]

_VALUE = "value_"


@contextmanager
def checked_file(path: Path, proto: "ModelProto") -> Iterator[Path]:
    """Write ``proto`` beside ``path`` and give the body the temporary file to check; then move it to ``path``.

    Where the body raises, the temporary file is deleted and ``path`` stays as it was.

    Raises:
        StorageError: the folder is not writable, or the disk is full.
    """
    with replacing(path) as draft:
        draft.write_bytes(proto.SerializeToString(deterministic=True))
        yield draft


def read_with_one_output(path: Path, output: str) -> "ModelProto":
    """Read a file without what only its other outputs need; weights that lie beside it come along.

    Raises:
        ModelError: it cannot be read; see `cae_backends.onnx.files.read_onnx`.
    """
    from cae_backends.onnx.files import read_onnx

    proto = read_onnx(path)
    kept = [value for value in proto.graph.output if value.name == output]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    drop_unused(proto, origin=str(path))
    return proto


def set_metadata(proto: "ModelProto", metadata: Mapping[str, str]) -> None:
    """Replace the file's metadata by ``metadata``, in the order of its keys."""
    del proto.metadata_props[:]
    for key in sorted(metadata):
        proto.metadata_props.add(key=key, value=metadata[key])


def portable(proto: "ModelProto") -> None:
    """Remove what exporters leave behind: stack traces with the paths of the machine, and doc strings."""
    proto.doc_string = ""
    _strip(proto.graph)
    for function in proto.functions:
        _strip(function)


def drop_unused(proto: "ModelProto", *, origin: str = "The model") -> None:
    """Remove the nodes and constants that lead to no output of the graph, and put the rest in order.

    Raises:
        ModelError: the graph is none; see `cae_backends.onnx.order.in_order`.
    """
    from cae_backends.onnx.order import in_order, needed_for

    graph = proto.graph
    kept, needed = needed_for((value.name for value in graph.output), in_order(graph, origin=origin))
    constants = [constant for constant in graph.initializer if constant.name in needed]
    nodes = [type(node).FromString(node.SerializeToString()) for node in kept]  # emptying the graph empties its nodes
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def _strip(graph: "GraphProto | FunctionProto") -> None:
    from onnx import FunctionProto

    values = [] if isinstance(graph, FunctionProto) else [*graph.input, *graph.output, *graph.initializer]
    for part in (graph, *graph.node, *graph.value_info, *values):
        part.doc_string = ""
        del part.metadata_props[:]
    for node in graph.node:
        for attribute in node.attribute:
            attribute.doc_string = ""
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _strip(inner)


def number_names(proto: "ModelProto") -> None:
    """Name the inner values and nodes by their place, and order the constants by their first use.

    tf2onnx numbers what it adds through the whole process; so the same model would give other bytes each time. A graph
    with graphs inside its nodes stays as it is.
    """
    graph = proto.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return
    fixed = {value.name for value in (*graph.input, *graph.output)} | {""}  # "": an optional input that is left out
    names: dict[str, str] = {}
    for place, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{place}"
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                if name not in fixed:
                    values[i] = names.setdefault(name, f"{_VALUE}{len(names)}")
    used = [constant for constant in graph.initializer if constant.name in names]
    for constant in used:
        constant.name = names[constant.name]
    used.sort(key=lambda constant: int(constant.name.removeprefix(_VALUE)))
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(used)
