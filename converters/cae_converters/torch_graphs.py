"""Exported graphs that are kept, to write many modules of one structure: tracing takes seconds, filling in nothing.

The graph is traced from a stand-in with random weights, so that it depends on the structure alone, and every weight of
the stand-in is looked for among the graph's initialisers. Where one is missing, because the exporter has folded it into
another, the graph cannot be reused and the caller traces the module itself.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

__all__ = ["filled_graph"]

Trace: TypeAlias = Callable[["nn.Module"], "ModelProto"]

_GRAPHS: dict[str, "ModelProto | None"] = {}
"""By structure; None: a graph that cannot be reused."""


def filled_graph(module: "nn.Module", trace: Trace, *, key: str) -> "ModelProto | None":
    """Return the graph of ``module`` without tracing it anew, or None where that is not possible.

    Args:
        module: in evaluation mode, on the CPU.
        trace: exports a module.
        key: everything but the structure that ``trace`` depends on.
    """
    from torch.fx import GraphModule

    from cae_backends.torch.simplify import simplify

    folded = simplify(module)
    if not isinstance(folded, GraphModule):  # two modules that look alike may still compute different things
        return None
    folded.delete_all_unused_submodules()  # the batch norms that were folded
    weights = _weights(folded)
    shapes = [(name, value.shape) for name, value in weights.items()]
    structure = hashlib.sha256(repr((folded.code, str(folded), shapes, key)).encode()).hexdigest()
    if structure not in _GRAPHS:
        _GRAPHS[structure] = _traced(folded, trace)
    graph = _GRAPHS[structure]
    return None if graph is None else _filled(graph, weights)


def _weights(module: "nn.Module") -> dict[str, NDArray[np.float32]]:
    state = module.state_dict()
    return {name: value.numpy() for name, value in state.items() if value.is_floating_point()}


def _traced(module: "nn.Module", trace: Trace) -> "ModelProto | None":
    import copy

    import torch
    from onnx import numpy_helper

    stand_in = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(0)
    for value in stand_in.state_dict().values():
        if value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    graph = trace(stand_in)
    found = {item.name: numpy_helper.to_array(item) for item in graph.graph.initializer}
    for name, value in _weights(stand_in).items():
        if name not in found or not np.array_equal(found[name], value):
            return None
    return graph


def _filled(graph: "ModelProto", weights: dict[str, NDArray[np.float32]]) -> "ModelProto":
    from onnx import ModelProto, numpy_helper

    made = ModelProto()
    made.CopyFrom(graph)
    for item in made.graph.initializer:
        if item.name in weights:
            item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights[item.name]), item.name))
    return made
