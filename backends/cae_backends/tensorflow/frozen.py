"""A TensorFlow function as a graph without variables: what is answered, and never a gradient of a weight.

Freezing serves Keras models and SavedModels alike. In the frozen graph the end can be seen: where it is a softmax, the
logits are its input, and gradients taken from there survive saturated outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cae_backends.tensorflow.restricting import Restricted, node_of, restrict, with_own_functions
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_backends.tensorflow.state import check_state
from cae_core.errors import ModelError

__all__ = ["FrozenGraph", "freeze", "freeze_graph", "only"]


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

    @property
    def resolution(self) -> float:
        """Relative, of its coarsest arithmetic: 2**-23 where all floats are float32."""
        parts = (self.graph_def.node, *(function.node_def for function in self.graph_def.library.function))
        types = {node.attr["T"].type for part in parts for node in part if "T" in node.attr}
        tf = load_tensorflow()
        coarse = {tf.bfloat16.as_datatype_enum: 2.0**-7, tf.float16.as_datatype_enum: 2.0**-10}
        return max((coarse[kind] for kind in types & coarse.keys()), default=2.0**-23)


def freeze(function: Any, *, origin: str) -> FrozenGraph:  # noqa: ANN401 - a ConcreteFunction
    """Return a concrete function's graph with its variables as constants.

    Raises:
        ModelError: it does not take one tensor and answer one, it holds operations that no classifier needs, or its
            answer depends on what it changes.
    """
    captured = {inside.name: outside for outside, inside in function.graph.captures}
    taken = [tensor for tensor in function.inputs if tensor.name not in captured]
    image, scores = only(taken, "input", origin), only(function.outputs, "output", origin)
    restricted = restrict(function.graph.as_graph_def(), given=image.name, wanted=scores.name, origin=origin)
    return freeze_graph(
        restricted,
        given=image.name,
        wanted=scores.name,
        taken=load_tensorflow().TensorSpec(image.shape, image.dtype, name=node_of(image.name)),
        captured=captured,
        variables=function.graph.variables,
        origin=origin,
    )


def freeze_graph(
    restricted: Restricted,
    *,
    given: str,
    wanted: str,
    taken: Any,  # noqa: ANN401 - a TensorSpec
    captured: Mapping[str, Any],
    variables: Sequence[Any],
    origin: str,
) -> FrozenGraph:
    """Return a restricted graph with its variables as constants.

    Args:
        restricted: what the answer needs.
        given: the image tensor in it.
        wanted: the scores.
        taken: shape, type and name of the input that the frozen graph is to have.
        captured: what stands for which tensor of the graph: variables' handles, values.
        variables: those whose handles are captured.
        origin: what the model is called in messages.

    Raises:
        ModelError: the answer depends on variables that it changes, or on an input that is not given.
    """
    tf = load_tensorflow()
    # The one public name, tf.lite's converter, does not give the graph; tf2onnx and others import this one too.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    check_state(restricted, origin=origin)
    graph_def, held = _without_captured(with_own_functions(restricted.graph_def), captured)
    missing = sorted(node.name for node in graph_def.node if node.op == "Placeholder")
    if missing:
        raise ModelError(
            f"{origin}: the model's answer needs an input that its signature does not name ({', '.join(missing)}). "
            "Export it with one input."
        )

    def answer(images: Any) -> Any:  # noqa: ANN401 - tensors
        if given == wanted:
            return tf.identity(images)
        graph = tf.compat.v1.get_default_graph()
        known = {given: images, **{name: graph.capture(tensor) for name, tensor in held.items()}}
        names = {operation.name for operation in graph.get_operations()}
        clash = not names.isdisjoint(node.name for node in graph_def.node)
        (scores,) = tf.graph_util.import_graph_def(
            graph_def, input_map=known, return_elements=[wanted], name="model" if clash else ""
        )
        return scores

    # tf.function would have Merge wait for other nodes, which TensorFlow 1's loops cannot
    function = tf.compat.v1.wrap_function(answer, [taken])
    function.graph.variables = variables
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    image, scores = only(frozen.inputs, "input", origin), only(frozen.outputs, "output", origin)
    shape = tuple(image.shape) if image.shape.rank is not None else ()
    return FrozenGraph(_unmarked(frozen.graph), image.name, scores.name, shape, image.dtype.as_numpy_dtype.__name__)


def only(tensors: Sequence[Any], kind: str, origin: str) -> Any:  # noqa: ANN401 - tensors
    """Return the one tensor of several.

    Raises:
        ModelError: there is none, or there are others.
    """
    if len(tensors) != 1:
        names = ", ".join(tensor.name.partition(":")[0] for tensor in tensors) or "none"
        raise ModelError(
            f"{origin}: a classifier of images has one {kind}; found {len(tensors)} ({names}). Export it with one."
        )
    return tensors[0]


def _without_captured(graph_def: Any, captured: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
    """Return a copy of a graph in which captured tensors come from outside, and those that it has."""
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    replaced = {node_of(name) for name in captured}
    kept = [node for node in graph_def.node if node.name not in replaced]
    del copy.node[:]
    copy.node.extend(kept)
    named = {node.name for node in graph_def.node}
    return copy, {name: tensor for name, tensor in captured.items() if node_of(name) in named}


def _unmarked(graph: Any) -> Any:  # noqa: ANN401 - a graph and its GraphDef
    """Return a graph's description without devices and registered gradients: each has that of what it computes."""
    graph_def = graph.as_graph_def()
    for node in graph_def.node:
        node.device = ""
        node.attr.pop("_gradient_op_type", None)
    return graph_def
