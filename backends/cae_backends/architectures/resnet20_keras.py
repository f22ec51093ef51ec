"""ResNet20v1 in Keras, layer by layer that of Keras' CIFAR-10 example.

K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, 2016, section 4.2. The example
differs from it: its convolutions have a bias, and its shortcuts are convolutions where the shape changes.
"""

from typing import Any

from cae_backends.architectures.options import RESNET20_BLOCKS, RESNET20_FILTERS, ImageShape
from cae_backends.tensorflow.runtime import load_keras

__all__ = ["keras_resnet20"]

_WEIGHT_DECAY = 1e-4
"""Factor of the sum of squares of every convolution's kernel in the loss."""


def keras_resnet20(image_shape: ImageShape, classes: int, *, activation: str | None) -> Any:  # noqa: ANN401 - Keras is untyped
    """Return a fresh ResNet20v1.

    Args:
        image_shape: (h, w, k); the pooling at its end is as large as what is then left, 8x8 of 32x32.
        classes: c.
        activation: of the last layer.
    """
    keras = load_keras()
    images = keras.Input(image_shape, name="images")
    x = _conv(RESNET20_FILTERS[0], name="stem_conv")(images)
    x = _norm_relu(x, block="stem")
    for stage, filters in enumerate(RESNET20_FILTERS, start=1):
        for block in range(1, RESNET20_BLOCKS + 1):
            halve = stage > 1 and block == 1
            x = _block(x, filters, stride=2 if halve else 1, name=f"stage{stage}_block{block}")
    x = keras.layers.AveragePooling2D(x.shape[1:3], name="pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    head = keras.layers.Dense(classes, activation=activation, kernel_initializer="he_normal", name="predictions")
    return keras.Model(images, head(x), name="resnet20v1")


def _block(x: Any, filters: int, *, stride: int, name: str) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    y = _norm_relu(_conv(filters, stride=stride, name=f"{name}_conv1")(x), block=name, number="1")
    y = layers.BatchNormalization(name=f"{name}_norm2")(_conv(filters, name=f"{name}_conv2")(y))
    if stride > 1:
        x = _conv(filters, size=1, stride=stride, name=f"{name}_shortcut")(x)
    return layers.Activation("relu", name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, y]))


def _conv(filters: int, *, name: str, size: int = 3, stride: int = 1) -> Any:  # noqa: ANN401 - Keras is untyped
    keras = load_keras()
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(_WEIGHT_DECAY),
        name=name,
    )


def _norm_relu(x: Any, *, block: str, number: str = "") -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.BatchNormalization(name=f"{block}_norm{number}")(x)
    return layers.Activation("relu", name=f"{block}_relu{number}")(x)
