"""Whether a frozen graph ends in a softmax, and the same graph without it."""

from dataclasses import replace

from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.restricting import Nodes, node_of

__all__ = ["ends_in_softmax", "without_softmax"]

_SAME = frozenset({"CheckNumerics", "Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"})
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
    tensor = graph.output
    while nodes[node_of(tensor)].op in _SAME:
        tensor = _passed_on(tensor, nodes)
    node = nodes[node_of(tensor)]
    if node.op != "Softmax":
        return None
    before = node.input[0]
    return replace(graph, output=before if ":" in before else f"{before}:0")


def ends_in_softmax(graph: FrozenGraph) -> bool:
    """Whether the answer is that of a softmax, be it in another shape or type, scaled, smoothed or clipped."""
    nodes = {node.name: node for node in graph.graph_def.node}
    tensor, seen = graph.output, set[str]()
    while tensor not in seen:
        seen.add(tensor)
        node = nodes[node_of(tensor)]
        if node.op == "Softmax":
            return True
        if node.op in _REARRANGED:
            tensor = _passed_on(tensor, nodes)
        elif node.op in _SCALED:
            told = [one for one in node.input if not one.startswith("^") and not _constant(one, nodes)]
            tensor = told[0] if len(told) == 1 else tensor
    return False


def _passed_on(tensor: str, nodes: Nodes) -> str:
    """Return the input that a node answers as this output: the first one, but where it answers several."""
    node = nodes[node_of(tensor)]
    place = int(tensor.rpartition(":")[2]) if node.op == "IdentityN" and ":" in tensor else 0
    return str(node.input[place])


def _constant(tensor: str, nodes: Nodes) -> bool:
    """Whether a tensor's value is known without an image."""
    waiting, seen = [tensor], set[str]()
    while waiting:
        name = node_of(waiting.pop())
        if nodes[name].op in ("Placeholder", "Shape"):
            return False
        if name not in seen:
            seen.add(name)
            waiting.extend(one for one in nodes[name].input if not one.startswith("^"))
    return True
