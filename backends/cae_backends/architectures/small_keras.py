"""Small networks in Keras by name, and the report's; each answers logits and holds its normalisation inside."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cae_backends.architectures.options import (
    REPORT_ARCHITECTURES,
    ImageShape,
    PretrainedWeights,
    Scaling,
    check_weights,
)
from cae_backends.architectures.report_keras import build_keras
from cae_backends.tensorflow.runtime import load_keras
from cae_core.errors import OptionError

__all__ = ["ARCHITECTURES", "build"]

_NAME = "network"


def build(
    name: str,
    *,
    image_shape: ImageShape,
    classes: int,
    seed: int,
    scaling: Scaling,
    weights: PretrainedWeights = None,
) -> Any:  # noqa: ANN401 - Keras is untyped
    """Return a ``keras.Model`` that is not trained yet, of float32 (n, h, w, k) in [0, 1] that answers logits.

    Args:
        name: a key of `ARCHITECTURES`, or one of the report's.
        image_shape: (h, w, k).
        classes: c.
        seed: of the initial weights and of dropout; nobody else's random numbers change.
        scaling: its first layer.
        weights: of the layers below the classifier, see `report_keras.build_keras`; the small networks have none.

    Raises:
        BackendMissing: Keras is not installed.
        OptionError: the name is unknown, the images are too small, or the weights not for this network.
        ModelError: the weights cannot be had.
    """
    keras = load_keras()
    images = keras.Input(image_shape, name="images")
    x = _normalise(images, scaling)
    if name in REPORT_ARCHITECTURES:
        network = build_keras(name, image_shape=image_shape, classes=classes, weights=weights, seed=seed, logits=True)
        return keras.Model(images, network(x), name=_NAME)
    if name not in ARCHITECTURES:
        known = ", ".join((*ARCHITECTURES, *REPORT_ARCHITECTURES))
        raise OptionError(f"Unknown Keras architecture {name!r}; known are {known}.")
    check_weights(name, channels=image_shape[2], weights=weights)
    draw = _Draw(seed)
    logits = keras.layers.Dense(classes, **draw.options("logits"))(ARCHITECTURES[name](x, draw))
    return keras.Model(images, logits, name=_NAME)


class _Draw:
    """Options of a layer: He's initialisation with a seed of its own, all derived from one, and a name.

    Keras would number the layers through the whole process, and the exported file would not be the same each time.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._count = 0

    def options(self, kind: str) -> dict[str, Any]:
        seed = int(self._rng.integers(2**31))
        return {"kernel_initializer": load_keras().initializers.HeNormal(seed=seed), **self.name(kind)}

    def name(self, kind: str) -> dict[str, str]:
        self._count += 1
        return {"name": f"{kind}{self._count}"}


def _normalise(images: Any, scaling: Scaling) -> Any:  # noqa: ANN401 - Keras is untyped
    axes = -1 if scaling.mean.ndim == 1 else (1, 2, 3)
    variance = np.broadcast_to(1 / scaling.scale**2, scaling.mean.shape)
    statistics = {"mean": scaling.mean.tolist(), "variance": variance.tolist()}
    return load_keras().layers.Normalization(axis=axes, name="normalise", **statistics)(images)


def _conv(x: Any, width: int, draw: _Draw, stride: int = 1) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, **draw.options("conv"))(x)
    x = layers.BatchNormalization(momentum=0.9, **draw.name("norm"))(x)
    return layers.ReLU(**draw.name("relu"))(x)


def _cnn_small(x: Any, draw: _Draw) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.MaxPooling2D(2, **draw.name("pool"))(_conv(_conv(x, 16, draw), 32, draw))
    return layers.Flatten(**draw.name("flatten"))(x)


def _plain_quarter(x: Any, draw: _Draw) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    for width, stride in ((16, 2), (32, 1), (64, 2), (64, 2)):
        x = _conv(x, width, draw, stride)
    x = layers.AveragePooling2D(x.shape[1:3], **draw.name("pool"))(x)
    return layers.Flatten(**draw.name("flatten"))(x)


def _mlp(x: Any, draw: _Draw) -> Any:  # noqa: ANN401 - Keras is untyped
    layers = load_keras().layers
    x = layers.Flatten(**draw.name("flatten"))(x)
    for width in (128, 64):
        x = layers.Dense(width, activation="relu", **draw.options("dense"))(x)
    return x


ARCHITECTURES: dict[str, Callable[[Any, _Draw], Any]] = {
    "cnn-small": _cnn_small,
    "plain-quarter": _plain_quarter,
    "mlp": _mlp,
}
"""Name -> what lies between normalisation and logits."""
