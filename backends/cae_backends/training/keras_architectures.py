"""Small networks in Keras by name, and the report's; each answers logits and holds its normalisation inside."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from cae_backends.architectures.options import REPORT_ARCHITECTURES
from cae_backends.architectures.report_keras import build_keras
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.training.trainers import Scaling
from cae_core.errors import OptionError

__all__ = ["ARCHITECTURES", "build"]

ImageShape: TypeAlias = tuple[int, int, int]


def build(name: str, *, image_shape: ImageShape, classes: int, seed: int, scaling: Scaling) -> Any:  # noqa: ANN401 - Keras is untyped
    """Return an untrained ``keras.Model`` of float32 (n, h, w, k) in [0, 1] that answers logits.

    Args:
        name: a key of `ARCHITECTURES`, or one of the report's.
        image_shape: (h, w, k).
        classes: c.
        seed: of the initial weights and of dropout; nobody else's random numbers change.
        scaling: its first layer.

    Raises:
        BackendMissing: Keras is not installed.
        OptionError: the name is unknown, or the images are too small.
    """
    keras = load_keras()
    images = keras.Input(image_shape, name="images")
    x = _normalise(images, scaling)
    if name in REPORT_ARCHITECTURES:
        return keras.Model(
            images, build_keras(name, image_shape=image_shape, classes=classes, seed=seed, logits=True)(x)
        )
    if name not in ARCHITECTURES:
        known = ", ".join((*ARCHITECTURES, *REPORT_ARCHITECTURES))
        raise OptionError(f"Unknown Keras architecture {name!r}; known are {known}.")
    draw = _Initialisers(seed)
    x = ARCHITECTURES[name](x, draw)
    return keras.Model(images, keras.layers.Dense(classes, kernel_initializer=draw())(x))


class _Initialisers:
    """He's initialisation with another seed for each layer, all derived from one."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self) -> Any:  # noqa: ANN401 - Keras is untyped
        return load_keras().initializers.HeNormal(seed=int(self._rng.integers(2**31)))


def _normalise(images: Any, scaling: Scaling) -> Any:  # noqa: ANN401 - Keras is untyped
    axes = -1 if scaling.mean.ndim == 1 else (1, 2, 3)
    variance = np.broadcast_to(1 / scaling.scale**2, scaling.mean.shape)
    return load_keras().layers.Normalization(axis=axes, mean=scaling.mean.tolist(), variance=variance.tolist())(images)


def _conv(x: Any, width: int, draw: _Initialisers, stride: int = 1) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, kernel_initializer=draw())(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _cnn_small(x: Any, draw: _Initialisers) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    return layers.Flatten()(layers.MaxPooling2D(2)(_conv(_conv(x, 16, draw), 32, draw)))


def _plain_quarter(x: Any, draw: _Initialisers) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    for width, stride in ((16, 2), (32, 1), (64, 2), (64, 2)):
        x = _conv(x, width, draw, stride)
    return layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))


def _mlp(x: Any, draw: _Initialisers) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.Flatten()(x)
    for width in (128, 64):
        x = layers.Dense(width, activation="relu", kernel_initializer=draw())(x)
    return x


ARCHITECTURES: dict[str, Callable[[Any, _Initialisers], Any]] = {
    "cnn-small": _cnn_small,
    "plain-quarter": _plain_quarter,
    "mlp": _mlp,
}
"""Name -> what lies between normalisation and logits."""
