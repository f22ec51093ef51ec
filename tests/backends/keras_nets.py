"""Small Keras models for the tests of the TensorFlow backend, and their own gradients as the oracle."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.arrays import Floats32

__all__ = ["SHAPE", "answering", "convnet", "saving", "tape_vjp"]

SHAPE = (8, 8, 3)


def convnet(seed: int, *, end: str | None = None, sharpness: float = 1, **options: Any) -> Any:
    """Return a model with 5 classes whose batch normalisation is not trivial; ``end`` is its last activation.

    ``sharpness`` multiplies the logits; ``shape`` and ``dtype`` among the ``options`` are those of the input and of
    all layers.
    """
    keras = load_keras()
    layers, dtype = keras.layers, options.get("dtype", "float32")
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            layers.Input(options.get("shape", SHAPE)),
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


def answering(function: Any, *, shape: tuple[int | None, ...] = SHAPE, pooled: bool = True) -> Any:
    """Return a model that answers a function of the mean colour (n, 3), or of the images themselves."""
    keras = load_keras()
    images = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(images) if pooled else images
    return keras.Model(images, keras.layers.Lambda(function)(x))


def tape_vjp(model: Any, x: NDArray[np.float32], upstream: NDArray[np.float32]) -> tuple[Floats32, Floats32]:
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
