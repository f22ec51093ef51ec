"""Keras models as frozen graphs."""

from collections.abc import Sequence
from typing import Any

from cae_backends.tensorflow.frozen import FrozenGraph, freeze
from cae_backends.tensorflow.runtime import any_structure, load_tensorflow
from cae_core.contract import Contract
from cae_core.errors import CaeError, ModelError, first_line

__all__ = ["keras_input", "trace_keras"]


def trace_keras(model: Any, *, contract: Contract, origin: str) -> FrozenGraph:  # noqa: ANN401 - Keras has no types
    """Return a Keras model's graph in inference.

    Args:
        model: functional, sequential or subclassed; compiled or not.
        contract: says the size of a model that takes any, and size and channels of one that was never called.
        origin: what the model is called in messages.

    Raises:
        ModelError: several inputs or outputs, no known input shape, or a call that fails.
    """
    tf = load_tensorflow()
    shape, dtype = keras_input(model, origin=origin)
    if shape is None:
        shape = _shape_of(contract, origin)
    elif contract.size is not None and None in shape[1:]:
        shape = _with_size(shape, contract)
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    try:
        with any_structure():
            concrete = function.get_concrete_function(tf.TensorSpec((None, *shape[1:]), dtype, name="images"))
        return freeze(concrete, origin=origin)
    except CaeError:
        raise
    except Exception as exc:
        # the layers of a foreign model run here, as Python, for the first time
        raise ModelError(
            f"{origin}: the Keras model cannot be called on a batch of shape {shape} ({first_line(exc)}). "
            "Check that it works with model(images, training=False)."
        ) from exc


def keras_input(model: Any, *, origin: str) -> tuple[tuple[int | None, ...] | None, str]:  # noqa: ANN401
    """Return shape and dtype of the only input of a Keras model; the shape is None where nobody knows it.

    Raises:
        ModelError: it has several inputs.
    """
    inputs: Sequence[Any] = getattr(model, "inputs", None) or ()
    if len(inputs) > 1:
        names = ", ".join(str(tensor.name) for tensor in inputs)
        raise ModelError(
            f"{origin}: a classifier of images has one input; found {len(inputs)} ({names}). Export it with one."
        )
    if inputs:
        return tuple(inputs[0].shape), str(inputs[0].dtype)
    built = (model.get_build_config() or {}).get("input_shape")
    return (tuple(built) if isinstance(built, list | tuple) and len(built) == 4 else None), "float32"


def _with_size(shape: tuple[int | None, ...], contract: Contract) -> tuple[int | None, ...]:
    first = 1 if contract.layout == "NHWC" else 2
    return (*shape[:first], *(contract.size or ()), *shape[first + 2 :])


def _shape_of(contract: Contract, origin: str) -> tuple[int | None, ...]:
    if contract.size is None or contract.channels is None:
        raise ModelError(
            f"{origin}: nobody says what shape this subclassed model takes. Give size and channels in its contract, "
            "or call the model on a batch before it is saved."
        )
    channels = 1 if contract.channels == "GRAY" else 3
    size = contract.size
    return (None, *size, channels) if contract.layout == "NHWC" else (None, channels, *size)
