"""Keras and SavedModel -> ONNX by tf2onnx, from the frozen graph that also gives the gradients."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_converters.graph_rewrites import rewritten
from cae_converters.onnx_file import drop_unused
from cae_core.errors import BackendMissing, ModelError, first_line

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

__all__ = ["OPSET", "graph_to_onnx"]

OPSET = 17
"""Of the standard operators: the newest in which a mean's axes are an attribute, which every runtime reads."""


def graph_to_onnx(graph: FrozenGraph, *, origin: str) -> "ModelProto":
    """Return a frozen graph as an ONNX model with its own input and output.

    Args:
        graph: from `cae_backends.tensorflow`.
        origin: what the model is called in messages.

    Raises:
        BackendMissing: tf2onnx is not installed.
        ModelError: the input's spatial size is open, or an operation cannot be converted; it is named with its node.
    """
    if None in graph.shape[1:] or not graph.shape:
        raise ModelError(
            f"{origin}: the model takes images of any size, shape {graph.shape}, and an ONNX classifier takes one. "
            "Give size in its contract, such as size = [32, 32]."
        )
    if graph.shape[0] is not None:
        raise ModelError(
            f"{origin}: the model takes {graph.shape[0]} images at a time, and a converted one takes any number. "
            "Export it with a free batch, such as tf.TensorSpec((None, 32, 32, 3))."
        )
    load_tensorflow()
    try:
        from onnx import ModelProto
        from tf2onnx import convert, utils
    except ImportError as exc:
        raise BackendMissing(
            f"Exporting from Keras needs {exc.name}. Install it: pip install 'cae-fingerprint[tensorflow]'."
        ) from exc
    try:
        with _quiet():
            utils.INTERNAL_NAME = 1  # else it numbers on from the model before, and the same model has other names
            proto, _ = convert.from_graph_def(
                rewritten(graph.graph_def),
                name="classifier",
                input_names=[graph.input],
                output_names=[graph.output],
                opset=OPSET,
            )
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, AssertionError, NotImplementedError) as exc:
        raise ModelError(f"{origin}: tf2onnx cannot convert the model ({first_line(exc)}).") from exc
    if not isinstance(proto, ModelProto):
        raise ModelError(f"{origin}: tf2onnx made no complete model.")
    _check_operators(proto.graph, origin)
    return _with_constant_shapes(proto)


def _check_operators(graph: "GraphProto", origin: str) -> None:
    """Name what tf2onnx does not know: it leaves such an operation in the file under TensorFlow's name."""
    from onnx import defs

    for node in graph.node:
        for attribute in node.attribute:  # a branch or loop
            _check_operators(attribute.g, origin)
        if not defs.has(node.op_type, max_inclusive_version=OPSET, domain=node.domain):
            raise ModelError(
                f"{origin}: operation {node.op_type} (node {node.name!r}) has no equivalent in ONNX's opset {OPSET}. "
                "Replace the layer that it comes from, or use the Keras model itself."
            )


def _with_constant_shapes(proto: "ModelProto") -> "ModelProto":
    """Replace the shapes that Keras computes at every call, from the batch size and constants, by constants with -1."""
    from onnx import numpy_helper, shape_inference

    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    inferred = shape_inference.infer_shapes(proto, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*inferred.value_info, *inferred.output)}
    constants = {constant.name for constant in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants or node.output[0] not in shapes:
            continue
        sizes = [axis.dim_value if axis.HasField("dim_value") else -1 for axis in shapes[node.output[0]]]
        if sizes.count(-1) <= 1:
            name = f"{node.output[0]}_shape"
            proto.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
            node.input[1] = name
    drop_unused(proto)
    return proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop notices about TensorFlow's own deprecations, and tf2onnx's log."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the outputs are checked instead
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
