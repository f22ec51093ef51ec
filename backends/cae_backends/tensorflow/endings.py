"""Whether a frozen graph ends in a softmax, and the same graph without it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.restricting import Nodes, node_of

__all__ = ["ends_in_softmax", "without_softmax"]

_SAME = frozenset({"CheckNumerics", "Identity", "PreventGradient", "Snapshot", "StopGradient"})
"""They answer their input."""

_ORDERS = """
    Cast ConjugateTranspose EnsureShape ExpandDims Gather GatherNd GatherV2 Reshape ReverseV2 Slice Squeeze StridedSlice
    Transpose
"""
_REARRANGED = _SAME.union(_ORDERS.split())
"""They answer the values of their first input, perhaps others in place or kind."""

_SCALES = "Add AddV2 ClipByValue Div DivNoNan Maximum Minimum Mul RealDiv Sub"
_SCALED = frozenset(_SCALES.split())
"""With a constant, they answer probabilities where they are given some: rounded, smoothed or clipped."""


def without_softmax(graph: FrozenGraph) -> FrozenGraph | None:
    """Return ``graph`` with the softmax at its end taken off, so that it answers logits; None where there is none.

    Only what leaves the values as they are may stand behind it; see `ends_in_softmax` for the rest.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    node = nodes[node_of(graph.output)]
    while node.op in _SAME:
        node = nodes[node_of(node.input[0])]
    if node.op != "Softmax":
        return None
    before = node.input[0]
    return replace(graph, output=before if ":" in before else f"{before}:0")


def ends_in_softmax(graph: FrozenGraph) -> bool:
    """Whether the answer is that of a softmax, be it in another shape or type, scaled, smoothed or clipped."""
    nodes = {node.name: node for node in graph.graph_def.node}
    name, seen = node_of(graph.output), set[str]()
    while name not in seen:
        seen.add(name)
        node = nodes[name]
        if node.op == "Softmax":
            return True
        if node.op in _REARRANGED:
            name = node_of(node.input[0])
        elif node.op in _SCALED:
            told = [one for one in _inputs(node) if not _constant(one, nodes)]
            name = told[0] if len(told) == 1 else name
    return False


def _inputs(node: Any) -> Iterator[str]:  # noqa: ANN401 - a NodeDef
    return (node_of(one) for one in node.input if not one.startswith("^"))


def _constant(name: str, nodes: Nodes) -> bool:
    """Whether a node's value is known without an image."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        if nodes[name].op in ("Placeholder", "Shape"):
            return False
        if name not in seen:
            seen.add(name)
            waiting.extend(_inputs(nodes[name]))
    return True
