"""Which value of a checkpoint belongs to which variable of a SavedModel, found without restoring anything.

TensorFlow 2 binds the arguments of each function to objects, and the checkpoint knows the objects by the same paths.
TensorFlow 1 has a restore operation only: followed statically, through calls, it assigns the outputs of ``RestoreV2``,
whose constants are the names in the checkpoint, to variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cae_backends.tensorflow.restricting import Nodes, node_of
from cae_backends.tensorflow.runtime import load_tensorflow

__all__ = ["Saved", "saved_values"]

_ASSIGN = frozenset({"Assign", "AssignVariableOp"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_MOST = 100_000  # operations that are looked at; a restorer has three for each variable


@dataclass(frozen=True)
class Saved:
    """Where a variable's value is.

    Attributes:
        key: its name in the checkpoint.
        region: the part of it, for a variable that was saved in parts; empty: all.
    """

    key: str
    region: tuple[slice, ...] = ()


_Value: TypeAlias = str | Saved | None
"""What a tensor is: a variable's handle (its name), a value of the checkpoint, or something else."""


def saved_values(meta: Any, tracked: bytes) -> dict[str, Saved]:  # noqa: ANN401 - a MetaGraphDef
    """Return where the values of a meta graph's variables are, by the name of the variable's node.

    Args:
        meta: graph, functions, objects and restore operation.
        tracked: the checkpoint's description of its objects; empty: it has none.
    """
    return {**_by_restorer(meta), **_by_objects(meta, tracked)}


def _by_objects(meta: Any, tracked: bytes) -> dict[str, Saved]:  # noqa: ANN401 - a MetaGraphDef
    keys = _checkpoint_keys(meta.object_graph_def, tracked)
    bound = {name: list(function.bound_inputs) for name, function in meta.object_graph_def.concrete_functions.items()}
    found = {}
    for node in meta.graph_def.node:
        called = node.attr["f"].func.name if node.op in _CALLS else ""
        inputs = [one for one in node.input if not one.startswith("^")]
        for one, place in zip(reversed(inputs), reversed(bound.get(called, [])), strict=False):  # the last arguments
            if place in keys:
                found[node_of(one)] = Saved(keys[place])
    return found


def _checkpoint_keys(objects: Any, tracked: bytes) -> dict[int, str]:  # noqa: ANN401 - a SavedObjectGraph
    """Return the name in the checkpoint of each object that is a variable: both graphs are walked by one path."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    described = TrackableObjectGraph()
    described.ParseFromString(tracked)
    keys: dict[int, str] = {}
    waiting, seen = [(0, 0)] if objects.nodes and described.nodes else [], set[tuple[int, int]]()
    while waiting:
        here, there = waiting.pop()
        if (here, there) in seen:
            continue
        seen.add((here, there))
        for attribute in described.nodes[there].attributes:
            if attribute.name == "VARIABLE_VALUE":
                keys[here] = attribute.checkpoint_key
        children = {child.local_name: child.node_id for child in described.nodes[there].children}
        both = (child for child in objects.nodes[here].children if child.local_name in children)
        waiting.extend((child.node_id, children[child.local_name]) for child in both)
    return keys


def _by_restorer(meta: Any) -> dict[str, Saved]:  # noqa: ANN401 - a MetaGraphDef
    restorer = _Restorer({function.signature.name: function for function in meta.graph_def.library.function}, {})
    nodes = {node.name: node for node in meta.graph_def.node}
    reached: Nodes = {}
    waiting = [node_of(meta.saver_def.restore_op_name)]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in reached:
            reached[name] = nodes[name]
            waiting.extend(node_of(one) for one in nodes[name].input)
    restorer.follow(reached, {})
    return restorer.found


@dataclass
class _Restorer:
    library: Mapping[str, Any]
    found: dict[str, Saved]
    looked_at: int = 0

    def follow(self, nodes: Nodes, known: Mapping[str, _Value]) -> None:
        """Note the assignments among the nodes of a graph or function, whose arguments' values are known."""
        self.looked_at += len(nodes)
        if self.looked_at > _MOST:
            raise ValueError("its restore function does not end")
        for node in nodes.values():
            inputs = [one for one in node.input if not one.startswith("^")]
            if node.op in _ASSIGN:
                variable, value = (_value(one, nodes, known) for one in inputs[:2])
                if isinstance(variable, str) and isinstance(value, Saved):
                    self.found[variable] = value
            elif node.op in _CALLS and node.attr["f"].func.name in self.library:
                function = self.library[node.attr["f"].func.name]
                arguments = [argument.name for argument in function.signature.input_arg]
                given = {name: _value(one, nodes, known) for name, one in zip(arguments, inputs, strict=False)}
                self.follow({inner.name: inner for inner in function.node_def}, given)


def _value(tensor: str, nodes: Nodes, known: Mapping[str, _Value]) -> _Value:
    name, seen = node_of(tensor), set[str]()
    while name in nodes and nodes[name].op == "Identity" and name not in seen:
        seen.add(name)
        tensor = nodes[name].input[0]
        name = node_of(tensor)
    if name in known:
        return known[name]
    node = nodes.get(name)
    if node is None:
        return None
    if node.op == "RestoreV2":
        place = int(tensor.rpartition(":")[2]) if ":" in tensor else 0
        names, regions = (_texts(one, nodes) for one in node.input[1:3])
        return Saved(names[place], _region(regions[place])) if place < min(len(names), len(regions)) else None
    return name if node.op in ("VarHandleOp", "Variable", "VariableV2") else None


def _texts(tensor: str, nodes: Nodes) -> list[str]:
    node = nodes.get(node_of(tensor))
    if node is None or node.op != "Const":
        return []
    array: Any = load_tensorflow().make_ndarray(node.attr["value"].tensor)
    return [text.decode() for text in array.reshape(-1)]


def _region(text: str) -> tuple[slice, ...]:
    """Return the part that RestoreV2's text names: "10 5 0,4:-" is rows 0 to 3, all columns, of a (10, 5) tensor."""
    if not text:
        return ()
    axes = text.rpartition(" ")[2].split(":")
    spans = [[int(number) for number in axis.split(",")] if axis != "-" else None for axis in axes]
    return tuple(slice(None) if span is None else slice(span[0], span[0] + span[1]) for span in spans)
