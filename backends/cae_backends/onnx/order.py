"""The order of computation of an ONNX graph: ONNX Runtime sorts the nodes of a file, others need them sorted."""

from collections import Counter
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from cae_core.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

__all__ = ["in_order", "needed_for", "read_by"]


def read_by(node: "NodeProto") -> Iterator[str]:
    """Yield the values that a node reads, those inside its branches and loops included; they may be made there."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from read_by(inner)
            yield from (value.name for value in graph.output)


def in_order(graph: "GraphProto", *, origin: str) -> list["NodeProto"]:
    """Return the nodes in an order of computation: the graph's own, where that is one.

    Raises:
        ModelError: a value is made twice, read and never made, or waits for itself.
    """
    weights = [tensor.name for tensor in graph.initializer]
    weights += [sparse.values.name for sparse in graph.sparse_initializer]
    twice = next((name for name, count in Counter(weights).items() if count > 1), None)
    if twice is not None:
        raise ModelError(f"{origin}: the graph has two weights called {twice!r}. Export the model again.")
    given = {value.name for value in graph.input} | {*weights, ""}
    maker: dict[str, int] = {}
    for place, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker or name in given:
                raise ModelError(f"{origin}: the graph makes the value {name!r} twice. Export the model again.")
            maker[name] = place
    before: dict[int, list[int]] = {}
    for place, node in enumerate(graph.node):
        missing = [name for name in node.input if name not in given and name not in maker]
        if missing:
            raise ModelError(f"{origin}: the graph reads {missing[0]!r}, which nothing makes. Export the model again.")
        before[place] = [maker[name] for name in read_by(node) if name in maker]
    if all(source < place for place, sources in before.items() for source in sources):
        return list(graph.node)
    try:
        return [graph.node[place] for place in TopologicalSorter(before).static_order()]
    except CycleError as exc:
        raise ModelError(f"{origin}: the graph has a circle: a value waits for itself. Export it again.") from exc


def needed_for(answers: Iterable[str], nodes: Iterable["NodeProto"]) -> tuple[list["NodeProto"], set[str]]:
    """Return those of the nodes, which stand in order, that ``answers`` depend on, and every value that they read."""
    wanted, kept = set(answers), []
    for node in reversed(list(nodes)):
        if wanted.intersection(filter(None, node.output)):
            kept.append(node)
            wanted.update(read_by(node))
    return kept[::-1], wanted
