"""Small Keras models for the tests of the TensorFlow backend, and their own gradients as the oracle."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.arrays import Floats32

__all__ = ["SHAPE", "KerasModel", "Tensor", "answering", "convnet", "saving", "tape_vjp"]

KerasModel: TypeAlias = Any
Tensor: TypeAlias = Any
"""Neither Keras nor TensorFlow publishes types."""

SHAPE = (8, 8, 3)


def convnet(
    seed: int,
    *,
    end: str | None = None,
    sharpness: float = 1,
    shape: tuple[int | None, ...] = SHAPE,
    dtype: str = "float32",
) -> KerasModel:
    """Return a model with 5 classes whose batch normalisation is not trivial.

    Args:
        seed: the same seed gives the same weights, in every precision.
        end: its last activation; None: it answers logits.
        sharpness: multiplies the logits.
        shape: of the input.
        dtype: the policy of every layer.
    """
    keras = load_keras()
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(6, 3, padding="same", use_bias=False, dtype=dtype),
            layers.BatchNormalization(name="norm", dtype=dtype),
            layers.Activation("silu", dtype=dtype),
            layers.GlobalAveragePooling2D(dtype=dtype),
            layers.Dense(5, dtype=dtype, name="head"),
        ]
    )
    rng = np.random.default_rng(seed)
    for layer, low, high in ((model.layers[0], -0.5, 0.5), (model.get_layer("norm"), 0.5, 1.5)):
        layer.set_weights([rng.uniform(low, high, weight.shape) for weight in layer.get_weights()])
    head = model.get_layer("head")
    head.set_weights([sharpness * rng.standard_normal(weight.shape) for weight in head.get_weights()])
    if end is not None:
        model.add(layers.Activation(end, dtype=dtype))
    return model


def answering(function: Callable[[Tensor], Tensor], *, pooled: bool = True) -> KerasModel:
    """Return a model that answers a function of the mean colour (n, 3), or of the images themselves."""
    keras = load_keras()
    images = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(images) if pooled else images
    return keras.Model(images, keras.layers.Lambda(function)(x))


def tape_vjp(model: KerasModel, x: NDArray[np.float32], upstream: NDArray[np.float32]) -> tuple[Floats32, Floats32]:
    """Return what a Keras model answers for its own tensor, and the vector-Jacobian product by its own tape."""
    tf = load_tensorflow()
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        answer = model(tensor, training=False)
    return answer.numpy(), tape.gradient(answer, tensor, output_gradients=tf.constant(upstream)).numpy()


@contextmanager
def saving() -> Iterator[None]:
    """Leave out Keras' own warnings when it saves: NumPy 2's about its arrays, and its own about what is saved."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy keyword", DeprecationWarning)
        yield
