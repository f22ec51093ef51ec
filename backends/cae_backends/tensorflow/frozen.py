"""A TensorFlow function as a graph without variables: what is answered, and never a gradient of a weight.

Freezing serves Keras models and SavedModels alike. In the frozen graph the end can be seen: where it is a softmax, the
logits are its input, and gradients taken from there survive saturated outputs.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cae_backends.tensorflow.runtime import load_tensorflow
from cae_core.errors import ModelError

__all__ = ["SAVER", "FrozenGraph", "freeze", "hidden_operations", "without_softmax"]

_PASSES_ON = frozenset({"Identity", "StopGradient", "PreventGradient", "CheckNumerics"})
_OUTSIDE = re.compile(
    "PyFunc|File|Reader|Dataset|Iterator|RecordInput|Remap|Proto|Print|Summary|Debug|^Copy|Save|Restore|Checkpoint|"
    "TPU|Collective|Remote|Rpc|Send|Recv"
)
# Operations that call Python, read and write files, or speak to other machines: no classifier needs them.

SAVER = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})
"""What every SavedModel holds beside its signatures, to read its own variables."""


@dataclass(frozen=True)
class FrozenGraph:
    """A graph of constants with one input and one output.

    Attributes:
        graph_def: TensorFlow's ``GraphDef``.
        input: name of the image tensor.
        output: name of the scores.
        shape: of the input, the batch included; None: any size.
        dtype: of the input, as NumPy calls it.
    """

    graph_def: Any = field(repr=False)
    input: str
    output: str
    shape: tuple[int | None, ...]
    dtype: str

    def answer(self, images: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the output for a tensor of images, inside a ``tf.function`` or another graph."""
        (scores,) = load_tensorflow().graph_util.import_graph_def(
            self.graph_def, input_map={self.input: images}, return_elements=[self.output]
        )
        return scores


def freeze(function: Any, *, origin: str) -> FrozenGraph:  # noqa: ANN401 - a ConcreteFunction
    """Return a concrete function's graph with its variables as constants.

    Raises:
        ModelError: it does not take one tensor and answer one, or it calls Python, files or other machines.
    """
    tf = load_tensorflow()
    # The one public name, tf.lite's converter, does not give the graph; tf2onnx and others import this one too.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    _check_outside(function.graph.as_graph_def(), origin)
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    taken = [tensor for tensor in frozen.inputs if tensor.dtype != tf.resource]
    image, scores = _only(taken, "input", origin), _only(frozen.outputs, "output", origin)
    graph_def = frozen.graph.as_graph_def()
    for node in graph_def.node:
        node.device = ""
        # The gradient registered under this name belongs to the graph that was traced. Without it the operation has
        # the gradient of what it computes.
        node.attr.pop("_gradient_op_type", None)
    shape = tuple(image.shape) if image.shape.rank is not None else ()
    return FrozenGraph(graph_def, image.name, scores.name, shape, image.dtype.as_numpy_dtype.__name__)


def without_softmax(graph: FrozenGraph) -> FrozenGraph | None:
    """Return ``graph`` with the softmax at its end taken off, so that it answers logits; None where there is none."""
    nodes = {node.name: node for node in graph.graph_def.node}
    node = nodes[_node_of(graph.output)]
    while node.op in _PASSES_ON:
        node = nodes[_node_of(node.input[0])]
    if node.op != "Softmax":
        return None
    before = node.input[0]
    return replace(graph, output=before if ":" in before else f"{before}:0")


def hidden_operations(graph_def: Any) -> list[str]:  # noqa: ANN401 - a GraphDef
    """Return the operations of a ``GraphDef``, its functions included, that reach outside of the graph."""
    return sorted({op for op in _operations(graph_def) if _OUTSIDE.search(op)})


def _operations(graph_def: Any) -> Iterator[str]:  # noqa: ANN401
    yield from (node.op for node in graph_def.node)
    for function in graph_def.library.function:
        yield from (node.op for node in function.node_def)


def _check_outside(graph_def: Any, origin: str) -> None:  # noqa: ANN401
    found = hidden_operations(graph_def)
    if found:
        raise ModelError(
            f"{origin}: the model's graph calls {', '.join(found)}, which runs code or touches files outside of the "
            "graph; such a model is never run. Export it without them."
        )


def _only(tensors: Sequence[Any], kind: str, origin: str) -> Any:  # noqa: ANN401
    if len(tensors) != 1:
        names = ", ".join(tensor.name.partition(":")[0] for tensor in tensors) or "none"
        raise ModelError(
            f"{origin}: a classifier of images has one {kind}; found {len(tensors)} ({names}). Export it with one."
        )
    return tensors[0]


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]
