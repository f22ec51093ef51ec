"""The part of a TensorFlow graph that an answer reaches: its nodes and functions, without anything that changes state.

Whatever else a file holds (initialisers, savers, functions that nothing calls) is left behind before TensorFlow sees
it. What remains is checked against `cae_backends.tensorflow.operations`.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cae_backends.tensorflow.operations import WRITES, check_operations
from cae_core.errors import ModelError

__all__ = ["Nodes", "Restricted", "node_of", "restrict", "with_own_functions"]

Nodes: TypeAlias = dict[str, Any]
"""TensorFlow's ``NodeDef`` by name, of a graph or of a function's body."""

_DROPPED = WRITES | {"Assert"}
"""Only the order of things depends on them; a condition that is not asserted changes no answer."""

_PLACES = ("config", "config_proto", "executor_type")
"""What a call may say about the machine that it runs on."""

_LARGEST = 1_000_000
"""Nodes after all calls are written out; the largest Keras application has some 10 000."""

_ODD_TYPES = (20, 21)  # DT_RESOURCE and DT_VARIANT, in TensorFlow's enumeration: objects, and not values

_BRANCHES = frozenset({"Switch", "Merge", "Enter", "Exit"})
"""TensorFlow 1's control flow, in which waiting for a node decides whether a value exists at all."""

_OF_REFERENCES = {f"Ref{name}": name for name in ("Enter", "Exit", "Identity", "Merge", "NextIteration", "Switch")}
"""They pass a variable of TensorFlow 1 on. Nothing writes into what is left of a graph, so its value says as much."""

_GRAPHS = itertools.count()  # of this process


@dataclass(frozen=True)
class Restricted:
    """A graph that answers one tensor, and what would have run beside it.

    Attributes:
        graph_def: the nodes and functions that the answer is computed from.
        run: the nodes, by name, that run before the graph (``""``) or a function of it has answered, those that
            change variables apart; the operations of all are on the list.
        written: the nodes in each that change a variable; they are not in ``graph_def``.
    """

    graph_def: Any = field(repr=False)
    run: Mapping[str, Nodes] = field(repr=False)
    written: Mapping[str, Sequence[Any]] = field(repr=False)


def restrict(graph_def: Any, *, given: str, wanted: str, origin: str) -> Restricted:  # noqa: ANN401 - a GraphDef
    """Return what of ``graph_def`` the tensor ``wanted`` needs where the tensor ``given`` is known.

    Raises:
        ModelError: an operation that is on no list, a reference to nothing, functions without end, or functions that
            learn only from their callers what they compute.
    """
    graph_def = _of_values(graph_def)
    library = _unique(graph_def.library.function, lambda function: function.signature.name, origin)
    made = type(graph_def)()
    made.versions.CopyFrom(graph_def.versions)
    body = _Body(_unique(graph_def.node, lambda node: node.name, origin), {given, given.removesuffix(":0")}, origin)
    run, written = body.run([wanted])
    made.node.extend(body.needed([wanted], run))
    bodies, changing = {"": run}, {"": written}
    waiting = list(_called_by(run.values(), library, origin))
    while waiting:
        name = waiting.pop()
        if name in bodies:
            continue
        function = library[name]
        arguments = {argument.name for argument in function.signature.input_arg}
        body = _Body(_unique(function.node_def, lambda node: node.name, origin), arguments, origin)
        results = list(function.ret.values())
        bodies[name], changing[name] = body.run([*results, *(f"^{one}" for one in function.control_ret.values())])
        part = made.library.function.add()
        part.signature.CopyFrom(function.signature)
        del part.signature.control_output[:]
        part.ret.update(function.ret)
        part.node_def.extend(body.needed(results, bodies[name]))
        waiting.extend(_called_by(bodies[name].values(), library, origin))
    _check_size(bodies, library, origin)
    # an operation with an effect may run in a function although no result waits for it
    reached = [library[name] for name in bodies if name]
    nodes = [*run.values(), *(node for function in reached for node in function.node_def)]
    operations = {_operation(node) for node in nodes}
    check_operations(operations - _DROPPED - set(library), origin=origin)
    _check_parameters(nodes, reached, origin)
    return Restricted(made, bodies, changing)


def with_own_functions(graph_def: Any) -> Any:  # noqa: ANN401 - GraphDefs
    """Return a copy whose functions have names that no other function of this process has.

    A process has one function of a name, two files may use one name for two functions, and freezing gives the functions
    of one file other bodies each time.
    """
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    number = next(_GRAPHS)
    names = {f.signature.name: f"graph_{number}_function_{place}" for place, f in enumerate(copy.library.function)}
    for function in copy.library.function:
        function.signature.name = names[function.signature.name]
    parts = (copy.node, *(function.node_def for function in copy.library.function))
    for node in (node for part in parts for node in part):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for called in (*([value.func] if value.HasField("func") else []), *value.list.func):
                if called.name:
                    called.name = names[called.name]
    return copy


def node_of(tensor: str) -> str:
    """Return the name of the node that a reference to a tensor, or a control input, points to.

    Example:
        >>> node_of("dense/MatMul:0"), node_of("^init")
        ('dense/MatMul', 'init')
    """
    return tensor.lstrip("^").partition(":")[0]


@dataclass(frozen=True)
class _Body:
    """The nodes of a graph or function, and the tensors that need none of them: what is given, or its arguments."""

    nodes: Nodes
    known: Collection[str]
    origin: str

    def run(self, ends: Iterable[str]) -> tuple[Nodes, list[Any]]:
        """Return the nodes that run before ``ends`` are there, and apart from them those that change a variable."""
        found, changing = self._walk(ends, waits=True)
        kept = {name: node for name, node in self.nodes.items() if name in found}
        return kept, [self.nodes[name] for name in sorted(changing)]

    def needed(self, ends: Iterable[str], run: Nodes) -> Iterator[Any]:
        """Yield copies of those nodes that the values of ``ends`` are computed from."""
        branches = any(node.op in _BRANCHES for node in run.values())
        found, _ = self._walk(ends, waits=branches)
        yield from (_cleaned(node, found) for name, node in self.nodes.items() if name in found)

    def _walk(self, ends: Iterable[str], *, waits: bool) -> tuple[set[str], set[str]]:
        found: set[str] = set()
        changing: set[str] = set()
        waiting = list(ends)
        while waiting:
            reference = waiting.pop()
            name, waits_only = node_of(reference), reference.startswith("^")
            if name in found or reference.lstrip("^") in self.known or (waits_only and not waits):
                continue
            if name not in self.nodes:
                raise _malformed(self.origin, f"there is no node {name!r}")
            operation = self.nodes[name].op
            if operation not in _DROPPED:
                found.add(name)
                waiting.extend(self.nodes[name].input)
            elif not waits_only:
                raise ModelError(
                    f"{self.origin}: the model's answer reads what {operation} (node {name!r}) has changed, so it "
                    "depends on what was asked before. Export the model for inference."
                )
            elif operation in WRITES and name not in changing:
                changing.add(name)
                waiting.extend(self.nodes[name].input)
        return found, changing


def _called_by(nodes: Iterable[Any], library: Collection[str], origin: str) -> Iterator[str]:
    """Yield the names of the functions that nodes call, by their operation's name or by an attribute."""
    for node in nodes:
        if node.op in library:
            yield node.op
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name and function.name not in library:
                    raise _malformed(origin, f"there is no function {function.name!r}")
                if function.name:
                    yield function.name


def _of_values(graph_def: Any) -> Any:  # noqa: ANN401 - GraphDefs
    """Return a graph, or a copy of it, in which branches and loops pass on values in the place of variables."""
    if not any(node.op in _OF_REFERENCES for node in graph_def.node):  # functions know no references
        return graph_def
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for node in copy.node:
        node.op = _OF_REFERENCES.get(node.op, node.op)
    return copy


def _check_parameters(nodes: Iterable[Any], functions: Iterable[Any], origin: str) -> None:
    """Refuse functions that are given types, values or functions by each call: what they do is not written in them."""
    taking = [function.signature.name for function in functions if function.signature.attr]
    for node in nodes:
        for value in node.attr.values():
            given = any(called.attr for called in (value.func, *value.list.func))
            if given or value.WhichOneof("value") == "placeholder":
                taking.append(node.name)
    if taking:
        raise _malformed(origin, f"{taking[0]!r} is given types, values or functions by what calls it")


def _cleaned(node: Any, kept: Collection[str]) -> Any:  # noqa: ANN401 - NodeDefs
    """Return a copy that waits for nothing that was left behind, and says nothing of devices or of its tracer."""
    copy = type(node)()
    copy.CopyFrom(node)
    copy.device = ""
    copy.ClearField("experimental_debug_info")
    del copy.input[:]
    copy.input.extend(name for name in node.input if not name.startswith("^") or node_of(name) in kept)
    for name in list(copy.attr):
        if name.startswith("_"):  # also the gradient that was registered where the graph was traced
            del copy.attr[name]
        elif name in _PLACES:
            copy.attr[name].s = b""
    return copy


def _operation(node: Any) -> str:  # noqa: ANN401 - a NodeDef
    """Return the name of a node's operation; a constant that is no array of numbers or texts has one of its own."""
    odd = node.op == "Const" and node.attr["dtype"].type in _ODD_TYPES
    return "Const of a handle" if odd else node.op


def _unique(parts: Iterable[Any], name_of: Callable[[Any], str], origin: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for part in parts:
        if name_of(part) in named:
            raise _malformed(origin, f"two parts are called {name_of(part)!r}")
        named[name_of(part)] = part
    return named


def _check_size(parts: Mapping[str, Nodes], library: Collection[str], origin: str) -> None:
    """Refuse functions that call themselves, and those that calls of calls make too large to be written out."""
    calls = {name: list(_called_by(nodes.values(), library, origin)) for name, nodes in parts.items()}
    sizes: dict[str, int] = {}
    open_, waiting = {""}, [""]
    while waiting:  # depth first, without recursion: the depth is the file's
        name = waiting[-1]
        missing = next((called for called in calls[name] if called not in sizes), None)
        if missing is None:
            sizes[name] = len(parts[name]) + sum(sizes[called] for called in calls[name])
            open_.discard(waiting.pop())
        elif missing in open_:
            raise _malformed(origin, f"the function {missing!r} calls itself")
        else:
            open_.add(missing)
            waiting.append(missing)
    if sizes[""] > _LARGEST:
        raise _malformed(origin, f"its functions call each other so often that {sizes['']} nodes would be run")


def _malformed(origin: str, reason: str) -> ModelError:
    return ModelError(f"{origin}: this SavedModel cannot be loaded ({reason}). Export it again.")
