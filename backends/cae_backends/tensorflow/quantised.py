"""Does a network round its images' features to 8 bits? Then its answers are stairs, and no gradient of them is of use.

Keras gives such layers a gradient of their own making, which a file does not hold; what TensorFlow derives instead runs
through the scale of the quantisation alone.
"""

from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.runtime import load_tensorflow

__all__ = ["computes_in_int8"]


def computes_in_int8(graph: FrozenGraph) -> bool:
    """Return whether something that depends on the image is cast to 8-bit integers; weights may be."""
    int8 = load_tensorflow().int8.as_datatype_enum
    readers: dict[str, list[str]] = {}
    for node in graph.graph_def.node:
        for source in node.input:
            readers.setdefault(source.lstrip("^").partition(":")[0], []).append(node.name)
    nodes = {node.name: node for node in graph.graph_def.node}
    waiting, seen = [graph.input.partition(":")[0]], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = nodes.get(name)
        if node is not None and node.op == "Cast" and node.attr["DstT"].type == int8:
            return True
        waiting += readers.get(name, [])
    return False
