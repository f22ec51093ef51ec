"""SavedModels for the tests: written by TensorFlow, and edited as somebody else could edit them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from cae_backends.tensorflow.runtime import load_tensorflow

__all__ = ["Tensor", "edited", "linear", "save_function", "save_in_session"]

Tensor: TypeAlias = Any
"""TensorFlow publishes no types."""

tf = load_tensorflow()
v1: Any = tf.compat.v1

WEIGHTS = np.random.default_rng(3).normal(size=(192, 5)).astype(np.float32)


def linear(images: Tensor) -> Tensor:
    """Return five scores of the images (n, 8, 8, 3)."""
    return tf.reshape(images, (-1, 192)) @ tf.constant(WEIGHTS)


def save_function(path: Path, function: Callable[[Tensor], Tensor], **tracked: Any) -> Path:  # noqa: ANN401
    """Write a module that answers a function of the images, and holds variables or other objects.

    Args:
        path: the folder.
        function: of the images (n, 8, 8, 3).
        tracked: what the module has besides.
    """
    module = tf.Module()
    for name, value in tracked.items():
        setattr(module, name, value)
    module.answer = tf.function(function, autograph=False)
    traced = module.answer.get_concrete_function(tf.TensorSpec((None, 8, 8, 3), name="images"))
    tf.saved_model.save(module, str(path), signatures={"serving_default": traced})
    return path


def save_in_session(
    path: Path, function: Callable[[Tensor], Tensor], *, at_loading: Callable[[], Any] | None = None
) -> Path:
    """Write a SavedModel as TensorFlow 1 did: a graph, a saver, and perhaps an operation that loading runs."""
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, (None, 8, 8, 3), "images")
        scores = function(images)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        signature = v1.saved_model.predict_signature_def({"images": images}, {"scores": scores})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=at_loading() if at_loading else None
        )
        builder.save()
    return path


def edited(path: Path, change: Callable[[Any], object]) -> Path:
    """Change the only meta graph of a SavedModel in place."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    description = SavedModel()
    description.ParseFromString((path / "saved_model.pb").read_bytes())
    change(description.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(description.SerializeToString())
    return path
