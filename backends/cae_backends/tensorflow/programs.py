"""A frozen graph compiled: its answer alone, and its linearisation, whose two halves run at different times.

The pullback is wanted after the logits of all models are known, so forward and backward pass are two functions. Taken
from a ``tf.GradientTape``, the second one gets the weights as arguments and TensorFlow can simplify neither (eight
ResNet20s, 100 images, two cores: 1.7 times as slow as both in one function). Here one graph of both is cut where the
backward pass reads the forward pass: what depends on the images is handed over, and constants stand in both halves
(1.2 times). A graph with loops cannot be cut, and its forward pass is computed twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_core.contract import SMALLEST_PROBABILITY
from cae_core.errors import ModelError

__all__ = ["Linearised", "Program", "compile_answer", "linearise"]

_CALLS = frozenset({"Case", "If", "StatelessCase", "StatelessIf", "StatelessWhile", "While"})


@dataclass(frozen=True)
class Program:
    """A frozen graph whose floats come out as float32.

    Attributes:
        graph: takes the model's tensor.
        logarithm: whether its answer is the logarithm of the graph's.
    """

    graph: FrozenGraph
    logarithm: bool

    def answer(self, x: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the scores of the model's tensor, inside of a graph."""
        tf = load_tensorflow()
        scores = self.graph.answer(tf.cast(x, self.graph.dtype))
        if not scores.dtype.is_floating:
            return scores
        scores = tf.cast(scores, tf.float32)
        return tf.math.log(tf.maximum(scores, SMALLEST_PROBABILITY)) if self.logarithm else tf.identity(scores)

    @property
    def input_spec(self) -> Any:  # noqa: ANN401 - a TensorSpec
        """The model's tensor: any batch, and the graph's own shape."""
        tf = load_tensorflow()
        free = (None, *self.graph.shape[1:]) if self.graph.shape else None
        return tf.TensorSpec(free, tf.uint8 if self.graph.dtype == "uint8" else tf.float32)


@dataclass(frozen=True)
class Linearised:
    """The two halves of a vector-Jacobian product.

    Attributes:
        forward: takes the model's tensor to the scores and the residuals.
        backward: takes a cotangent of the scores and the residuals to the gradient of the model's tensor.
    """

    forward: Callable[[Any], tuple[Any, Sequence[Any]]]
    backward: Callable[..., Any]


def compile_answer(program: Program) -> Callable[[Any], Any]:
    """Return the program as one function of the model's tensor, of any batch size."""
    return _compiled(program.answer, program.input_spec)


def linearise(program: Program, *, origin: str) -> Linearised:
    """Return the program's forward and backward pass.

    Raises:
        ModelError: the answer does not depend on the input in a differentiable way.
    """
    if any(node.op in _CALLS for node in program.graph.graph_def.node):
        return _computed_twice(program, origin=origin)
    tf = load_tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(program.input_spec.dtype, program.input_spec.shape)
        scores = program.answer(x)
        cotangent = tf.compat.v1.placeholder(scores.dtype, scores.shape)
        gradient = _gradient(scores, x, cotangent, origin)
    residuals = _residuals(graph, x, cotangent)
    graph_def, names = graph.as_graph_def(), [tensor.name for tensor in residuals]

    def run(given: dict[str, Any], wanted: list[str]) -> Any:  # noqa: ANN401 - tensors
        return tf.graph_util.import_graph_def(graph_def, input_map=given, return_elements=wanted)

    def forward(images: Any) -> Any:  # noqa: ANN401
        answer, *kept = run({x.name: images}, [scores.name, *names])
        return answer, kept

    def backward(upstream: Any, *kept: Any) -> Any:  # noqa: ANN401
        return run({**dict(zip(names, kept, strict=True)), cotangent.name: upstream}, [gradient.name])[0]

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (cotangent, *residuals)]
    return Linearised(_compiled(forward, program.input_spec), _compiled(backward, *specs))


def _computed_twice(program: Program, *, origin: str) -> Linearised:
    """Return a forward pass, and a backward pass that begins with the forward pass.

    The gradient of a loop or branch makes the function of its forward pass another one, so a graph of both cannot be
    cut between them.
    """

    def forward(images: Any) -> Any:  # noqa: ANN401 - tensors
        return program.answer(images), [images]

    def backward(upstream: Any, images: Any) -> Any:  # noqa: ANN401
        return _gradient(program.answer(images), images, upstream, origin)

    any_scores = load_tensorflow().TensorSpec(None)  # float32
    return Linearised(_compiled(forward, program.input_spec), _compiled(backward, any_scores, program.input_spec))


def _gradient(scores: Any, x: Any, cotangent: Any, origin: str) -> Any:  # noqa: ANN401 - tensors, inside of a graph
    (gradient,) = load_tensorflow().gradients(scores, x, grad_ys=cotangent)
    if gradient is None:
        raise ModelError(f"{origin}: its answer does not depend on the input in a way that can be differentiated.")
    return gradient


def _compiled(function: Callable[..., Any], *specs: Any) -> Callable[..., Any]:  # noqa: ANN401 - TensorSpecs
    """Return the one trace of a function of tensors, without the order that ``tf.function`` adds.

    Nothing in a frozen graph has to be put in order, and TensorFlow 1's loops bear none.
    """
    traced: Callable[..., Any] = load_tensorflow().compat.v1.wrap_function(function, list(specs))
    return traced


def _residuals(graph: Any, x: Any, cotangent: Any) -> list[Any]:  # noqa: ANN401 - a graph and tensors
    """Return what the backward pass reads and the forward pass computes from the images."""
    forward, backward = _depending_on(x, graph), _depending_on(cotangent, graph)
    read = {
        tensor.name: tensor
        for operation in graph.get_operations()
        if operation.name in backward
        for tensor in operation.inputs
        if tensor.op.name in forward and tensor.op.name not in backward
    }
    return list(read.values())


def _depending_on(tensor: Any, graph: Any) -> set[str]:  # noqa: ANN401 - a tensor and a graph
    """Return the names of the operations that wait for a tensor, directly or not."""
    found: set[str] = {tensor.op.name}
    for operation in graph.get_operations():  # in the order in which they were made: after what they depend on
        # some gradients are made to wait by a control input, and read nothing of what they wait for
        before = (*(source.op for source in operation.inputs), *operation.control_inputs)
        if any(source.name in found for source in before):
            found.add(operation.name)
    return found
