"""What a Keras file or a SavedModel says of its tensors."""

from pathlib import Path
from typing import Any

from cae_backends.tensorflow.endings import ends_in_softmax
from cae_backends.tensorflow.opening import keras_ending, read_keras
from cae_backends.tensorflow.saved_model import read_saved_model
from cae_backends.tensorflow.tracing import keras_input
from cae_core.signature import Ending, Signature, TensorSign

__all__ = ["signature_of_tensorflow"]


def signature_of_tensorflow(path: Path) -> Signature:
    """Return the input and the outputs; of a SavedModel no shape of the output is known.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: it cannot be read, or takes several tensors.
    """
    if path.is_dir():
        graph = read_saved_model(path)
        ending: Ending | None = "softmax" if ends_in_softmax(graph) else None
        taken = TensorSign(name="input", dtype=graph.dtype, shape=tuple(graph.shape or ()) or None)
        answer = TensorSign(name="output", dtype="float32", shape=None, ending=ending)
        return Signature(inputs=(taken,), outputs=(answer,))
    model = read_keras(path)
    shape, dtype = keras_input(model, origin=str(path))
    taken = TensorSign(name="input", dtype=dtype, shape=shape)
    return Signature(inputs=(taken,), outputs=tuple(_outputs(model)))


def _outputs(model: Any) -> list[TensorSign]:  # noqa: ANN401 - a Keras model
    outputs = list(getattr(model, "outputs", None) or ())
    if not outputs:  # a model that was never called
        return [TensorSign(name="output", dtype="float32", shape=None)]
    return [
        TensorSign(name=str(one.name), dtype=str(one.dtype), shape=tuple(one.shape), ending=keras_ending(model))
        for one in outputs
    ]
