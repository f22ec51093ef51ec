"""Whether an answer depends on variables that the model changes while it answers.

Keras' augmentation layers advance their random state in inference too, and a layer may count its calls. Such changes
are left out. Where the answer reads what is changed, no graph of constants answers as the model does, and where the
images decide what is written, the model is still being trained.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cae_backends.tensorflow.operations import READS
from cae_backends.tensorflow.restricting import Nodes, Restricted, node_of
from cae_core.errors import ModelError

__all__ = ["check_state"]

_Handles: TypeAlias = frozenset[str]
_Bindings: TypeAlias = Mapping[str, _Handles]
"""Which variables each argument of a function may stand for."""

_UNKNOWN: _Handles = frozenset({"?"})
_CONDITIONAL = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})  # their first input chooses the branch
_PASSES_ON = frozenset({"Identity", "Switch", "Enter", "Exit", "Merge", "NextIteration"})
_SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank"})  # how many images there are is no property of an image
_RESOURCE = 20  # DT_RESOURCE, in TensorFlow's enumeration of types


def check_state(restricted: Restricted, *, origin: str) -> None:
    """Refuse a graph whose answer reads a variable that it changes, or that changes one by the images.

    Raises:
        ModelError: it does.
    """
    if not any(restricted.written.values()):
        return
    uses = _Uses(restricted)
    uses.visit("", {}, answers=True)
    if uses.learns:
        raise ModelError(
            f"{origin}: the model changes its variables by the images that it is asked ({uses.learns}), as in "
            "training. Export it for inference, with training=False."
        )
    if uses.read & uses.written or (uses.read and uses.written & _UNKNOWN) or (uses.written and uses.read & _UNKNOWN):
        named = ", ".join(sorted(uses.read & uses.written)) or "a variable"
        raise ModelError(
            f"{origin}: the model's answer depends on {named}, which changes at every call, so it gives another answer "
            "each time. Export it for inference, with training=False."
        )


@dataclass
class _Uses:
    """The variables that a graph reads and writes, through all functions that it calls."""

    restricted: Restricted
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    learns: str = ""
    _seen: set[tuple[str, bool, tuple[tuple[str, _Handles], ...]]] = field(default_factory=set)

    def __post_init__(self) -> None:
        functions = self.restricted.graph_def.library.function
        self._needed = {function.signature.name: {node.name for node in function.node_def} for function in functions}
        self._needed[""] = {node.name for node in self.restricted.graph_def.node}
        self._arguments = {f.signature.name: [argument.name for argument in f.signature.input_arg] for f in functions}

    def visit(self, name: str, bindings: _Bindings, *, answers: bool) -> None:
        """Note what a graph or function does with the variables that its arguments stand for.

        Args:
            name: of the function; empty: the graph itself.
            bindings: what its arguments stand for.
            answers: whether the answer is computed from its results.
        """
        key = (name, answers, tuple(sorted(bindings.items(), key=lambda item: item[0])))
        if key in self._seen:
            return
        self._seen.add(key)
        body, needed = self.restricted.run[name], self._needed[name] if answers else frozenset[str]()
        for changing in self.restricted.written[name]:
            self._note_change(changing, body, bindings)
        for node in body.values():
            if node.name in needed and node.op in READS:
                self.read |= _handles(node.input[0], body, bindings)
            elif node.name in needed and node.op in ("Variable", "VariableV2"):
                self.read.add(node.name)
            inputs = [one for one in node.input if not one.startswith("^")][node.op in _CONDITIONAL :]
            for called in _functions(node, self._arguments):
                given = zip(self._arguments[called], inputs, strict=False)
                handles = {argument: _handles(one, body, bindings) for argument, one in given}
                self.visit(called, handles, answers=node.name in needed)

    def _note_change(self, node: Any, body: Nodes, bindings: _Bindings) -> None:  # noqa: ANN401 - a NodeDef
        self.written |= _handles(node.input[0], body, bindings)
        if len(node.input) > 1 and _reads_images(node.input[1], body):
            self.learns = node.name


def _functions(node: Any, library: Mapping[str, Any]) -> Iterator[str]:  # noqa: ANN401 - a NodeDef
    names = (function.name for value in node.attr.values() for function in (value.func, *value.list.func))
    yield from (name for name in (node.op, *names) if name in library)


def _handles(tensor: str, body: Nodes, bindings: _Bindings) -> _Handles:
    """Return the names of the variables whose handle a tensor may be."""
    name, seen = node_of(tensor), set[str]()
    while name in body and body[name].op in _PASSES_ON and name not in seen:
        seen.add(name)
        name = node_of(body[name].input[0])
    if name in bindings:
        return bindings[name]
    return frozenset({name}) if name in body and not body[name].input else _UNKNOWN


def _reads_images(tensor: str, body: Nodes) -> bool:
    """Whether a value depends on what a graph or function is given, its variables apart."""
    waiting, seen = [tensor], set[str]()
    while waiting:
        name = node_of(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        node = body.get(name)
        if node is None or (node.op == "Placeholder" and node.attr["dtype"].type != _RESOURCE):
            return True
        if node.op not in _SHAPES and node.op not in READS:
            waiting.extend(one for one in node.input if not one.startswith("^"))
    return False
